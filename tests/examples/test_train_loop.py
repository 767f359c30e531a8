"""The plain training loop learns, and its two arms share weights and batches."""

import runpy
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning import losses

from pml_aug.wrappers import EmbeddingExpansion

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "train_loop.py"))


@pytest.mark.slow
def test_training_raises_the_score_and_a_switched_off_method_is_the_baseline() -> None:
    train_set, test_set = EXAMPLE["glyphs"]()
    assert not set(train_set.tensors[1].tolist()) & set(test_set.tensors[1].tolist())

    def network_after(loss: torch.nn.Module, steps: int) -> torch.nn.Module:
        return EXAMPLE["train"](train_set, loss, steps)

    baseline = network_after(losses.MultiSimilarityLoss(), 20)
    switched_off = network_after(EmbeddingExpansion(losses.MultiSimilarityLoss(), num_points=0), 20)
    for name, weight in baseline.state_dict().items():
        assert torch.equal(weight, switched_off.state_dict()[name]), name
    untrained = network_after(losses.MultiSimilarityLoss(), 1)
    assert EXAMPLE["map_at_r"](baseline, test_set) > EXAMPLE["map_at_r"](untrained, test_set) + 5
