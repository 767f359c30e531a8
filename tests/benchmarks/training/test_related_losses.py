"""The related losses and cross-batch memory: what their configurations build, and that it learns."""

from pathlib import Path

import pytest
import torch

from benchmarks.config.compose import compose
from benchmarks.runs.reader import read_run
from benchmarks.training.build import build
from benchmarks.training.check import check
from benchmarks.training.train import train
from pml_aug.wrappers import BatchAndMemory, EmbeddingExpansion, IntraClassAdaptiveAugmentation

TINY = ["trunk.network.widths=[2]", "protocol.embedding_size=8", "protocol.batch_size=16"]
LOSSES = ["triplet_semihard", "nca", "binomial_deviance", "soft_lifted"]
METHODS = {"xbm": None, "xbm_ee": EmbeddingExpansion, "xbm_iaa": IntraClassAdaptiveAugmentation}


def losses_of_steps(words: list[str], steps: int = 60) -> list[float]:
    """Of a linear embedder, trained on one batch of four classes."""
    config, _ = compose([*TINY, *words])
    check(config)
    parts = build(config, num_classes=4, channels=1, device=torch.device("cpu"))
    loss, miner = parts.loss_funcs["metric_loss"].train(), parts.mining_funcs.get("tuple_miner")
    torch.manual_seed(0)
    labels = torch.arange(4).repeat_interleave(4)
    features = torch.randn(4, 2)[labels] + 0.5 * torch.randn(16, 2)
    optimizer, values = torch.optim.Adam(parts.models["embedder"].parameters(), lr=0.03), []
    for _ in range(steps):
        embeddings = parts.models["embedder"](features)
        value = loss(embeddings, labels, None if miner is None else miner(embeddings, labels))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_falls_in_training(loss: str) -> None:
    values = losses_of_steps([f"loss={loss}"])
    assert values[-1] < values[0] - 0.05


@pytest.mark.parametrize("loss", [*LOSSES, "multi_similarity", "contrastive"])
@pytest.mark.parametrize("method", METHODS)
def test_a_memory_joins_after_its_warm_up_with_every_loss_that_can_hold_one(method: str, loss: str) -> None:
    words = [f"loss={loss}", f"method={method}"]
    part = "wrapper" if method == "xbm" else "outer_wrapper"
    if loss == "nca":
        with pytest.raises(ValueError, match="use NTXentLoss or SupConLoss"):
            losses_of_steps(words)
        return
    with_memory = losses_of_steps([*words, f"method.{part}.warm_up=2"], steps=4)
    without = losses_of_steps([*words, f"method.{part}.memory_weight=0"], steps=4)
    assert with_memory[:2] == without[:2] and with_memory[2] > without[2]


@pytest.mark.parametrize(("method", "inner"), METHODS.items())
def test_the_miner_of_the_loss_is_in_the_part_that_augments(method: str, inner: type | None) -> None:
    config, _ = compose([*TINY, "loss=triplet", f"method={method}"])
    parts = build(config, num_classes=4, channels=1, device=torch.device("cpu"))
    loss = parts.loss_funcs["metric_loss"]
    assert isinstance(loss, BatchAndMemory) and parts.mining_funcs == {}
    assert loss.miner is not None and (inner is None or isinstance(loss.loss, inner))


def test_a_memory_smaller_than_a_batch_is_refused_before_the_data_are_read() -> None:
    config, _ = compose([*TINY, "loss=contrastive", "method=xbm", "method.wrapper.memory_size=8"])
    with pytest.raises(ValueError, match="memory_size must be at least"):
        check(config)


@pytest.mark.slow
def test_a_training_with_a_memory_differs_from_its_baseline_once_it_has_joined(tmp_path: Path) -> None:
    words = [
        "data=glyphs_lite0", "data.num_classes=40", "protocol.epochs=3", "protocol.iterations_per_epoch=5",
        "protocol.test_scoring=every", "loss=triplet_semihard", "protocol.batch_size=32", f"runs={tmp_path}",
        "device=cpu", "quiet=true",
    ]  # fmt: skip
    runs = [read_run(train(*compose([*words, *method]))) for method in (
        ["method=none"], ["method=xbm", "method.wrapper.warm_up=5"],
    )]  # fmt: skip
    baseline, method = ([entry.test for entry in run.history] for run in runs)
    assert baseline[:2] == method[:2] and baseline[2:] != method[2:]
