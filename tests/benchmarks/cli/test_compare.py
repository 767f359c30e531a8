"""The one-line comparison; here, beside the canned runs."""

import re
import shutil

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.errors import UserError
from benchmarks.report.compare import compare


@pytest.fixture
def pair(canned):
    return canned.write("triplet", map_at_r=0.50), canned.write("triplet", "ee", map_at_r=0.52)


def folders(canned, gains):
    """Two folders of runs, one a side, with these differences by seed, in points."""
    sides = [type(canned)(canned.root / side) for side in ("a", "b")]
    for seed, gain in enumerate(gains):
        sides[0].write("triplet", seed=seed, map_at_r=0.5 + 0.01 * seed)
        sides[1].write("triplet", "ee", seed=seed, map_at_r=0.5 + 0.01 * seed + gain / 100)
    return [side.root for side in sides]


def test_two_runs_of_one_seed_are_compared_over_test_classes(pair):
    line = compare(*pair)
    assert line.startswith(
        "Triplet EE is 2.00 points of test MAP@R higher than Triplet baseline (52.00 against 50.00; 95 % "
    )
    assert "One seed: the interval covers the choice of test classes" in line
    low, high = map(float, re.search(r"over test classes (−?[\d.]+) to ([\d.]+)", line).groups())
    assert low < 2 < high


def test_the_other_way_round_it_is_lower(pair):
    assert compare(*reversed(pair)).startswith("Triplet baseline is 2.00 points of test MAP@R lower than Triplet EE")


def test_folders_of_paired_seeds_have_the_paired_statistics(canned):
    line = compare(*folders(canned, [1, 2, 3, 1, 2, 3]))
    assert "is 2.00 points of test MAP@R higher" in line
    assert "95 % over 6 seeds 1.06 to 2.94; p = 0.0312 by the sign-flip test, smallest attainable 0.0312" in line
    assert "95 % over test classes" in line


def test_runs_that_validation_left_untrained_are_named_and_get_no_verdict(canned):
    untrained = canned.write("triplet", map_at_r=0.50, selection__validation__epoch=0)
    line = compare(untrained, canned.write("triplet", "ee", map_at_r=0.52))
    assert "No verdict: validation chose the untrained model (epoch 0) in" in line and untrained.name in line
    assert "p =" not in line


def test_it_is_one_line(pair, capsys):
    assert main(["compare", *map(str, pair)]) == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trunk": "resnet50"}, "trunk: small_cnn against resnet50"),
        ({"embedding_size": 128}, "embedding size: 64 against 128"),
        ({"images_seen": 100}, "images seen: 9600 against 100"),
    ],
)
def test_unlike_set_ups_are_refused_by_name_and_compared_by_force(canned, changes, named, capsys):
    a, b = canned.write("triplet"), canned.write("triplet", "ee", **changes)
    with pytest.raises(UserError, match=re.escape(named) + r".*--force"):
        compare(a, b)
    assert main(["compare", str(a), str(b), "--force"]) == 0
    assert named in capsys.readouterr().out.replace("Set-ups differ in ", "")


def test_a_differing_protocol_value_is_named(canned, pair):
    changed = canned.edit_config(pair[1], "protocol", batch_size=16)
    with pytest.raises(UserError, match="protocol.batch_size: None against 16"):
        compare(pair[0], changed)


def test_other_data_are_never_compared(canned):
    a, b = canned.write("triplet"), canned.write("triplet", "ee", data__hash="0" * 64)
    with pytest.raises(UserError, match="data hash") as refused:
        compare(a, b, force=True)
    assert "--force" not in str(refused.value)


def test_losses_and_methods_may_differ(canned):
    assert "ProxyAnchor PS is" in compare(canned.write("triplet"), canned.write("proxy_anchor", "ps"))


def test_runs_of_different_seeds_are_no_pair(canned):
    with pytest.raises(UserError, match="only one of .* has seed 0 fold 0, seed 1 fold 0"):
        compare(canned.write("triplet", seed=0), canned.write("triplet", "ee", seed=1))


def test_a_folder_of_several_kinds_is_refused(canned):
    canned.suite(["triplet"], ["ee"], seeds=1)
    with pytest.raises(
        UserError, match="holds 2 kinds of runs .triplet with method ee on glyphs, triplet with method none"
    ):
        compare(canned.root, canned.root)


def test_a_run_that_never_saw_the_test_set_is_refused(canned, pair):
    canned.edit(pair[1], lambda result: result["selection"].update(never(result)))
    with pytest.raises(UserError, match="was never scored on the test set"):
        compare(*pair)


def never(result):
    return {rule: {**selected, "test": None} for rule, selected in result["selection"].items()}


def test_queries_that_are_not_the_same_are_refused(canned, pair):
    with np.load(pair[1] / "queries.npz") as arrays:
        np.savez(pair[1] / "queries.npz", **{**arrays, "labels": arrays["labels"][::-1]})
    canned.reseal(pair[1])
    with pytest.raises(UserError, match="are not the same test images"):
        compare(*pair)


def test_queries_that_do_not_give_the_score_are_damage(canned, pair):
    with np.load(pair[1] / "queries.npz") as arrays:
        changed = {**arrays, "mean_average_precision_at_r": arrays["mean_average_precision_at_r"] + 0.01}
        np.savez(pair[1] / "queries.npz", **changed)
    canned.reseal(pair[1])
    with pytest.raises(UserError, match="of the queries is not the one in result.json"):
        compare(*pair)


def test_a_query_alone_in_its_class_is_left_out(canned, pair):
    expected = compare(*pair)
    for folder in pair:
        with np.load(folder / "queries.npz") as arrays:
            np.savez(folder / "queries.npz", **{key: np.append(value, 999 if key == "labels" else np.nan)
                                                for key, value in arrays.items()})  # fmt: skip
        canned.reseal(folder)
    assert compare(*pair) == expected


def test_two_runs_of_one_name_are_called_a_and_b(canned, pair):
    copy = canned.root / "copies" / pair[0].name
    shutil.copytree(pair[0], copy)
    assert compare(pair[0], copy).startswith("B is 0.00 points of test MAP@R different than A, both Triplet baseline")
