"""The contents of a report, which the writers put into their forms."""

from collections.abc import Sequence
from typing import NamedTuple

from ..runs.schema import RETRIEVAL
from .fold_ensemble import FoldEnsemble
from .provenance import provenance
from .recommendations import recommendations
from .summary import Summary
from .table import Section, Table
from .tables import run_list, sections
from .verdicts import Finding, attributions, cautions, findings, longer_tuning, overview, which_epoch


class Contents(NamedTuple):
    title: str
    overview: list[str]
    which_epoch: str
    findings: list[Finding]  # on each method against its baseline
    attributions: list[Finding]  # ... against its controls
    cautions: list[str]
    recommendations: list[str]
    sections: list[Section]
    runs: Table
    about_runs: str
    about_data: dict[str, dict[str, str]]  # data set -> facts that its runs share
    environment: dict[str, str]
    digest: str  # of all runs


def contents_of(summary: Summary, ensembles: Sequence[FoldEnsemble]) -> Contents:
    found = provenance(summary)
    return Contents(
        title=f"Each method against its baseline, on {', '.join(data.data for data in summary.data_sets)}",
        overview=overview(summary),
        which_epoch=which_epoch(summary),
        findings=findings(summary),
        attributions=attributions(summary),
        cautions=cautions(summary),
        recommendations=recommendations(summary),
        sections=sections(summary, ensembles, {data.data: longer_tuning(data) for data in summary.data_sets}),
        runs=run_list(summary),
        about_runs=(
            f"{len(summary.all_runs)} finished runs, started {found.started}; set {found.digest} (sha256 of names)."
        ),
        about_data={
            data: {**facts, **({"leakage audit": ". ".join(found.audits[data])} if summary.task is RETRIEVAL else {})}
            for data, facts in found.facts.items()
        },
        environment=found.environment,
        digest=found.digest,
    )
