import json

import pytest

from benchmarks.errors import UserError
from benchmarks.report.fold_ensemble import read_ensembles
from benchmarks.runs.reader import read_runs


def seeds_of(canned, method, levels, concatenated):
    for seed, (level, together) in enumerate(zip(levels, concatenated, strict=True)):
        runs = [canned.once("triplet", method, fold, seed, map_at_r=level) for fold in range(2)]
        canned.together(runs, together)


def read(canned):
    return read_ensembles(canned.root, read_runs(canned.root))


def test_scores_are_means_over_seeds_and_differences_are_paired(canned):
    seeds_of(canned, "none", [0.50, 0.52], [0.55, 0.57])
    seeds_of(canned, "ee", [0.51, 0.55], [0.56, 0.60])
    baseline, method = read(canned)
    assert (baseline.method, baseline.embedding_size, baseline.difference) == ("none", 128, None)
    assert baseline.separated.mean == pytest.approx(51) and baseline.concatenated.mean == pytest.approx(56)
    assert method.difference.per_seed == pytest.approx([1, 3])


def test_other_seeds_than_the_baseline_loss_has_give_no_difference(canned):
    seeds_of(canned, "none", [0.50], [0.55])
    seeds_of(canned, "ee", [0.51, 0.55], [0.56, 0.60])
    assert read(canned)[1].difference is None


def test_concatenations_of_runs_that_are_not_there_are_left_out(canned):
    seeds_of(canned, "none", [0.50], [0.55])
    assert read_ensembles(canned.root, []) == []


def test_two_concatenations_of_one_seed_are_refused(canned):
    seeds_of(canned, "none", [0.50], [0.55])
    (file,) = (canned.root / "concatenated").iterdir()
    file.with_name("again.json").write_text(file.read_text())
    with pytest.raises(UserError, match="is a second concatenation of triplet with method none and seed 0"):
        read(canned)


def test_an_impossible_score_is_named(canned):
    seeds_of(canned, "none", [0.50], [0.55])
    (file,) = (canned.root / "concatenated").iterdir()
    content = json.loads(file.read_text())
    content["concatenated"]["mean_average_precision_at_r"] = 55
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="concatenated.mean_average_precision_at_r = 55"):
        read(canned)
