"""The best few of a search, and as many folds and seeds as the time has room for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...jobs.raw import raw_jobs
from ...jobs.runner import TrainingJob
from .. import ledger
from ..cells import Cell
from ..final import list_tasks
from ..ledger import Line
from ..study import FinalConfig, StudyConfig
from .budget import FIXED_SECONDS, MARGIN

ARMS = (4, 3, 2)  # losses with and without a method, the baselines of methods among them
FOLDS = (3, 2, 1)
SEEDS = 10
FEW_SEEDS = 6  # below which no difference can be established


class Finals(NamedTuple):
    """What is trained again after the search."""

    arms: list[str]  # names of the searches, best first
    folds: list[int]
    seeds: int
    seconds: float  # of one training, by those of the search

    @property
    def trainings(self) -> int:
        return len(self.arms) * len(self.folds) * self.seeds


def equal_trials(cells: Sequence[Cell], lines: Iterable[Line]) -> tuple[int, list[Line]]:
    """How many first trials every search has ended, and their lines: equal budgets, wherever the search was cut off."""
    lines = list(lines)
    common = min(cell.trials for cell in cells)
    for cell in cells:
        ended = ledger.ended(lines, cell.name)
        common = min(common, next(number for number in range(cell.trials + 1) if number not in ended))
    return common, [line for line in lines if line["trial"] < common]


def ranked(best: Mapping[str, Line]) -> list[str]:
    """The searches by their best validation score. A method whose best trial was without it is its loss alone."""
    own = {name: line for name, line in best.items() if name.endswith("/none") or not line["augmentation_off"]}
    return sorted(own, key=lambda name: -own[name]["score"])


def finalists(best: Mapping[str, Line], most: int) -> list[str]:
    """The best searches, each method with its baseline beside it, ``most`` together."""
    chosen: list[str] = []
    for name in ranked(best):
        baseline = f"{name.partition('/')[0]}/none"
        more = [arm for arm in dict.fromkeys((name, baseline)) if arm not in chosen]
        if baseline in best and len(chosen) + len(more) <= most:
            chosen += more
    return chosen


def plan_finals(
    study: StudyConfig, best: Mapping[str, Line], lines: Sequence[Line], num_folds: int, seconds: float, workers: int
) -> Finals:
    """Arms, folds and seeds that fit into ``seconds``.

    The folds are such as the search did not validate on, if there are others: what was chosen for its validation
    classes is judged on new ones. The most arms and folds that leave :data:`FEW_SEEDS` seeds are taken, folds before
    arms; if none do, two arms or one, one fold and fewer seeds.

    Args:
        study: of the search.
        best: the best line of each search.
        lines: of the ledger, which say how long a training takes.
        num_folds: of the protocol.
        seconds: for all trainings.
        workers: trainings at a time.
    """
    others = [fold for fold in range(num_folds) if fold not in study.folds] or study.folds
    trained = [fold for line in lines for fold in line["folds"]]
    each = FIXED_SECONDS + MARGIN * sum(fold["seconds"] for fold in trained) / max(1, len(trained))
    count = int(seconds * workers / each)
    choices = [(folds, most, FEW_SEEDS) for folds in FOLDS for most in ARMS] + [(1, ARMS[-1], 2), (1, 1, 2)]
    for folds, most, fewest in choices:
        arms = finalists(best, most)
        seeds = min(SEEDS, count // max(1, len(arms) * len(others[:folds])))
        if seeds >= fewest:
            return Finals(arms, others[:folds], seeds, each)
    return Finals(finalists(best, 1), others[:1], 2, each)  # what ends in time counts


def list_finals(
    study: StudyConfig, cells: Sequence[Cell], best: Mapping[str, Line], finals: Finals
) -> dict[str, list[TrainingJob]]:
    """The trainings of each finalist, seed by seed."""
    of_name = {cell.name: cell for cell in cells}
    config = FinalConfig(study.runs, seeds=list(range(finals.seeds)), folds=finals.folds)
    jobs = {}
    for name in finals.arms:
        tasks = list_tasks(study, config, of_name[name], best[name])
        # nobody scores the folds' models side by side
        lean = [replace(task.config, protocol=replace(task.config.protocol, keep_embeddings=False)) for task in tasks]
        jobs[name] = [TrainingJob(config, task.options) for config, task in zip(lean, tasks, strict=True)]
    return jobs


def in_turn(arms: Mapping[str, Sequence[TrainingJob]]) -> list[TrainingJob]:
    """Raw features first, then all arms of the first seed, of the second, and so on."""
    trained = [job for jobs in arms.values() for job in jobs]
    raw = raw_jobs(trained[0], sorted({job.config.fold for job in trained}))
    return [*raw, *sorted(trained, key=lambda job: (job.config.seed, job.config.fold))]


def whole_seeds(arms: Mapping[str, Sequence[TrainingJob]]) -> list[int]:
    """The seeds of which every arm has finished all folds."""
    jobs = [job for some in arms.values() for job in some]
    open_ones = {job.config.seed for job in jobs if not job.is_done()}
    return sorted({job.config.seed for job in jobs} - open_ones)
