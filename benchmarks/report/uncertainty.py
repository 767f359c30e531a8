"""Whether a model knows when it is wrong: scores of single queries, judged by the first neighbour's class."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .. import statistics
from ..runs.arrays import read_arrays
from ..runs.checked_json import damaged
from ..runs.done import read_seals
from ..runs.reader import Run
from ..runs.schema import UNCERTAINTY
from ..statistics import Reliability
from .cells import Cell, Estimate
from .formatting import estimate

SCORES = {  # higher is less certain
    "uncertainty": "uncertainty",
    "length": "length of the embedding, short first",
    "distance": "distance to the first neighbour",
    "both": "uncertainty and distance",
    "random": "random",
}
COVERAGES = np.linspace(0.01, 1, 100)
KEYS = ("labels", "kinds", "levels", "right", "distance", "length")


class Assessment(NamedTuple):
    """What one score of one run is worth."""

    aurc: float  # 0 to 1, as all that follow but the correlations
    auroc: float | None  # None where all first neighbours are right, or all wrong
    skill: float | None
    calibration: float
    correlations: dict[str, float]  # with the level, by kind of corruption; empty for random scores and on features
    risk: np.ndarray  # (100,), at COVERAGES
    reliability: Reliability
    severity: dict[str, np.ndarray]  # (6,), by kind: mean at each level, in standard deviations over the clean queries


class Judged(NamedTuple):
    """One score of one loss with one method."""

    cell: Cell
    score: str  # key of SCORES
    by_run: dict[tuple[int, int], Assessment]  # by seed and fold

    @property
    def loss(self) -> str:
        return self.cell.loss

    @property
    def method(self) -> str:
        return self.cell.method

    def estimate(self, value: Callable[[Assessment], float | None]) -> Estimate | None:
        """Over seeds; None where a run has no value."""
        found = {pair: value(assessment) for pair, assessment in self.by_run.items()}
        known = {pair: number for pair, number in found.items() if number is not None}
        return Estimate(tuple(statistics.over_seeds(known).tolist())) if len(known) == len(found) else None

    def correlation(self, kind: str) -> Estimate | None:
        return self.estimate(lambda found: found.correlations.get(kind))

    def mean(self, value: Callable[[Assessment], np.ndarray]) -> np.ndarray:
        """Over runs, of a curve."""
        return np.mean([value(found) for found in self.by_run.values()], axis=0)


def judged(cells: Sequence[Cell]) -> list[Judged]:
    """Every score of the cells whose runs all measured them.

    Raises:
        UserError: a file is damaged.
    """
    found = []
    for cell in cells:
        if all(UNCERTAINTY in read_seals(run.path) for run in cell.runs):
            by_run = {run.pair: dict(assessments(run)) for run in cell.runs}
            known = [score for score in SCORES if all(score in of_run for of_run in by_run.values())]
            found += [Judged(cell, score, {pair: by_run[pair][score] for pair in by_run}) for score in known]
    return found


def assessments(run: Run) -> Iterator[tuple[str, Assessment]]:
    """What each score of a run is worth.

    Raises:
        UserError: its file is damaged.
    """
    arrays = read_arrays(run.path, UNCERTAINTY, KEYS, ("uncertainty",))
    _check(run, arrays)
    kinds, levels, labels = arrays["kinds"].astype(str), arrays["levels"], arrays["labels"]
    right = arrays["right"][0].astype(float)
    scores = {"length": -arrays["length"], "distance": arrays["distance"]}
    if "uncertainty" in arrays:
        scores["uncertainty"] = arrays["uncertainty"]
        both = np.stack([arrays["uncertainty"][0], arrays["distance"][0]])
        scores["both"] = -statistics.match_probability(both, right, labels)[None]
    scores["random"] = np.random.default_rng((run.seed, run.fold)).random((1, len(labels)))
    rows: dict[str, np.ndarray] = {}  # of each corruption: the images as they are, then its levels
    for kind in dict.fromkeys(kinds[1:].tolist()):
        of_kind = np.flatnonzero(kinds == kind)
        rows[kind] = np.concatenate([[0], of_kind[np.argsort(levels[of_kind])]])
    for name, all_values in scores.items():
        values = all_values.astype(float)
        clean = values[0]
        probability = -clean if name == "both" else statistics.match_probability(clean, right, labels)
        corrupted = {kind: values[of_kind] for kind, of_kind in rows.items() if len(values) == len(kinds)}
        spread = float(clean.std()) or 1.0
        risk = statistics.risk_coverage(clean, 1 - right)
        places = np.maximum(np.ceil(COVERAGES * len(risk)).astype(int), 1) - 1
        yield (
            name,
            Assessment(
                aurc=float(risk.mean()),
                auroc=statistics.auroc(clean, right == 0),
                skill=statistics.brier_skill(probability, right),
                calibration=statistics.calibration_error(probability, right),
                correlations={kind: statistics.severity_correlation(found) for kind, found in corrupted.items()},
                risk=risk[places],
                reliability=statistics.reliability(probability, right),
                severity={kind: (found.mean(axis=1) - clean.mean()) / spread for kind, found in corrupted.items()},
            ),
        )


def _check(run: Run, arrays: dict[str, np.ndarray]) -> None:
    labels, kinds = arrays["labels"], arrays["kinds"]
    shape = (len(kinds), len(labels))
    if labels.ndim != 1 or kinds.ndim != 1 or kinds.dtype.kind != "S" or arrays["levels"].shape != kinds.shape:
        raise damaged(run.path / UNCERTAINTY, "labels, kinds and levels are not lists")
    if len(set(labels.tolist())) < 2 or kinds[:1].tolist() != [b"clean"] or b"clean" in kinds[1:]:
        raise damaged(run.path / UNCERTAINTY, "needs queries of two classes, first as they are")
    for name in ("right", "distance", "length", "uncertainty"):
        if name in arrays and (arrays[name].shape != shape or not np.isfinite(arrays[name].astype(float)).all()):
            raise damaged(run.path / UNCERTAINTY, f"{name} is not one finite number per condition and query")


def sentence(scores: Sequence[Judged], name: str) -> str | None:
    """What the uncertainty of a loss and method is worth beside the distance; None if the model knows none."""
    by_name = {each.score: each for each in scores}
    if "uncertainty" not in by_name:
        return None
    own, distance = (by_name[key].estimate(lambda found: found.auroc) for key in ("uncertainty", "distance"))
    if own is None or distance is None:
        return None
    minus = Estimate(tuple(100 * (a - b) for a, b in zip(own.per_seed, distance.per_seed, strict=True)))
    between = minus.interval
    if between and between.low > 0:
        meaning = "the uncertainty tells more than the distance"
    elif between and between.high < 0:
        meaning = "the uncertainty tells less than the distance, which needs no head of its own"
    else:
        meaning = "neither is shown to tell more"
    return (
        f"{name}: the uncertainty ranks a wrong first neighbour above a right one in {100 * own.mean:.1f} % of pairs "
        f"(AUROC), the distance to the first neighbour in {100 * distance.mean:.1f} %, difference "
        f"{estimate(minus, signed=True)}: {meaning}."
    )
