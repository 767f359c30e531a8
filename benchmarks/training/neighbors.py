"""Nearest-neighbour search for PML's AccuracyCalculator: exact, or by faiss."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import faiss
import torch
from pytorch_metric_learning.utils import inference
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import UserError
from .distributed import ALONE, ProcessGroup

BLOCK = 32  # columns of a tile whose minimum is computed first
SIDES = {"cpu": 4096, "cuda": 8192}  # maximum side of a tile: 64 and 256 MiB
GRID = 64  # grid points per unit for the origin
INDEX_BITS = 29  # mantissa bits of a float64 beyond those of a float32: enough for half a billion rows
FARTHEST = 0x7FF << 52 | 2**INDEX_BITS - 1  # the key of an infinite distance to the last row
PATIENCE = 10.0  # seconds before a search shows its progress


class Neighbors(Protocol):
    """A search for the nearest rows; called as PML's ``knn_func``."""

    def __call__(
        self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        """:meth:`among` with the queries at the beginning of the reference, or in no place of it."""

    def among(self, query: Tensor, k: int, reference: Tensor, first: int | None) -> tuple[Tensor, Tensor]:
        """Squared distances and indices, nearest first.

        Args:
            first: where the queries begin in the reference, in which no query finds itself; None: they are not in it.

        Shapes:
            (Q, D), (R, D) -> (Q, k), (Q, k)
        """


class ExactNeighbors:
    r"""The k nearest rows of the reference by Euclidean distance; ties are broken by the smaller index.

    Distances are computed in tiles of bounded size, in float32:

    .. math:: |q_i - r_j|^2 = |q_i|^2 + |r_j|^2 - 2 \langle q_i, r_j \rangle

    The origin is moved to the mean of the reference, because the rounding errors of these terms grow with their size:
    the neighbours of embeddings that are close together, as in an untrained model, would be arbitrary. The mean is
    rounded to a coarse grid, so that simple numbers stay exact.

    If the queries are the reference, each tile is used for its rows and its columns, so only half of them are computed.
    The minima of blocks of columns bound the distance of the k-th neighbour, so most blocks are skipped. Distance and
    index are compared as one integer, so there are no ties and the order is the same on every device. All tiles have
    the same shape, so that equal rows get equal distances in all of them.

    Args:
        side: maximum side of a tile; None for 4096 on the CPU (64 MiB), 8192 elsewhere.
        processes: that share the tiles; each must search for the same, and gets all neighbours, to the last digit those
            of one process.
        quiet: whether to show no progress bar; else one appears after some seconds.
    """

    def __init__(self, side: int | None = None, processes: ProcessGroup = ALONE, quiet: bool = True) -> None:
        self.side = side
        self.processes = processes
        self.quiet = quiet

    def __call__(
        self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Squared distances and indices, nearest first; PML's ``knn_func``.

        Args:
            ref_includes_query: whether the reference starts with the queries, and no query is its own neighbour.

        Shapes:
            (Q, D), (R, D) -> (Q, k), (Q, k)

        Raises:
            ValueError: k is out of range.
            FloatingPointError: an embedding is NaN or infinite.
        """
        return self.among(query, k, reference, 0 if ref_includes_query else None)

    def among(self, query: Tensor, k: int, reference: Tensor, first: int | None) -> tuple[Tensor, Tensor]:
        most = len(reference) - int(first is not None)
        if not 1 <= k <= most:
            raise ValueError(f"k must be between 1 and {most}, the number of rows to find, but got {k}")
        with torch.no_grad(), full_float32(query.device.type):
            return unpack(self._nearest(query.float(), k, reference.float(), first))

    def _nearest(self, query: Tensor, k: int, reference: Tensor, first: int | None) -> Tensor:
        """(Q, k): keys of the neighbours."""
        twice = first is not None and len(query) == len(reference)  # each tile is used for rows and columns
        most = self.side or SIDES.get(query.device.type, SIDES["cuda"])
        height, width = _even_parts(len(query), most), _even_parts(len(reference), most)
        origin = (reference.mean(dim=0) * GRID).round() / GRID
        squares = [_squares(query, origin, height)]
        squares.append(squares[0] if twice else _squares(reference, origin, width))
        nearest = torch.full((len(squares[0]), k), FARTHEST, device=query.device)
        nearest[len(query) :] = 0  # padding rows of the last tile search nothing
        tile = torch.empty(height, width, device=query.device)
        corners = [
            (top, left)
            for top in range(0, len(query), height)
            for left in range(top if twice else 0, len(reference), width)
        ]
        mine = corners[self.processes.rank :: self.processes.size]
        for top, left in tqdm(mine, "neighbors", unit="tile", leave=False, delay=PATIENCE, disable=self.quiet):
            rows, columns = slice(top, top + height), slice(left, left + width)
            torch.add(squares[0][rows, None], squares[1][columns], out=tile)
            tile.addmm_(_part(query[rows], origin, height), _part(reference[columns], origin, width).T, alpha=-2)
            if first is not None:
                tile.diagonal(first + top - left).fill_(torch.inf)
            by_row = tile.view(height, -1, BLOCK)
            _improve_in_parts(nearest[rows], by_row, by_row.amin(dim=2), left)
            if twice and left > top:
                by_column = tile.view(-1, BLOCK, width)
                _improve_in_parts(nearest[columns], by_column.permute(2, 0, 1), by_column.amin(dim=1).T, top)
        if self.processes.size > 1:
            for some in nearest.split(height):
                some.copy_(torch.cat(self.processes.gather(some), dim=1).topk(k, largest=False).values)
        return nearest[: len(query)]


class FaissNeighbors:
    """faiss's exhaustive search, with faiss's order of ties.

    Raises:
        UserError: the installed faiss does not support the device of the embeddings.
    """

    def __call__(
        self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        return self.among(query, k, reference, 0 if ref_includes_query else None)

    def among(self, query: Tensor, k: int, reference: Tensor, first: int | None) -> tuple[Tensor, Tensor]:
        index = faiss.IndexFlatL2(query.shape[1])
        if query.device.type != "cpu":
            if not (query.is_cuda and faiss.get_num_gpus()):
                raise UserError(
                    f"neighbors=faiss cannot search on {query.device}: the faiss installed here has no support for "
                    "it; install faiss-gpu-cu12 or use protocol.neighbors=exact"
                )
            index = inference.convert_to_gpu_index(index, None)
        wanted = k + int(first is not None)
        found = inference.add_to_index_and_search(index, query.float(), reference.float(), wanted)
        distances, indices = (part.to(query.device) for part in found)
        if first is None:
            return distances, indices
        own = indices == torch.arange(first, first + len(indices), device=indices.device)[:, None]
        own[~own.any(dim=1), -1] = True  # many rows are as near as the query itself: it is not among them
        return distances[~own].view(-1, k), indices[~own].view(-1, k)


def neighbor_search(name: str, processes: ProcessGroup = ALONE, quiet: bool = True) -> Neighbors:
    """The search of that name, "exact" or "faiss"; by faiss, every process searches alone."""
    return ExactNeighbors(processes=processes, quiet=quiet) if name == "exact" else FaissNeighbors()


def pack(squares: Tensor, indices: Tensor) -> Tensor:
    """Integers that sort by squared distance, then by index.

    Distances that are negative by rounding count as 0.

    Example:
        >>> pack(torch.tensor([2.0, 0.5, 0.5, -1e-9]), torch.tensor([5, 7, 6, 8])).argsort().tolist()
        [3, 2, 1, 0]
    """
    return squares.clamp(min=0).double().view(torch.long) + indices


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`pack`.

    Example:
        >>> unpack(pack(torch.tensor([0.5, 2.0]), torch.tensor([7, 8])))
        (tensor([0.5000, 2.0000]), tensor([7, 8]))
    """
    indices = keys & (2**INDEX_BITS - 1)
    return (keys - indices).view(torch.float64).float(), indices


@contextmanager
def full_float32(device_type: str) -> Iterator[None]:
    """Compute matrix products in full float32 inside the block, whatever the precision of the training."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _improve_in_parts(nearest: Tensor, blocks: Tensor, minima: Tensor, left: int) -> None:
    """:func:`_improve` for a few queries at a time, which bounds the memory even if all distances are equal."""
    queries = max(1, blocks.numel() // (8 * nearest.shape[1] * BLOCK))
    for part in zip(nearest.split(queries), blocks.split(queries), minima.split(queries), strict=True):
        _improve(*part, left)


def _improve(nearest: Tensor, blocks: Tensor, minima: Tensor, left: int) -> None:
    """Update the nearest neighbours by the distances of a tile, in place.

    Args:
        nearest: keys of each query, nearest first, (n, k).
        blocks: the distances of the tile's columns, (n, width / BLOCK, BLOCK).
        minima: of each block, (n, width / BLOCK).
        left: index of the first column of the tile; larger than all indices so far.
    """
    k, device = nearest.shape[1], minima.device
    keys = pack(minima, left + BLOCK * torch.arange(minima.shape[1], device=device))
    bound = nearest[:, -1:]
    if keys.shape[1] > k:  # at least k distances are no larger than the k-th minimum
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
    """Size of the fewest equal parts of at most ``most`` that cover a length; a multiple of :data:`BLOCK`."""
    part = -(-length // -(-length // most))
    return -(-part // BLOCK) * BLOCK


def _squares(embeddings: Tensor, origin: Tensor, part: int) -> Tensor:
    """|x|^2 of each row, padded with infinity to whole parts."""
    squares = torch.cat([(some - origin).square().sum(dim=1) for some in embeddings.split(part)])
    if not bool(squares.isfinite().all()):
        raise FloatingPointError("embeddings must be finite to have neighbours, but some are NaN or infinite")
    return nn.functional.pad(squares, (0, -len(squares) % part), value=torch.inf)


def _part(rows: Tensor, origin: Tensor, count: int) -> Tensor:
    """The rows relative to the origin, padded with zeros to ``count`` rows."""
    return nn.functional.pad(rows - origin, (0, 0, 0, count - len(rows)))
