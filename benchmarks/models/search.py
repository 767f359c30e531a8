"""The nearest of many embeddings, through faiss: exactly, or approximately with the recall that this costs."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import faiss
import numpy as np

AT_ONCE = 65_536  # rows that are read into memory at a time
SAMPLE = 1_000  # rows whose neighbours decide the recall
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 100, 128  # of the graph: per node, and candidates kept while it is walked
SAME = 1e-6  # two similarities that differ by less are equal: float32 sums in another order


class Nearest(NamedTuple):
    """The nearest rows of each query, most similar first."""

    similarity: np.ndarray  # (Q, k), cosine
    rows: np.ndarray  # (Q, k)


class Recall(NamedTuple):
    """What an approximate index finds, and how fast."""

    recall: float  # share of the k exact neighbours, 0 to 1
    queries: int
    exact_seconds: float  # per query
    approximate_seconds: float


def exact_index(embeddings: np.ndarray) -> Any:
    """faiss's index that compares a query with every row.

    Args:
        embeddings: (N, D), float32, of unit length; may be mapped into memory.
    """
    return _filled(faiss.IndexFlatIP(embeddings.shape[1]), embeddings)


def approximate_index(embeddings: np.ndarray) -> Any:
    """faiss's HNSW graph, which is walked from row to similar row; for many rows and many queries.

    Source: Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
    Small World graphs", TPAMI 2020.
    """
    index = faiss.IndexHNSWFlat(embeddings.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    index.hnsw.efSearch = SEARCH_WIDTH
    return _filled(index, embeddings)


def nearest(index: Any, queries: np.ndarray, count: int) -> Nearest:
    """The ``count`` nearest rows of each query, or all of them if there are fewer.

    Args:
        index: filled.
        queries: (Q, D), float32, of unit length.
    """
    if isinstance(index, faiss.IndexHNSWFlat):
        index.hnsw.efSearch = max(SEARCH_WIDTH, count)
    return Nearest(*index.search(np.ascontiguousarray(queries, dtype=np.float32), min(count, index.ntotal)))


def measured_recall(approximate: Any, embeddings: np.ndarray, count: int) -> Recall:
    """The recall of an index, for up to 1,000 rows, evenly spread, as queries that must not find themselves.

    A neighbour that is as similar as the last exact one counts as found.

    Args:
        approximate: index of the embeddings.
        embeddings: (N, D).
        count: k.
    """
    rows = np.unique(np.linspace(0, len(embeddings) - 1, min(SAMPLE, len(embeddings))).astype(np.int64))
    queries = np.ascontiguousarray(embeddings[rows])
    exact, exact_seconds = _timed(lambda: nearest(exact_index(embeddings), queries, count + 1))
    found, seconds = _timed(lambda: nearest(approximate, queries, count + 1))
    shares = []
    for row, truth, guess in zip(rows, zip(*exact, strict=True), zip(*found, strict=True), strict=True):
        true = truth[0][truth[1] != row][:count]
        guessed = guess[0][(guess[1] != row) & (guess[1] >= 0)][:count]
        if len(true):
            shares.append(np.sum(guessed >= true[-1] - SAME) / len(true))
    return Recall(float(np.mean(shares)) if shares else 1.0, len(rows), exact_seconds, seconds)


def _filled(index: Any, embeddings: np.ndarray) -> Any:
    for start in range(0, len(embeddings), AT_ONCE):
        index.add(np.ascontiguousarray(embeddings[start : start + AT_ONCE]))
    return index


def _timed(search: Callable[[], Nearest]) -> tuple[Nearest, float]:
    started = time.perf_counter()
    found = search()
    return found, (time.perf_counter() - started) / len(found.rows)
