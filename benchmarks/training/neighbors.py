"""The nearest rows of a reference, for PML's AccuracyCalculator: exactly, or by faiss."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import faiss
import torch
from pytorch_metric_learning.utils import inference
from torch import Tensor, nn

from benchmarks.errors import UserError

BLOCK = 32  # columns of a tile of which first the nearest is looked at
SIDES = {"cpu": 4096, "cuda": 8192}  # of a tile at most: 64 and 256 MiB
GRID = 64  # steps of the middle a unit
INDEX_BITS = 29  # what a float64 has more than a float32: enough for half a billion rows
FARTHEST = 0x7FF << 52 | 2**INDEX_BITS - 1  # the key of an infinite distance to the last row

Neighbors = Callable[[Tensor, int, Tensor, bool], tuple[Tensor, Tensor]]


class ExactNeighbors:
    r"""The k rows of the reference at the smallest Euclidean distance; of equally near ones those of smaller index.

    Queries and reference meet in tiles of bounded size, in float32 throughout:

    .. math:: |q_i - r_j|^2 = |q_i|^2 + |r_j|^2 - 2 \langle q_i, r_j \rangle

    All are seen from the middle of the reference, since the rounding of these terms grows with their size: embeddings
    close together, as those of an untrained model, would have neighbours by chance. The middle is taken from a coarse
    grid, so that simple numbers stay exact.

    Where the queries are the reference, a tile serves its rows and its columns, so that only half of them is computed.
    The minima of blocks of columns bound how far the k-th neighbour is, so most blocks need no second look.
    Distance and index are compared as one integer, so there are no ties left and no order depends on a device. All
    tiles have one shape, so that equal rows get equal distances in any of them.

    Args:
        side: of a tile, at most; None for 4096 on the CPU (64 MiB), 8192 elsewhere.
    """

    def __init__(self, side: int | None = None) -> None:
        self.side = side

    def __call__(
        self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Squared distances and indices, nearest first; PML's ``knn_func``.

        Args:
            ref_includes_query: the first rows of the reference are the queries, and none is its own neighbour.

        Shapes:
            (Q, D), (R, D) -> (Q, k), (Q, k)

        Raises:
            ValueError: if k is out of range.
            FloatingPointError: if an embedding is not finite, as those of a model that diverged.
        """
        most = len(reference) - int(ref_includes_query)
        if not 1 <= k <= most:
            raise ValueError(f"k must be between 1 and the {most} rows there are to find, but got {k}")
        with torch.no_grad(), full_float32(query.device.type):
            return unpack(self._nearest(query.float(), k, reference.float(), ref_includes_query))

    def _nearest(self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool) -> Tensor:
        """(Q, k): keys of the neighbours."""
        twice = ref_includes_query and len(query) == len(reference)  # each tile serves rows and columns
        most = self.side or SIDES.get(query.device.type, SIDES["cuda"])
        height, width = _even_parts(len(query), most), _even_parts(len(reference), most)
        origin = (reference.mean(dim=0) * GRID).round() / GRID
        squares = [_squares(query, origin, height)]
        squares.append(squares[0] if twice else _squares(reference, origin, width))
        nearest = torch.full((len(squares[0]), k), FARTHEST, device=query.device)
        nearest[len(query) :] = 0  # rows that only fill up the last tile look for nothing
        tile = torch.empty(height, width, device=query.device)
        for top in range(0, len(query), height):
            rows = slice(top, top + height)
            some = _part(query[rows], origin, height)
            for left in range(top if twice else 0, len(reference), width):
                columns = slice(left, left + width)
                torch.add(squares[0][rows, None], squares[1][columns], out=tile)
                tile.addmm_(some, _part(reference[columns], origin, width).T, alpha=-2)
                if ref_includes_query:
                    tile.diagonal(top - left).fill_(torch.inf)
                by_row = tile.view(height, -1, BLOCK)
                _improve_in_parts(nearest[rows], by_row, by_row.amin(dim=2), left)
                if twice and left > top:
                    by_column = tile.view(-1, BLOCK, width)
                    _improve_in_parts(nearest[columns], by_column.permute(2, 0, 1), by_column.amin(dim=1).T, top)
        return nearest[: len(query)]


class FaissNeighbors:
    """The same by faiss's exhaustive search, whose order among equally near rows is its own.

    Raises:
        UserError: for embeddings on a device that the installed faiss does not search on.
    """

    def __call__(
        self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        index = faiss.IndexFlatL2(query.shape[1])
        if query.device.type != "cpu":
            if not (query.is_cuda and faiss.get_num_gpus()):
                raise UserError(
                    f"neighbors=faiss cannot search on {query.device}: the faiss installed here has no support for "
                    "it; install faiss-gpu-cu12 or use protocol.neighbors=exact"
                )
            index = inference.convert_to_gpu_index(index, None)
        found = inference.add_to_index_and_search(index, query.float(), reference.float(), k + int(ref_includes_query))
        distances, indices = (part.to(query.device) for part in found)
        return inference.return_results(distances, indices, ref_includes_query)


NEIGHBOR_SEARCHES: dict[str, Callable[[], Neighbors]] = {"exact": ExactNeighbors, "faiss": FaissNeighbors}


def pack(squares: Tensor, indices: Tensor) -> Tensor:
    """Integers in the order of squared distances, and of indices where those are equal.

    A distance that rounding made negative is 0.

    Example:
        >>> pack(torch.tensor([2.0, 0.5, 0.5, -1e-9]), torch.tensor([5, 7, 6, 8])).argsort().tolist()
        [3, 2, 1, 0]
    """
    return squares.clamp(min=0).double().view(torch.long) + indices


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """What :func:`pack` was given.

    Example:
        >>> unpack(pack(torch.tensor([0.5, 2.0]), torch.tensor([7, 8])))
        (tensor([0.5000, 2.0000]), tensor([7, 8]))
    """
    indices = keys & (2**INDEX_BITS - 1)
    return (keys - indices).view(torch.float64).float(), indices


@contextmanager
def full_float32(device_type: str) -> Iterator[None]:
    """Products of matrices without shortened mantissas, whatever training may use."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _improve_in_parts(nearest: Tensor, blocks: Tensor, minima: Tensor, left: int) -> None:
    """:func:`_improve`, for so many queries at a time that even if all distances are equal little memory is needed."""
    queries = max(1, blocks.numel() // (8 * nearest.shape[1] * BLOCK))
    for part in zip(nearest.split(queries), blocks.split(queries), minima.split(queries), strict=True):
        _improve(*part, left)


def _improve(nearest: Tensor, blocks: Tensor, minima: Tensor, left: int) -> None:
    """Let in what is nearer in a tile than the farthest of the nearest.

    Args:
        nearest: keys of each query, nearest first, (n, k).
        blocks: the distances of the tile's columns, (n, width / BLOCK, BLOCK).
        minima: of each block, (n, width / BLOCK).
        left: the number of the tile's first column, above all that were seen before.
    """
    k, device = nearest.shape[1], minima.device
    keys = pack(minima, left + BLOCK * torch.arange(minima.shape[1], device=device))
    bound = nearest[:, -1:]
    if keys.shape[1] > k:  # the k-th of the minima has k distances that are no larger
        bound = torch.minimum(bound, keys.topk(k, largest=False).values[:, -1:])
    query, block = (keys <= bound).nonzero(as_tuple=True)
    distances = blocks[query, block]
    place, lane = (distances <= unpack(bound)[0][query]).nonzero(as_tuple=True)
    query = query[place]
    if len(query) == 0:
        return
    found = pack(distances[place, lane], left + BLOCK * block[place] + lane)
    counts = query.bincount(minlength=len(nearest))
    rank = torch.arange(len(query), device=device) - (counts.cumsum(0) - counts)[query]
    beside = nearest.new_full((len(nearest), int(counts.max())), FARTHEST)
    beside[query, rank] = found
    nearest.copy_(torch.cat([nearest, beside], dim=1).topk(k, largest=False).values)


def _even_parts(length: int, most: int) -> int:
    """The size of the fewest equal parts that cover a length; a multiple of :data:`BLOCK`."""
    part = -(-length // -(-length // most))
    return -(-part // BLOCK) * BLOCK


def _squares(embeddings: Tensor, origin: Tensor, part: int) -> Tensor:
    """|x|^2 of each, for as many as whole parts have: those that are not there are infinitely far away."""
    squares = torch.cat([(some - origin).square().sum(dim=1) for some in embeddings.split(part)])
    if not bool(squares.isfinite().all()):
        raise FloatingPointError("embeddings must be finite to have neighbours, but some are NaN or infinite")
    return nn.functional.pad(squares, (0, -len(squares) % part), value=torch.inf)


def _part(rows: Tensor, origin: Tensor, count: int) -> Tensor:
    """The rows as seen from the origin, and as many zeros below as are missing from the count."""
    return nn.functional.pad(rows - origin, (0, 0, 0, count - len(rows)))
