"""Templates filled with the report's numbers."""

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmarks.report import formatting
from benchmarks.report.figures import accuracy_cost, forest, learning_curves, method_colours, tuning_curves
from benchmarks.report.fold_ensemble import Together
from benchmarks.report.gallery import gallery
from benchmarks.report.labels import METRIC_NAMES, counted_epoch, loss_name, method_name, rule_name
from benchmarks.report.provenance import provenance
from benchmarks.report.ranks import ranks
from benchmarks.report.recommendations import stronger
from benchmarks.report.summary import Summary
from benchmarks.report.verdicts import cautions, controls, findings, overview, which_epoch
from benchmarks.runs.schema import PER_QUERY, PRIMARY

_LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {"−": "$-$", "–": "--", "~": r"\textasciitilde{}", "<": "$<$"}


def render_html(summary: Summary, together: Sequence[Together]) -> str:
    """The page: one file, no request to anywhere."""
    searched = [cell.method for study in summary.studies for cell in study.cells]
    colours = method_colours([cell.method for table in summary.tables for cell in table.cells] + searched)
    return _templates(autoescape=True).get_template("report.html.j2").render(
        _context(summary, together),
        colours=colours,
        forest=forest(summary.comparisons, colours, len(summary.tables) > 1) if summary.comparisons else None,
        curves={table.data: learning_curves(table, colours) for table in summary.tables},
        tuning={study.name: tuning_curves(study, colours) for study in summary.studies},
        cost_figures={table.data: accuracy_cost(table, colours) for table in summary.tables},
        galleries=[gallery(comparison) for comparison in summary.comparisons],
    )  # fmt: skip


def render_markdown(summary: Summary, together: Sequence[Together]) -> str:
    return _templates().get_template("report.md.j2").render(_context(summary, together))


def render_latex(summary: Summary, together: Sequence[Together]) -> str:
    """Tables for a paper; they need the package booktabs."""
    templates = _templates(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", finalize=_latex,
    )  # fmt: skip
    return templates.get_template("tables.tex.j2").render(_context(summary, together))


def _context(summary: Summary, together: Sequence[Together]) -> dict[str, object]:
    return {
        "summary": summary,
        "overview": overview(summary),
        "which_epoch": which_epoch(summary),
        "findings": findings(summary),
        "cautions": cautions(summary),
        "controls": {table.data: controls(table) for table in summary.tables},
        "stronger": stronger(summary),
        "ranks": ranks(summary),
        "together": {table.data: [t for t in together if t.data == table.data] for table in summary.tables},
        "provenance": provenance(summary),
        "metrics": PER_QUERY,
        "primary": PRIMARY,
    }


def _templates(**options: object) -> Environment:
    environment = Environment(
        loader=PackageLoader("benchmarks.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, **options,  # type: ignore[arg-type]
    )  # fmt: skip
    environment.filters.update(
        counted_epoch=counted_epoch,
        estimate=formatting.estimate,
        interval=formatting.interval,
        loss=loss_name,
        memory=formatting.memory,
        method=method_name,
        metric=METRIC_NAMES.__getitem__,
        number=formatting.number,
        p=formatting.p_value,
        range=formatting.searched,
        rule=rule_name,
        setting=formatting.setting,
        with_code=with_code,
        sortable=formatting.sortable,
        span=lambda ends: formatting.span(*ends),
    )
    return environment


def with_code(text: str) -> Markup:
    """A sentence for the page, what stands between backticks as code."""
    parts = [str(escape(part)) for part in text.split("`")]
    return Markup("".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)))


def _latex(value: object) -> str:
    """Every value that enters the LaTeX template, its special characters escaped."""
    return re.sub("|".join(map(re.escape, _LATEX_SPECIAL)), lambda match: _LATEX_SPECIAL[match[0]], str(value))
