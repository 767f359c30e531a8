import csv
import html
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from benchmarks.__main__ import main
from benchmarks.errors import UserError
from benchmarks.report import latex, markdown
from benchmarks.report.contents import contents_of
from benchmarks.report.write import read_summary, write_report
from benchmarks.runs.schema import METRICS

NAMES = ["report.html", "report.md", "tables.tex", "results.csv", "comparisons.csv", "curves.csv"]
VOID = {"meta", "link", "img", "br", "hr", "input"}


@pytest.fixture(scope="module")
def runs(canned_in, tmp_path_factory):
    """3 seeds whose differences are 1, 3 and 2 points, and 3 simulated ones; only read after the first report."""
    canned = canned_in(tmp_path_factory.mktemp("report") / "runs")
    for seed, (baseline, method) in enumerate([(0.50, 0.51), (0.52, 0.55), (0.54, 0.56)]):
        canned.write("multi_similarity", seed=seed, map_at_r=baseline)
        canned.write("multi_similarity", "ee", seed=seed, map_at_r=method)
    return canned.suite(["proxy_anchor"], ["ps"], seeds=3)


@pytest.fixture(scope="module")
def written(runs):
    """The text of each file."""
    return {path.name: path.read_text() for path in write_report(runs, runs / "report")}


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_all_files_are_written_and_nothing_else(runs, written):
    assert sorted(written) == sorted(NAMES)
    assert sorted(path.name for path in (runs / "report").iterdir()) == sorted(NAMES)


@pytest.mark.slow
def test_a_second_report_has_the_same_bytes(runs, written, tmp_path):
    again = write_report(runs, tmp_path / "elsewhere" / "deeper")
    assert {path.name: path.read_text() for path in again} == written


@pytest.mark.parametrize("name", ["report.html", "report.md", "tables.tex"])
def test_hand_computed_numbers_stand_in_each_form(written, name):
    text = written[name].replace("$-$", "−")
    assert re.search(r"52\.0\W+(?:small>)?47\.0 to 57\.0", text)  # level of the baseline: mean and interval
    assert re.search(r"\+2\.00\W+(?:small>)?−0\.48 to 4\.48", text)  # difference: mean and interval
    assert "1.00 to 3.00" in text  # bootstrap
    assert "0.25" in text  # p, and the smallest p of 3 seeds


def test_the_page_asks_for_nothing_from_anywhere(written):
    page = Page(written["report.html"])
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "data"):
            assert value and value.startswith(("data:", "#")), (tag, name, value)
    assert "@import" not in written["report.html"]
    assert not re.search(r"url\((?!#)", written["report.html"])
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", written["report.html"])


def test_the_page_is_balanced_and_accessible(written):
    page = Page(written["report.html"])
    assert page.open == []
    assert ("html", "lang", "en") in page.attributes
    images = written["report.html"].count("<img ")
    assert images > 0
    assert len([value for tag, name, value in page.attributes if tag == "img" and name == "alt" and value]) == images
    targets = {value for _, name, value in page.attributes if name == "id"}
    links = [value[1:] for tag, name, value in page.attributes if tag == "a" and name == "href"]
    assert links and set(links) <= targets


def test_oracles_are_marked(written):
    assert written["report.html"].count("<small>oracle</small>") == 4  # two rules in each of two tables
    assert "Last epoch, oracle | Best on test, oracle" in written["report.md"]
    assert "Best on test (oracle)" in written["tables.tex"]


def test_the_findings_come_first_and_name_the_smallest_p(written):
    for name in ("report.html", "report.md"):
        top = written[name][: written[name].index("## Accuracy" if name == "report.md" else 'id="accuracy')]
        assert "none is established" in top
        assert "the smallest attainable p is 0.25" in top


def test_every_run_is_named(runs, written):
    names = [path.name for path in runs.iterdir() if path.name != "report"]
    assert len(names) == 12
    assert all(name in written["report.html"] and name in written["report.md"] for name in names)
    assert "12 finished runs" in written["report.html"]


def test_latex_is_balanced_and_its_rows_have_the_columns_announced(written):
    tex = written["tables.tex"]
    assert re.findall(r"\\begin\{(\w+)\}", tex).count("table") == tex.count(r"\end{table}") == 6
    assert tex.count("{") == tex.count("}")
    assert not re.search(r"(?<!\\)_", tex)
    assert tex.isascii()
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", tex, flags=re.DOTALL):
        rows = re.findall(r"^(.*)\\\\$", body, flags=re.MULTILINE)
        assert len(rows) >= 3
        assert {row.count("&") + 1 for row in rows} == {len(columns)}


def test_results_csv_has_every_run_and_rule_with_its_configuration(written):
    rows = list(csv.DictReader(io.StringIO(written["results.csv"])))
    assert len(rows) == 12 * 3
    (row,) = (r for r in rows if (r["loss"], r["method"], r["seed"], r["selection"])
              == ("multi_similarity", "ee", "1", "validation"))  # fmt: skip
    assert float(row["mean_average_precision_at_r"]) == 0.55
    assert {f"recall_at_{k}" for k in (1, 2, 4, 8)} < set(row) and float(row["recall_at_8"]) == 0.775
    assert (row["trunk"], row["protocol"], row["oracle"]) == ("small_cnn", "quickstart, version 1", "False")
    assert row["config.loss.criterion._target_"] == "losses.multi_similarity" and row["active_steps"] == "300"


def test_curves_csv_has_every_evaluation(written):
    rows = list(csv.DictReader(io.StringIO(written["curves.csv"])))
    assert len(rows) == 12 * 6
    first = rows[0]
    assert (first["epoch"], first["training_loss"]) == ("0", "") and 0 < float(first["validation_recall_at_4"]) < 1


def test_comparisons_csv_holds_the_paired_difference(written):
    rows = list(csv.DictReader(io.StringIO(written["comparisons.csv"])))
    assert len(rows) == 2 * 3 * len(METRICS)
    (row,) = (r for r in rows if (r["loss"], r["selection"], r["metric"])
              == ("multi_similarity", "validation", "mean_average_precision_at_r"))  # fmt: skip
    assert float(row["difference_points"]) == pytest.approx(2)
    assert (float(row["p"]), float(row["smallest_p"])) == (0.25, 0.25)
    assert (row["verdict"], row["trunk"]) == ("underpowered", "small_cnn")
    assert all((row["p"] != "") == (row["verdict"] != "") for row in rows)


HOSTILE = r"a\input \g<0> <script>alert(1)</script> a|b $x$ 100 % {sure} a](http://b) & more"


@pytest.fixture(scope="module")
def odd(canned_in, tmp_path_factory):
    """One seed on each of two data sets, one of which has a name that means something in every form."""
    canned = canned_in(tmp_path_factory.mktemp("odd") / "runs")
    for name in ("glyphs", HOSTILE):
        for method in ("none", "ee"):
            canned.write("triplet", method, data__name=name)
    return {path.name: path.read_text() for path in write_report(canned.root, canned.root / "report")}


@pytest.mark.slow
def test_one_seed_gives_a_report_without_intervals(odd):
    assert "with one seed, which allows neither an interval nor a test" in odd["report.html"]
    assert "nan" not in odd["report.html"]


def test_two_data_sets_have_a_table_each(odd):
    assert odd["report.md"].count("\n## Accuracy on") == 2
    assert {row["data"] for row in csv.DictReader(io.StringIO(odd["results.csv"]))} == {"glyphs", HOSTILE}


def test_a_name_of_any_characters_is_text_in_every_form(odd):
    page, text = odd["report.html"], odd["report.md"]
    assert Page(page).open == [] and html.escape(HOSTILE) in page and HOSTILE not in page
    assert page.count("<script>") == 1
    assert "<script" not in text and markdown.escaped(HOSTILE) in text and "a|b" not in text
    columns = {line.count("|") - line.count(r"\|") for line in text.splitlines() if line[:2] == "| "}
    assert min(columns) == 5
    assert latex.escaped(HOSTILE) in odd["tables.tex"] and r"\input" not in odd["tables.tex"]


@pytest.mark.slow
def test_with_many_comparisons_the_figure_comes_before_the_findings_which_are_folded(canned):
    canned.suite(["triplet"], [f"method_{number}" for number in range(7)], seeds=1)
    page = write_report(canned.root, canned.root / "report")[0].read_text()
    assert page.index("<figure>") < page.index("All 7 comparisons, in words") < page.index('class="findings"')


def test_intervals_of_impossible_values_are_not_shown(canned):
    for seed, seconds in enumerate((0.005, 0.05)):
        for method in ("none", "ee"):
            canned.write("triplet", method, seed=seed, seconds=seconds)
    text = markdown.write_markdown(contents_of(read_summary(canned.root), []))
    (costs,) = re.findall(r"## Cost.*?## ", text, flags=re.DOTALL)
    assert "−" not in costs and "[–]" in costs


def test_nothing_is_written_when_the_runs_allow_no_report(canned):
    canned.write("triplet", "ee")
    with pytest.raises(UserError, match="no baseline"):
        write_report(canned.root, canned.root / "report")
    assert not (canned.root / "report").exists()


def test_the_command_prints_the_files_and_baselines_alone_are_not_compared(canned, capsys):
    canned.suite(["triplet"], [], seeds=2)
    out = canned.root / "here"
    assert main(["report", str(canned.root), "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / name) for name in NAMES]
    page = (out / "report.html").read_text()
    assert "nothing is compared" in page and "Gallery" not in page
    assert (out / "comparisons.csv").read_text() == ""


def test_the_command_refuses_with_a_sentence_and_status_2(canned, capsys):
    folder = canned.write("triplet")
    (folder / "done").unlink()
    assert main(["report", str(canned.root)]) == 2
    assert f"{folder} is unfinished" in capsys.readouterr().err


def test_the_report_needs_no_torch():
    code = (
        "import sys, benchmarks.report; "
        "print([name for name in ('torch', 'pml_aug', 'pytorch_metric_learning') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
