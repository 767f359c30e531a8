"""How often a method acted, as result.json records it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import ContrastiveLoss
from tiny_runs import numbers, run_tiny

from benchmarks.training.activity import MethodActivity
from pml_aug.wrappers import EmbeddingExpansion

LENGTH = ["protocol.epochs=2", "protocol.iterations_per_epoch=3", "protocol.evaluate_every=2"]


def activity(runs: Path, *overrides: str) -> Any:
    return numbers(run_tiny(runs, *LENGTH, *overrides))["method_activity"]


def test_steps_with_points_are_counted_apart_from_steps_without() -> None:
    wrapper = EmbeddingExpansion(ContrastiveLoss(), num_points=2)
    counted = MethodActivity(wrapper)
    rows = torch.nn.functional.normalize(torch.arange(8.0).view(4, 2) + 1)
    for labels in ([0, 0, 1, 1], [0, 1, 2, 3]):  # two pairs of a class, then none
        wrapper(rows, torch.tensor(labels))
        counted.count()
    share = float(counted.shares)
    assert 0 <= share <= 1
    expected = {"steps": 2, "active_steps": 1, "synthetic_per_step": 2.0, "synthetic_share": share}
    assert counted.summary() == expected
    resumed = MethodActivity(wrapper)
    resumed.load_state_dict(counted.state_dict())
    assert resumed.summary() == expected


@pytest.mark.slow
def test_a_method_that_acts_in_every_step_says_so(tmp_path: Path) -> None:
    found = activity(tmp_path, "loss=triplet", "method=ee")
    assert 0 < found.pop("synthetic_share") <= 1
    assert found == {"steps": 6, "active_steps": 6, "synthetic_per_step": 8.0}  # 2 classes x 4 images, 1 pair an image
    found = activity(tmp_path, "loss=proxy_anchor", "method=ps")
    assert found == {"steps": 6, "active_steps": 6, "synthetic_per_step": 8.0, "synthetic_share": None}


def test_a_method_without_pairs_to_act_on_says_that_it_never_did(tmp_path: Path) -> None:
    found = activity(tmp_path, "loss=proxy_anchor", "method=ee")
    assert found == {"steps": 6, "active_steps": 0, "synthetic_per_step": 0.0, "synthetic_share": 0.0}


@pytest.mark.parametrize("method", ["none", "idml_no_mixup"])
def test_nothing_is_counted_where_there_are_no_synthetic_points_to_make(method: str, tmp_path: Path) -> None:
    assert activity(tmp_path, "loss=proxy_anchor", f"method={method}") is None


def test_the_epochs_before_the_first_copies_are_counted_as_inactive(tmp_path: Path) -> None:
    found = activity(tmp_path, "loss=triplet", "method=iaa")
    assert (found["steps"], found["active_steps"]) == (6, 3)
