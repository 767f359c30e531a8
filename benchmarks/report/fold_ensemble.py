"""Scores of the ensembles of each seed's folds: the models' embeddings, concatenated."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .. import statistics
from ..errors import UserError
from ..runs.checked_json import Fields
from ..runs.reader import Run
from ..runs.schema import BASELINE, PRIMARY, SCHEMA
from .cells import Estimate
from .summary import order


class FoldEnsemble(NamedTuple):
    """One loss with one method on one data set. MAP@R in points, over seeds."""

    data: str
    loss: str
    method: str
    embedding_size: int  # of the concatenation
    separated: Estimate  # mean of the folds' models
    concatenated: Estimate
    difference: Estimate | None  # of concatenations, to the baseline's; None for it, and where seeds differ


def read_ensembles(root: Path, runs: Iterable[Run]) -> list[FoldEnsemble]:
    """The ensembles of the runs' folds, from ``root/concatenated``; files of other runs are ignored.

    Raises:
        UserError: a file is damaged, or there are two of one loss, method and seed.
    """
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    scores: dict[tuple[str, str, str], dict[int, tuple[float, float]]] = {}
    sizes: dict[tuple[str, str, str], int] = {}
    for path in sorted((root / "concatenated").glob("*.json")):
        fields = Fields.of(path)
        if fields.get("schema", int) != SCHEMA:
            raise UserError(f"{path} has schema {fields.content['schema']}, but this report reads schema {SCHEMA}")
        folds = [by_name.get(name, []) for name in fields.list_of("runs", str)]
        methods = set.intersection(*({run.method for run in same} for same in folds)) if folds else set()
        for method in sorted(methods):
            key = (fields.get("data", str), fields.get("loss", str), method)
            of_seed = scores.setdefault(key, {})
            seed = fields.count("seed")
            if seed in of_seed:
                raise UserError(f"{path} is a second concatenation of {key[1]} with method {method} and seed {seed}")
            of_seed[seed] = (fields.fraction(f"separated.{PRIMARY}"), fields.fraction(f"concatenated.{PRIMARY}"))
            sizes[key] = fields.count("embedding_size")
    return [_ensemble(key, scores, sizes[key]) for key in sorted(scores, key=lambda key: (*key[:2], order(key[2])))]


def _ensemble(
    key: tuple[str, str, str], scores: dict[tuple[str, str, str], dict[int, tuple[float, float]]], size: int
) -> FoldEnsemble:
    own, baseline = scores[key], scores.get((*key[:2], BASELINE), {})
    difference = None
    if key[2] != BASELINE and set(own) == set(baseline):
        method, base = ({(seed, 0): 100 * both[1] for seed, both in side.items()} for side in (own, baseline))
        difference = Estimate(tuple(statistics.paired_by_seed(method, base).tolist()))
    separated, concatenated = ([100 * own[seed][i] for seed in sorted(own)] for i in (0, 1))
    return FoldEnsemble(*key, size, Estimate(tuple(separated)), Estimate(tuple(concatenated)), difference)
