"""The report as one page that requests nothing from anywhere."""

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from ..runs.schema import GALLERY, RETRIEVAL
from .contents import Contents
from .figures import Figure, accuracy_cost, forest, learning_curves, method_colours, tuning_curves, uncertainty_figures
from .formatting import formatted, setting
from .gallery import gallery
from .grid import grid
from .labels import METRIC_NAMES, loss_name, method_name
from .summary import Summary
from .table import Section

SHOWN = 6  # controls' findings; the others are folded, so that a long report starts with its pictures


def write_html(contents: Contents, summary: Summary, total: int | None = None) -> str:
    """The page; arguments as of :func:`benchmarks.report.write.write_report`."""
    searched = [cell.method for study in summary.studies for cell in study.cells]
    colours = method_colours([cell.method for data in summary.data_sets for cell in data.cells] + searched)
    several = len(summary.data_sets) > 1
    figures = _figures(summary, colours)
    return _template().render(
        contents=contents,
        sections=_with_curves(contents.sections, figures, summary),
        figures=figures,
        summary=summary,
        several=several,
        colours=colours,
        shown=SHOWN,
        total=total,
        grids=[grid(data) for data in summary.data_sets if data.comparisons],
        forest=forest(summary.comparisons, colours, several) if summary.comparisons else None,
        galleries=[
            gallery(comparison) for comparison in summary.comparisons if GALLERY in comparison.method.task.arrays
        ],
        metric=METRIC_NAMES[summary.task.primary],
        is_retrieval=summary.task is RETRIEVAL,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(__package__), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=True,
    )  # fmt: skip
    environment.filters.update(
        formatted=formatted, loss=loss_name, method=method_name, setting=setting, with_code=with_code
    )
    return environment.get_template("report.html.j2")


def _figures(summary: Summary, colours: dict[str, str]) -> dict[str, list[Figure]]:
    """By the key of the section that they belong to."""
    found = {}
    for number, data in enumerate(summary.data_sets, start=1):
        found[f"learning-{number}"] = learning_curves(data, colours)
        found[f"cost-{number}"] = [accuracy_cost(data, colours)]
        found[f"uncertainty-{number}"] = uncertainty_figures(data.uncertainty)
    for number, study in enumerate(summary.studies, start=1):
        found[f"tuning-{number}"] = tuning_curves(study, colours)
    return found


def _with_curves(sections: list[Section], figures: Mapping[str, list[Figure]], summary: Summary) -> list[Section]:
    """The sections, and after each accuracy one for its learning curves, where there are any."""
    found = []
    for section in sections:
        found.append(section)
        kind, _, number = section.key.partition("-")
        if kind == "accuracy" and figures[f"learning-{number}"]:
            title = section.title.replace("Accuracy", "Learning curves", 1)
            note = (
                "Validation MAP@R by epoch: mean over seeds with its 95 % t-interval, up to the last epoch that all "
                "runs of a line reached. If curves still rise at the end, the training budget favours methods that "
                "converge fast."
            )
            found.append(Section(f"learning-{number}", title, (), (), note))
    return found


def with_code(text: str) -> Markup:
    """A sentence for the page, with what is between backticks as code."""
    parts = [str(escape(part)) for part in text.split("`")]
    return Markup("".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)))
