"""All files of the report, from a folder of run folders."""

from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.report.comparability import check_comparable
from benchmarks.report.csv_tables import comparisons_csv, results_csv
from benchmarks.report.fold_ensemble import read_concatenated
from benchmarks.report.render import render_html, render_latex, render_markdown
from benchmarks.report.study import read_studies
from benchmarks.report.summary import summarize
from benchmarks.report.tuned_runs import by_search
from benchmarks.runs.reader import read_runs
from benchmarks.runs.writer import write_whole
from benchmarks.statistics import MARGIN


def write_report(runs: Path, out: Path, margin: float = MARGIN) -> list[Path]:
    """Write report.html, report.md, tables.tex, results.csv and comparisons.csv; their paths.

    The same run folders give the same bytes. Each file is written whole or not at all; nothing is written when the
    runs do not allow a report.

    Args:
        runs: the folder that holds the run folders, all of which are used; those elsewhere in it are ignored.
        out: made where it does not exist.
        margin: points of MAP@R within which a difference counts as none; to be chosen before the runs are seen.

    Raises:
        UserError: no run, an unfinished or damaged one, or runs that cannot stand in one table.
    """
    runs = Path(runs)
    scored = [run for run in read_runs(runs) if run.selection]
    if not scored:
        raise UserError(f"no run in {runs} was scored on the test set, so there is nothing to report")
    studies = read_studies(runs)
    found = by_search(scored, studies)
    check_comparable(found, studies)
    used = {run.tuned.study for run in found if run.tuned}
    summary = summarize(found, margin, [study for name, study in studies.items() if name in used])
    together = read_concatenated(runs, summary.runs)
    contents = {
        "report.html": render_html(summary, together),
        "report.md": render_markdown(summary, together),
        "tables.tex": render_latex(summary, together),
        "results.csv": results_csv(summary),
        "comparisons.csv": comparisons_csv(summary),
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(out / name, content.encode())
    return [out / name for name in contents]
