import re
from xml.etree import ElementTree

import pytest

from benchmarks.report.figures import accuracy_cost, forest, learning_curves, method_colours
from benchmarks.report.summary import summarize
from benchmarks.runs.reader import read_runs


@pytest.fixture(scope="module", params=[1, 3], ids=["one seed", "three seeds"])
def summary(canned_in, tmp_path_factory, request):
    canned = canned_in(tmp_path_factory.mktemp("figures"))
    return summarize(read_runs(canned.suite(["triplet", "proxy_anchor"], ["ee", "ps"], seeds=request.param)))


@pytest.fixture(scope="module")
def figures(summary):
    colours = method_colours(["none", "ee", "ps"])
    table = summary.data_sets[0]
    return [
        forest(summary.comparisons, colours, name_data=False),
        *learning_curves(table, colours),
        accuracy_cost(table, colours),
    ]


@pytest.mark.slow
def test_figures_are_well_formed_and_say_what_they_show(figures):
    for figure in figures:
        svg = ElementTree.fromstring(figure.svg)
        assert svg.get("role") == "img"
        assert svg.get("aria-label") == figure.alt
        assert re.search(r"MAP@R.*\d", figure.alt)


def test_ink_and_lines_take_the_colours_of_the_page(figures):
    for figure in figures:
        assert "var(--ink)" in figure.svg and "var(--rule)" in figure.svg
        assert not re.search(r"(fill|stroke): ?#(000000|ffffff|0[1-9]0)", figure.svg)


def test_no_two_figures_share_an_id_and_each_reference_has_one(figures):
    found = [set(re.findall(r' id="([^"]+)"', figure.svg)) for figure in figures]
    assert sum(map(len, found)) == len(set.union(*found))
    for figure, ids in zip(figures, found, strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', figure.svg)) == ids


def test_the_forest_shows_each_comparison_with_its_interval(figures):
    figure = figures[0]
    for name in ("Triplet + EE", "Triplet + PS", "ProxyAnchor + EE", "ProxyAnchor + PS"):
        assert name in figure.svg and f"{name}: " in figure.alt


def test_curves_end_where_the_shortest_run_ends(canned):
    folder = canned.write("triplet", seed=0)
    canned.write("triplet", seed=1)
    canned.edit(folder, lambda result: result["history"].pop())
    canned.edit(folder, lambda result: result["history"][-1]["val"].update(mean_average_precision_at_r=0.3))
    table = summarize(read_runs(canned.root)).data_sets[0]
    (last,) = (run.curve[4] for run in table.cells[0].runs if run.seed == 1)
    (figure,) = learning_curves(table, method_colours(["none"]))
    assert f"baseline ends at {(30 + 100 * last) / 2:.1f}" in figure.alt


def test_the_legend_of_many_methods_leaves_the_axes_room(canned, recwarn):
    methods = ["none", *(f"m{number}" for number in range(20))]
    for method in methods:
        canned.write("triplet", method, seed=0)
    table = summarize(read_runs(canned.root)).data_sets[0]
    (curves,) = learning_curves(table, method_colours(methods))
    costs = accuracy_cost(table, method_colours(methods))
    assert not recwarn.list  # matplotlib warns where nothing is left of the axes
    for figure in (curves, costs):
        assert all(f">{name}<" in figure.svg for name in ("baseline", *methods[1:]))


def test_a_method_has_one_colour_and_the_baseline_loss_is_grey():
    colours = method_colours(["ps", "none", "ee", "ps"])
    assert len(set(colours.values())) == 3
    assert colours == method_colours(["ee", "ps"])
