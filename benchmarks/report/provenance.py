"""Provenance of the numbers: runs, configurations, data, versions, hardware."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..runs.reader import Run
from .formatting import span
from .summary import DataSummary, Summary


class Provenance(NamedTuple):
    digest: str  # of all runs: equal for two reports on the same configs
    facts: dict[str, dict[str, str]]  # data set -> what its runs have in common
    audits: dict[str, list[str]]  # data set -> what both sides of its splits have in common, in words
    environment: dict[str, str]  # what -> the values found, most often one
    started: str  # start of the first and the last run


def provenance(summary: Summary) -> Provenance:
    runs = summary.all_runs
    names = "\n".join(sorted(run.name for run in runs))
    began = sorted(str(run.environment.get("started")) for run in runs)
    return Provenance(
        digest=hashlib.sha256(names.encode()).hexdigest()[:12],
        facts={data.data: _facts(data) for data in summary.data_sets},
        audits={data.data: _audits(data) for data in summary.data_sets},
        environment=_environment(runs),
        started=began[0] if began[0] == began[-1] else f"{began[0]} to {began[-1]}",
    )


def _facts(data: DataSummary) -> dict[str, str]:
    runs = [run for cell in data.cells for run in cell.runs]
    return {name: _values({run.facts[name] for run in runs}) for name in runs[0].facts}


def _values(values: set[Any]) -> str:
    """One value, or the range of a number that differs by fold."""
    numbers = sorted(value for value in values if isinstance(value, int))
    return span(numbers[0], numbers[-1]) if numbers else " / ".join(sorted(map(str, values)))


def _audits(data: DataSummary) -> list[str]:
    """A sentence for each fold; one for all where they agree."""
    found: dict[str, set[int]] = {}
    for run in (run for cell in data.cells for run in cell.runs):
        found.setdefault(_audit(run.audit), set()).add(run.fold)
    several = len(found) > 1
    return [
        f"Fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, sorted(folds)))}: {audit}" if several else audit
        for audit, folds in sorted(found.items(), key=lambda item: min(item[1]))
    ]


def _audit(audit: dict[str, Any] | None) -> str:
    if audit is None:
        return "not audited"
    validation = audit["validation"]
    validated = (
        f", and {validation['near_identical']:,} of {validation['images']:,} validation images to one in training"
        if validation["images"]
        else ""
    )
    return (
        f"{audit['shared_classes']} classes and {audit['identical']} identical images on both sides of the test split; "
        f"{audit['near_identical']:,} of {audit['images']:,} test images near-identical to one of another class in "
        f"training or validation ({100 * audit['near_identical'] / audit['images']:.2f} %; "
        f"at most {100 * audit['twins_allowed']:g} % allowed){validated} (thumbnails that correlate at "
        f"{audit['threshold']:g} or more)"
    )


def _environment(runs: Iterable[Run]) -> dict[str, str]:
    environments = [run.environment for run in runs]
    found = {
        what: {str(environment.get(key)) for environment in environments}
        for what, key in (("commit", "commit"), ("CPU", "cpu"), ("GPU", "gpu"), ("platform", "platform"))
    }
    found["device"] = {run.cost.device for run in runs}
    found["Python"] = {str(environment.get("python")) for environment in environments}
    packages = [environment.get("packages") or {} for environment in environments]
    for package in sorted({name for versions in packages for name in versions}):
        found[package] = {str(versions.get(package, "not there")) for versions in packages}
    return {what: " / ".join(sorted(values)).replace("None", "none") for what, values in found.items()}
