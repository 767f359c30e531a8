"""One number per seed from scores by (seed, fold)."""

import operator
from collections.abc import Callable, Mapping

import numpy as np

from .finite import finite

Scores = Mapping[tuple[int, int], float]  # (seed, fold) -> score


def over_seeds(scores: Scores) -> np.ndarray:
    r"""One mean over the folds for each seed, seeds ascending.

    .. math:: \bar s_i = \frac 1 F \sum_f s_{i,f}

    Folds share most of their training data, so they are no replicates: they are averaged before any
    interval or test, and the number of seeds is the sample size.

    Args:
        scores: at least one score; every seed has the same folds.

    Raises:
        ValueError: no score, a score that is not finite, or a seed that lacks a fold.

    Example:
        >>> over_seeds({(0, 0): 0.2, (0, 1): 0.4, (1, 0): 0.5, (1, 1): 0.7}).round(2).tolist()
        [0.3, 0.6]
    """
    if not scores:
        raise ValueError("scores must hold at least one (seed, fold), but got none")
    seeds = sorted({seed for seed, _ in scores})
    folds = sorted({fold for _, fold in scores})
    missing = [(seed, fold) for seed in seeds for fold in folds if (seed, fold) not in scores]
    if missing:
        raise ValueError(f"every seed needs the folds {folds}, but these (seed, fold) are missing: {missing}")
    return finite([[scores[seed, fold] for fold in folds] for seed in seeds], "scores").mean(axis=1)


def paired_by_seed(
    method: Scores, baseline: Scores, combine: Callable[[float, float], float] = operator.sub
) -> np.ndarray:
    r"""``method`` minus ``baseline``, taken within each (seed, fold) and averaged over folds; seeds ascending.

    .. math:: d_i = \frac 1 F \sum_f (m_{i,f} - b_{i,f})

    Both runs of a pair share seed, fold, initial weights and batches, so what they have in common cancels.

    Args:
        method, baseline: scores of the same (seed, fold).
        combine: of the two scores of a pair; ``operator.truediv`` gives ratios, for costs.

    Raises:
        ValueError: a (seed, fold) that only one of them has.

    Example:
        >>> paired_by_seed({(0, 0): 0.5, (1, 0): 0.75}, {(0, 0): 0.25, (1, 0): 0.25}).tolist()
        [0.25, 0.5]
    """
    unpaired = sorted(set(method) ^ set(baseline))
    if unpaired:
        raise ValueError(f"method and baseline must have the same (seed, fold), but only one of them has {unpaired}")
    return over_seeds({pair: combine(method[pair], baseline[pair]) for pair in method})
