"""A fixed selection of test queries, shown in the report with their nearest neighbours."""

import numpy as np

from ..data import ImageArrays
from ..data.arrays import squares
from ..data.feature_arrays import FeatureArrays
from ..data.ragged import RaggedImages
from .seeds import stream_seed

QUERIES = 24
SHOWN_SIZE = 96  # pixels per side


def gallery_queries(data: ImageArrays, test: np.ndarray, fold: int, alone: bool = True) -> np.ndarray:
    """Positions in ``test`` of up to 24 queries, from as many classes as possible.

    They depend only on the data and the fold, so that all methods and seeds show the same queries.

    Args:
        test: rows of the test images.
        alone: whether an image that is alone in its class may be a query, as where the queries search a gallery.
    """
    random = np.random.default_rng(stream_seed(int(data.content_hash[:12], 16), "gallery", fold))
    shuffled = random.permutation(len(test))
    if not alone and len(test):
        shuffled = shuffled[np.bincount(data.labels[test])[data.labels[test[shuffled]]] > 1]
    _, first = np.unique(data.labels[test[shuffled]], return_index=True)
    one_a_class = shuffled[np.sort(first)]
    others = np.setdiff1d(shuffled, one_a_class)
    return np.sort(np.concatenate([one_a_class, others])[:QUERIES])


def gallery_arrays(
    data: ImageArrays, queries: np.ndarray, searched: np.ndarray, neighbors: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays of ``gallery.npz``; images that are large or of different sizes are resized to small squares.

    Args:
        queries: rows of the queries, (G,).
        searched: rows of the images searched.
        neighbors: positions in ``searched``, (G, K), nearest first.
    """
    neighbor = searched[neighbors]
    return {
        "query": queries,
        "neighbors": neighbor,
        "query_label": data.labels[queries],
        "neighbor_label": data.labels[neighbor],
        "query_image": _shown(data, queries),
        "neighbor_image": _shown(data, neighbor),
    }


def _shown(data: ImageArrays, rows: np.ndarray) -> np.ndarray:
    if isinstance(data, FeatureArrays):
        pictures = data.pictures(rows.reshape(-1))
        return pictures.reshape(*rows.shape, *pictures.shape[1:])
    images = data.images[rows.reshape(-1)]
    if isinstance(images, RaggedImages) or images.shape[1] > SHOWN_SIZE:
        images = squares(images, min(data.image_size, SHOWN_SIZE))
    return images.reshape(*rows.shape, *images.shape[1:])
