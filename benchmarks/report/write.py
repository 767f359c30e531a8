"""All files of the report, from a directory of runs."""

from collections.abc import Collection
from pathlib import Path

from ..errors import UserError
from ..runs.reader import read_runs
from ..runs.writer import write_whole
from ..statistics import MARGIN
from .comparability import check_comparable
from .contents import contents_of
from .csv import comparisons, curves, results, write_csv
from .fold_ensemble import read_ensembles
from .html import write_html
from .latex import write_latex
from .markdown import write_markdown
from .study import read_studies
from .summary import Summary, summarize
from .tuned_runs import by_search
from .uncertainty_section import uncertainty_rows


def write_report(
    runs: Path, out: Path, margin: float = MARGIN, names: Collection[str] | None = None, total: int | None = None
) -> list[Path]:
    """Write report.html, report.md, tables.tex, results.csv, comparisons.csv and curves.csv; their paths.

    The same runs give the same bytes. Each file is written whole or not at all; nothing is written when the runs do
    not allow a report.

    Args:
        runs: the directory that holds the run directories; other files in it are ignored.
        out: created if it does not exist.
        margin: points of MAP@R within which two losses count as equivalent; to be chosen before the runs are seen.
        names: of the run directories to use; None for all of them.
        total: trainings that there will be when a suite has ended; the page then says that it is preliminary, and loads
            itself again. None: it is final.

    Raises:
        UserError: there is no run, a run is unfinished or damaged, or the runs are not comparable.
    """
    runs = Path(runs)
    summary = read_summary(runs, margin, names)
    contents = contents_of(summary, read_ensembles(runs, summary.runs))
    files = {
        "report.html": write_html(contents, summary, total),
        "report.md": write_markdown(contents),
        "tables.tex": write_latex(contents),
        "results.csv": write_csv(results(summary)),
        "comparisons.csv": write_csv(comparisons(summary)),
        "curves.csv": write_csv(curves(summary)),
    }
    judged = uncertainty_rows(summary)
    if judged.rows:
        files["uncertainty.csv"] = write_csv(judged)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(out / name, content.encode())
    return [out / name for name in files]


def read_summary(runs: Path, margin: float = MARGIN, names: Collection[str] | None = None) -> Summary:
    """The numbers of the report on a directory of runs; arguments and errors as of :func:`write_report`."""
    scored = [run for run in read_runs(runs, names) if run.selection]
    if not scored:
        raise UserError(f"no run in {runs} was scored on the test set, so there is nothing to report")
    studies = read_studies(runs)
    found = by_search(scored, studies)
    check_comparable(found, studies)
    used = {run.tuned.study for run in found if run.tuned}
    return summarize(found, margin, [study for name, study in studies.items() if name in used])
