"""The grid of losses and methods at the top of the report."""

import pytest

from benchmarks.report.grid import MOST_ACROSS, STRONGEST, WEAKEST, grid
from benchmarks.report.write import read_summary, write_report


@pytest.fixture(scope="module")
def root(canned_in, tmp_path_factory):
    canned = canned_in(tmp_path_factory.mktemp("runs"))
    spread = [0.001, -0.001, 0.002, 0.0, -0.002, 0.001]
    for loss, method, gain in (("triplet", "ee", 0.04), ("triplet", "iaa", 0.0), ("proxy_anchor", "ps", -0.02)):
        for seed, noise in enumerate(spread):
            canned.write(loss, method, seed=seed, map_at_r=0.5 + gain + noise)
    for loss in ("triplet", "proxy_anchor"):
        for seed in range(len(spread)):
            canned.write(loss, "none", seed=seed, map_at_r=0.5)
    canned.raw(map_at_r=0.3)
    return canned.root


@pytest.fixture(scope="module")
def drawn(root):
    (data,) = read_summary(root).data_sets
    return grid(data)


def test_rows_are_losses_and_columns_are_methods_with_gaps_where_nothing_was_compared(drawn):
    assert drawn.methods == ("PS", "EE", "IAA")
    proxy_anchor, triplet = drawn.rows
    assert (proxy_anchor.loss, proxy_anchor.baseline) == ("ProxyAnchor", "50.0")
    assert [cell is None for cell in proxy_anchor.cells] == [False, True, True]
    assert [cell is None for cell in triplet.cells] == [True, False, False]
    assert drawn.features == "raw features 30.0"


def test_a_cell_has_the_difference_with_its_interval_and_a_shape_and_colour_by_verdict(drawn):
    (ps, _, _), (_, ee, iaa) = (row.cells for row in drawn.rows)
    assert (ee.difference, ee.tone, ee.strength) == ("+4.02", "good", STRONGEST)
    assert (ps.difference, ps.tone) == ("−1.98", "bad") and WEAKEST < ps.strength < STRONGEST
    assert ee.interval == "3.86 to 4.17"
    assert len({cell.shape for cell in (ps, ee, iaa)}) == 3
    assert {name for _, name in drawn.legend} == {cell.verdict for cell in (ps, ee, iaa)}


def test_the_page_starts_with_it(root, tmp_path):
    page = write_report(root, tmp_path)[0].read_text()
    found = page[page.index('id="found"') :]
    assert found.index('class="lead"') < found.index('class="grid"') < found.index("in words</summary>")


def test_many_methods_go_down_the_page(canned, tmp_path):
    methods = [f"m{number}" for number in range(MOST_ACROSS + 1)]
    for number, method in enumerate(["none", *methods]):
        for seed in range(6):
            canned.write("triplet", method, seed=seed, map_at_r=0.5 + number / 100 + seed / 1000)
    page = write_report(canned.root, tmp_path)[0].read_text()
    table = page[page.index('class="grid"') : page.index("</table>")]
    rows = [row.split("</th>", 1) for row in table.split('<th class="text" scope="row">')[1:]]
    assert [name for name, _ in rows] == ["baseline", *methods]
    assert ["50.2" in rows[0][1], "+8.00" in rows[-1][1], "+8.00" in rows[1][1]] == [True, True, False]
