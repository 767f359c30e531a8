"""The fast path's trainings end where the plain path's do."""

import json
from statistics import mean, stdev

import pytest
import torch

from benchmarks.config.compose import compose
from benchmarks.training.train import train

SMALL = ["protocol=smoke", "data.num_classes=80", "data.image_size=16", "loss=triplet", "quiet=true", "device=cpu"]
SMALL += ["trunk.network.widths=[8]"]  # there is less to compile
SEEDS = (0, 1, 2)


def score(runs, *overrides):
    config, options = compose([*SMALL, f"runs={runs}", *overrides])
    result = json.loads((train(config, options) / "result.json").read_text())
    return result["selection"]["last"]["test"]["mean_average_precision_at_r"]


@pytest.mark.slow
def test_bfloat16_channels_last_trains_to_the_accuracy_of_float32_within_seed_noise(tmp_path):
    plain = [score(tmp_path, f"seed={seed}") for seed in SEEDS]
    fast = ["protocol.precision=bfloat16", "protocol.channels_last=true"]
    scores = [score(tmp_path, f"seed={seed}", *fast) for seed in SEEDS]
    assert scores != plain
    assert abs(mean(scores) - mean(plain)) < 2 * stdev(plain)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_here")
def test_a_compiled_training_ends_at_the_scores_of_the_plain_one(tmp_path):
    assert score(tmp_path, "protocol.compile=true") == pytest.approx(score(tmp_path), abs=0.02)


@pytest.mark.slow
def test_a_training_without_a_compiler_says_so_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.training.training.compile_models", lambda *_: "RuntimeError: no compiler here")
    assert score(tmp_path, "protocol.compile=true", "quiet=false") == score(tmp_path)
    assert "the compiler failed (RuntimeError: no compiler here)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_here")
def test_only_training_batches_are_compiled_and_each_training_anew(tmp_path):
    counters = torch._dynamo.utils.counters
    torch.compiler.reset()  # of what other tests compiled
    counters.clear()
    graphs = []
    for seed in (0, 1):  # one after the other in one process, as a worker has them
        overrides = ["protocol.compile=true", "protocol.test_scoring=once", f"seed={seed}", f"runs={tmp_path}"]
        train(*compose([*SMALL, *overrides]))
        graphs.append(counters["stats"]["unique_graphs"])
    assert 1 <= graphs[0] <= 2  # at most one per model: nothing is compiled again for another shape of batch
    assert graphs[1] == 2 * graphs[0]
