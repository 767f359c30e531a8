"""Where the numbers come from: runs, configs, data, versions, hardware."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from .run_folder import Run
from .summary import Summary


class Provenance(NamedTuple):
    digest: str  # of all runs: equal for two reports on the same configs
    facts: dict[str, dict[str, Any]]  # data set -> what its runs have in common
    environment: dict[str, str]  # what -> the values found, most often one
    started: str  # when the first and the last run began


def provenance(summary: Summary) -> Provenance:
    runs = summary.runs
    names = "\n".join(sorted(run.name for run in runs))
    began = sorted(str(run.environment.get("started")) for run in runs)
    return Provenance(
        digest=hashlib.sha256(names.encode()).hexdigest()[:12],
        facts={table.data: table.cells[0].runs[0].facts for table in summary.tables},
        environment=_environment(runs),
        started=began[0] if began[0] == began[-1] else f"{began[0]} to {began[-1]}",
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
