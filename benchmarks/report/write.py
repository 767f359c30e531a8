"""All files of the report, from a folder of run folders."""

from pathlib import Path

from ..records import write_whole
from .fairness import check_comparable
from .render import render_html, render_latex, render_markdown
from .run_folder import read_runs
from .summary import summarize
from .tabular import comparisons_csv, results_csv


def write_report(runs: Path, out: Path) -> list[Path]:
    """Write report.html, report.md, tables.tex, results.csv and comparisons.csv; their paths.

    The same run folders give the same bytes. Each file is written whole or not at all; nothing is written when the
    runs do not allow a report.

    Args:
        runs: the folder that holds the run folders, all of which are used; those elsewhere in it are ignored.
        out: made where it does not exist.

    Raises:
        Refusal: no run, an unfinished or damaged one, or runs that cannot stand in one table.
    """
    found = read_runs(Path(runs))
    check_comparable(found)
    summary = summarize(found)
    contents = {
        "report.html": render_html(summary),
        "report.md": render_markdown(summary),
        "tables.tex": render_latex(summary),
        "results.csv": results_csv(summary),
        "comparisons.csv": comparisons_csv(summary),
    }
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(out / name, content.encode())
    return [out / name for name in contents]
