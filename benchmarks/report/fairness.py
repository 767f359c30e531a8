"""What runs must share before they stand in one table."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import Refusal
from .run_folder import Run

BARE = "none"
SETUP = ("loss", "protocol")  # config groups that a method shares with its bare loss


def check_comparable(runs: Iterable[Run]) -> None:
    """Refuse what would make a table unfair; one sentence for each problem, with the run folders.

    One table holds the runs of one data set. Its runs agree in trunk, embedding size, image size, images seen,
    protocol and data hash, and in the trunk's whole config. The runs of one loss agree in the configs of loss and
    protocol, the runs of one method in the method's config too. Each (seed, fold) is there once, for a method and for
    its bare loss.

    Raises:
        Refusal: any of this does not hold.
    """
    runs = list(runs)
    problems = [*_differing_facts(runs), *_differing_configs(runs), *_repeated(runs)]
    if not problems:  # pairs of runs that should not be compared are not worth a sentence
        problems = list(_unpaired(runs))
    if problems:
        raise Refusal("\n".join(problems))


def _differing_facts(runs: list[Run]) -> Iterator[str]:
    for (data,), group in _grouped(runs, "data").items():
        for fact in group[0].facts:
            found = _by_value((run, run.facts[fact]) for run in group)
            if len(found) > 1:
                yield f"the runs on {data} differ in {fact}, so they cannot stand in one table: {_listed(found)}"


def _differing_configs(runs: list[Run]) -> Iterator[str]:
    for (data,), group in _grouped(runs, "data").items():
        yield from _differing_keys(group, ("trunk",), data)
    for (data, loss), group in _grouped(runs, "data", "loss").items():
        yield from _differing_keys(group, SETUP, f"{loss} on {data}")
    for (data, loss, method), group in _grouped(runs, "data", "loss", "method").items():
        yield from _differing_keys(group, ("method",), f"{loss} with method {method} on {data}")


def _differing_keys(runs: list[Run], groups: tuple[str, ...], what: str) -> Iterator[str]:
    settings = [(run, _flat({group: run.config.get(group) for group in groups})) for run in runs]
    for key in sorted({key for _, flat in settings for key in flat}):
        found = _by_value((run, flat.get(key, "not set")) for run, flat in settings)
        if len(found) > 1:
            yield f"the runs of {what} differ in {key}, so they cannot be averaged or paired: {_listed(found)}"


def _repeated(runs: list[Run]) -> Iterator[str]:
    for (data, loss, method, fold, seed), same in _grouped(runs, "data", "loss", "method", "fold", "seed").items():
        if len(same) > 1:
            folders = ", ".join(str(run.path) for run in same)
            yield f"{loss} with method {method} on {data}, seed {seed}, fold {fold} is there more than once: {folders}"


def _unpaired(runs: list[Run]) -> Iterator[str]:
    for (data, loss), group in _grouped(runs, "data", "loss").items():
        pairs = {method: {run.pair for run in same} for (method,), same in _grouped(group, "method").items()}
        for method in pairs:
            if BARE not in pairs:
                yield (
                    f"{loss} with method {method} on {data} has no bare loss to be compared with: run it with "
                    f"method={BARE} and {_named(pairs[method])}"
                )
                continue
            if lacking := pairs[BARE] - pairs[method]:
                yield f"{loss} with method {method} on {data} lacks {_named(lacking)}, which its bare loss has"
            if lacking := pairs[method] - pairs[BARE]:
                yield f"the bare {loss} on {data} lacks {_named(lacking)}, which method {method} has"
        bare = pairs.get(BARE, set())
        seeds, folds = {seed for seed, _ in bare}, {fold for _, fold in bare}
        if lacking := {(seed, fold) for seed in seeds for fold in folds} - bare:
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
