"""Checks that runs are comparable before they share a table."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..data.audit import leaks
from ..errors import UserError
from ..runs.reader import Run
from ..runs.schema import BASELINE, EXTENDED_BASELINE
from .study import Study
from .tuned_runs import value_at


def check_comparable(runs: Iterable[Run], studies: Mapping[str, Study]) -> None:
    """Refuse runs whose comparison would be unfair: one line per problem, with the run directories.

    One table holds the runs of one data set. Its runs agree in trunk, embedding size, image size, images seen,
    protocol and data hash, and in the trunk's whole config. The runs of one loss agree in the configs of loss and
    protocol, but for parameters that one study searched with the same budget for each of them; the runs of one method
    agree in all three configs. Each (seed, fold) is there once, for a method and for its baseline. No run's data have
    the same images on both sides of the split. Raw features come from the same data, trunk and protocol, and
    are there for each fold; size and standardisation of embeddings are their own.

    Raises:
        UserError: any of this does not hold.
    """
    given = list(runs)
    by_task = _by_value((run, run.task.name) for run in given)
    if len(by_task) > 1:
        raise UserError(f"the runs differ in their task, so they cannot share a report: {_listed(by_task)}")
    raw, runs = [run for run in given if run.is_raw], [run for run in given if not run.is_raw]
    problems = [
        *_leaking(given), *_differing_facts(runs), *_unequally_tuned(runs, studies), *_differing_configs(runs, studies),
        *_repeated(given), *_unlike(raw, runs),
    ]  # fmt: skip
    if not problems:  # pairing is not worth reporting for runs that should not be compared
        problems = list(_unpaired(runs))
    if problems:
        raise UserError("\n".join(problems))


def _leaking(runs: list[Run]) -> Iterator[str]:
    reported = set()
    for run in runs:
        if run.audit is None:
            continue
        for problem in leaks(run.audit, run.audit["twins_allowed"], run.audit["identical_allowed"]):
            if (run.data, problem) not in reported:
                reported.add((run.data, problem))
                yield f"{run.data}: {problem} (as {run.path} found)"


def _unequally_tuned(runs: list[Run], studies: Mapping[str, Study]) -> Iterator[str]:
    """Problems in tuning: the runs of a loss come from one study or none, with equal budgets that are used up."""
    for (data, loss), group in _grouped(runs, "data", "loss").items():
        found = _by_value((run, f"tuned by study {run.tuned.study}" if run.tuned else "not tuned") for run in group)
        if len(found) > 1:
            yield f"the runs of {loss} on {data} differ in their tuning: {_listed(found)}"
        elif group[0].tuned:
            yield from _unequal_budgets(studies[group[0].tuned.study], loss, {run.method for run in group})


def _unequal_budgets(study: Study, loss: str, methods: set[str]) -> Iterator[str]:
    cells = [cell for cell in study.of(loss) if cell.method in methods]
    baseline = next((cell for cell in cells if cell.method == BASELINE), None)
    for cell in cells:
        if len(cell.trials) < cell.budget_trials:
            yield (
                f"study {study.name} has done {len(cell.trials)} of the {cell.budget_trials} trials of {cell.name}: "
                "finish it, so that all have the same budget"
            )
        if baseline is None or cell.method == EXTENDED_BASELINE:
            continue
        for what in ("trials", "images"):
            given, to_baseline = getattr(cell, f"budget_{what}"), getattr(baseline, f"budget_{what}")
            if given != to_baseline:
                yield (
                    f"study {study.name} gave {cell.name} {given:,} {what} and {baseline.name} {to_baseline:,}: "
                    "method and baseline need the same budget"
                )


def _differing_facts(runs: list[Run]) -> Iterator[str]:
    for (data,), on_data in _grouped(runs, "data").items():
        for fact in on_data[0].facts:
            # an epoch may be one pass over the training images, and folds differ in how many they have
            for group in _grouped(on_data, "fold").values() if fact == "images seen" else [on_data]:
                found = _by_value((run, run.facts[fact]) for run in group)
                if len(found) > 1:
                    yield f"the runs on {data} differ in {fact}, so they cannot share a table: {_listed(found)}"


def _differing_configs(runs: list[Run], studies: Mapping[str, Study]) -> Iterator[str]:
    for (data,), group in _grouped(runs, "data").items():
        yield from _differing_keys(group, ("trunk",), data)
    for (data, loss), group in _grouped(runs, "data", "loss").items():
        shared = group[0].task.shared
        yield from _differing_keys(group, shared, f"{loss} on {data}", except_for=_searched(group, studies))
    for (data, loss, method), group in _grouped(runs, "data", "loss", "method").items():
        task = group[0].task
        tuned = task.shared if group[0].tuned else ()  # of others it was seen above
        yield from _differing_keys(group, (*task.own, *tuned), f"{loss} with method {method} on {data}")


def _searched(group: list[Run], studies: Mapping[str, Study]) -> set[str]:
    """Config keys that the study of these runs searched for any of their cells."""
    names = {run.tuned.study for run in group if run.tuned}
    return {key for name in names for cell in studies[name].of(group[0].loss) for key in cell.space}


def _differing_keys(
    runs: list[Run], groups: tuple[str, ...], what: str, except_for: Iterable[str] = ()
) -> Iterator[str]:
    settings = [(run, _flat({group: run.config.get(group) for group in groups})) for run in runs]
    for key in sorted({key for _, flat in settings for key in flat} - set(except_for)):
        found = _by_value((run, flat.get(key, "not set")) for run, flat in settings)
        if len(found) > 1:
            yield f"the runs of {what} differ in {key}, so they cannot be averaged or paired: {_listed(found)}"


def _unlike(raw: list[Run], runs: list[Run]) -> Iterator[str]:
    """Raw features that are not those that the trainings on the same data started from."""
    for (data, loss), features in _grouped(raw, "data", "loss").items():
        trained = [run for run in runs if run.data == data]
        if not trained:
            yield (
                f"nothing was trained on {data}, whose features are in {features[0].path}: there is nothing to compare "
                "them with"
            )
            continue
        facts: dict[str, Callable[[Run], Any]] = {
            "data hash": lambda run: run.facts["data hash"],
            "protocol": lambda run: run.facts["protocol"],
        }
        if value_at(features[0].config, "data.kind") != "features":  # on which a trunk may be trained
            facts["trunk"] = lambda run: run.facts["trunk"]
            facts["trunk.network"] = lambda run: value_at(run.config, "trunk.network")
            facts["trunk.normalization"] = lambda run: value_at(run.config, "trunk.normalization")
        for fact, value in facts.items():
            found = _by_value((run, value(run)) for run in [*features, *trained])
            if len(found) > 1:
                yield f"{loss} and the trainings on {data} differ in {fact}: {_listed(found)}"
        if lacking := sorted({run.fold for run in trained} - {run.fold for run in features}):
            yield (
                f"{loss} on {data} lacks fold {', '.join(map(str, lacking))}, which trainings have: run it with "
                f"loss={loss} and the fold"
            )


def _repeated(runs: list[Run]) -> Iterator[str]:
    for (data, loss, method, fold, seed), same in _grouped(runs, "data", "loss", "method", "fold", "seed").items():
        if len(same) > 1:
            folders = ", ".join(str(run.path) for run in same)
            yield f"{loss} with method {method} on {data}, seed {seed}, fold {fold} exists more than once: {folders}"


def _unpaired(runs: list[Run]) -> Iterator[str]:
    for (data, loss), group in _grouped(runs, "data", "loss").items():
        pairs = {method: {run.pair for run in same} for (method,), same in _grouped(group, "method").items()}
        for method in pairs:
            if BASELINE not in pairs:
                yield (
                    f"{loss} with method {method} on {data} has no baseline: run it with "
                    f"method={BASELINE} and {_named(pairs[method])}"
                )
                continue
            if lacking := pairs[BASELINE] - pairs[method]:
                yield f"{loss} with method {method} on {data} lacks {_named(lacking)}, which its baseline has"
            if lacking := pairs[method] - pairs[BASELINE]:
                yield f"the baseline {loss} on {data} lacks {_named(lacking)}, which method {method} has"
        baseline = pairs.get(BASELINE, set())
        seeds, folds = {seed for seed, _ in baseline}, {fold for _, fold in baseline}
        if lacking := {(seed, fold) for seed in seeds for fold in folds} - baseline:
            yield f"{loss} on {data} lacks {_named(lacking)}: every seed needs the same folds"


def _grouped(runs: Iterable[Run], *keys: str) -> dict[tuple[Any, ...], list[Run]]:
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in runs:
        groups[tuple(getattr(run, key) for key in keys)].append(run)
    return dict(sorted(groups.items()))


def _by_value(values: Iterable[tuple[Run, Any]]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run, value in values:
        found[str(value)].append(run)
    return found


def _listed(found: dict[str, list[Run]]) -> str:
    def folders(runs: list[Run]) -> str:
        more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
        return ", ".join(str(run.path) for run in runs[:5]) + more

    return "; ".join(f"{value} in {folders(runs)}" for value, runs in found.items())


def _named(pairs: set[tuple[int, int]]) -> str:
    return ", ".join(f"seed {seed} fold {fold}" for seed, fold in sorted(pairs))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()}
