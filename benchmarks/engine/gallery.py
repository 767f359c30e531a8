"""A few test queries, always the same, to look at with their nearest neighbours."""

import numpy as np

from ..datasets import ImageArrays
from ..seeds import stream_seed

QUERIES = 24


def gallery_queries(data: ImageArrays, test: np.ndarray, fold: int) -> np.ndarray:
    """Positions in ``test`` of up to 24 queries, of different classes while there are enough.

    They depend on the data and the fold alone, so that every method and seed shows the same ones.

    Args:
        test: rows of the test images.
    """
    random = np.random.default_rng(stream_seed(int(data.content_hash[:12], 16), "gallery", fold))
    shuffled = random.permutation(len(test))
    _, first = np.unique(data.labels[test[shuffled]], return_index=True)
    one_a_class = shuffled[np.sort(first)]
    others = np.setdiff1d(shuffled, one_a_class)
    return np.sort(np.concatenate([one_a_class, others])[:QUERIES])


def gallery_arrays(
    data: ImageArrays, test: np.ndarray, queries: np.ndarray, neighbors: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays of ``gallery.npz``.

    Args:
        test: rows of the test images.
        queries: positions in ``test``, (G,).
        neighbors: positions in ``test``, (G, K), nearest first.
    """
    query, neighbor = test[queries], test[neighbors]
    return {
        "query": query,
        "neighbors": neighbor,
        "query_label": data.labels[query],
        "neighbor_label": data.labels[neighbor],
        "query_image": data.images[query],
        "neighbor_image": data.images[neighbor],
    }
