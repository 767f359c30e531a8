"""What a search found for each query, with thumbnails for a page."""

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from PIL import Image

from ..errors import UserError
from .embed import BATCH_SIZE, Embeddings, embeddings_of
from .inputs import Inputs
from .model import EmbeddingModel
from .search import nearest

SIDE = 200  # pixels of the longer side of a thumbnail


class Shown(NamedTuple):
    """An image in an answer."""

    name: str
    thumbnail: str | None  # data URL; None where there is no picture, or none is wanted
    similarity: float | None = None  # None for the query
    uncertainty: float | None = None  # None where the model knows none


class Answer(NamedTuple):
    """A query and the nearest images, most similar first."""

    query: Shown
    found: list[Shown]


def answers(
    model: EmbeddingModel,
    queries: Inputs,
    indexed: Embeddings,
    index: Any,
    count: int,
    picture: Callable[[int], Image.Image | None],
    pictured: int,
) -> Iterator[Answer]:
    """The answer to each query, in order.

    Args:
        model: that embedded the images.
        queries: rows.
        indexed: the embedded images.
        index: of them.
        count: how many to find.
        picture: of a row of the embedded images.
        pictured: number of first queries that get thumbnails.

    Raises:
        UserError: a query cannot be read.
    """
    for start in range(0, len(queries.names), BATCH_SIZE):
        rows = range(start, min(start + BATCH_SIZE, len(queries.names)))
        block = queries.block(rows)
        if block.problems:
            raise UserError(f"--query: {block.problems[0]}")
        embedded = embeddings_of(model, block.values)
        found = nearest(index, embedded[:, : model.embedding_size], count)
        for query, row, similarities, neighbors in zip(rows, embedded, *found, strict=True):
            uncertainty = float(row[-1]) if model.has_uncertainty else None
            wanted = query < pictured
            yield Answer(
                Shown(queries.names[query], thumbnail(queries.picture(query)) if wanted else None, None, uncertainty),
                [
                    Shown(
                        indexed.names[neighbor],
                        thumbnail(picture(neighbor)) if wanted else None,
                        float(similarity),
                        None if indexed.uncertainty is None else float(indexed.uncertainty[neighbor]),
                    )
                    for similarity, neighbor in zip(similarities, neighbors, strict=True)
                    if neighbor >= 0  # a graph may reach fewer than asked for
                ],
            )


def thumbnail(picture: Image.Image | None) -> str | None:
    """A small JPEG of a picture, as a data URL."""
    if picture is None:
        return None
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    if max(small.size) < SIDE // 2:  # tiny images are enlarged with sharp pixels
        factor = SIDE // max(small.size)
        small = small.resize((small.width * factor, small.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
