"""The choice among finalists, by validation alone, and against the raw features."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...jobs.raw import raw_jobs
from ...jobs.runner import TrainingJob
from ...runs.checked_json import parsed
from ...runs.schema import PRIMARY
from ...statistics import Interval, t_interval


class Difference(NamedTuple):
    """Points of MAP@R, paired by seed."""

    mean: float
    interval: Interval | None  # 95 %, over seeds; None for one seed

    @property
    def is_gain(self) -> bool:
        """Whether its whole interval is above 0; one seed, which has none, settles nothing."""
        return self.interval is not None and self.interval.low > 0

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.mean:+.2f}, one seed, no interval"
        return f"{self.mean:+.2f} [{self.interval.low:.2f} to {self.interval.high:.2f}]"


class Scored(NamedTuple):
    """An arm's scores at the epoch that validation chose, in points."""

    name: str  # loss/method
    validation: np.ndarray  # (seeds,), means over folds
    test: np.ndarray  # (seeds,), means over folds
    epochs: list[int]  # chosen, of each training


class Decision(NamedTuple):
    """What validation says."""

    arms: list[Scored]  # best first, by validation
    raw: Scored  # of the raw or standardised features those that validation prefers
    over_raw: Difference  # the best arm against them, on validation
    over_baseline: Difference | None  # a method against its loss alone, on validation; None: it has none

    @property
    def winner(self) -> Scored | None:
        """The best arm; None where it does not surely beat the raw features."""
        return self.arms[0] if self.over_raw.is_gain else None


def decide(arms: Mapping[str, Sequence[TrainingJob]], seeds: Sequence[int]) -> Decision:
    """Order the finalists by their mean validation score over folds and seeds; no test score has a say.

    Args:
        arms: finished trainings of each.
        seeds: that count.
    """
    scored = [_scored(name, [job for job in jobs if job.config.seed in seeds]) for name, jobs in arms.items()]
    scored.sort(key=lambda arm: -arm.validation.mean())
    first = next(iter(arms.values()))
    folds = sorted({job.config.fold for job in first})
    raw_of_kind: dict[str, list[TrainingJob]] = {}
    for job in raw_jobs(first[0], folds):
        raw_of_kind.setdefault(job.config.loss.name, []).append(job)
    raw = max((_scored(name, jobs) for name, jobs in raw_of_kind.items()), key=lambda arm: arm.validation.mean())
    best = scored[0]
    baseline = next((arm for arm in scored if arm.name == f"{best.name.partition('/')[0]}/none"), None)
    return Decision(
        scored,
        raw,
        difference(best.validation, raw.validation),
        None if baseline is None or baseline is best else difference(best.validation, baseline.validation),
    )


def difference(scores: np.ndarray, others: np.ndarray) -> Difference:
    """Of two arms with the same seeds; raw features have one score for all seeds."""
    values = scores - others
    return Difference(float(values.mean()), t_interval(values))


def _scored(name: str, jobs: Sequence[TrainingJob]) -> Scored:
    by_seed: dict[int, list[tuple[float, float]]] = {}
    epochs = []
    for job in jobs:
        chosen = parsed(job.folder.result)["selection"]["validation"]
        epochs.append(chosen["epoch"])
        by_seed.setdefault(job.config.seed, []).append((chosen["val"][PRIMARY], chosen["test"][PRIMARY]))
    validation, test = 100 * np.array([np.mean(scores, axis=0) for _, scores in sorted(by_seed.items())]).T
    return Scored(name, validation, test, epochs)
