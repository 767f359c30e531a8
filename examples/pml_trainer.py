"""Proxy Synthesis in PML's own trainer and tester.

    python examples/pml_trainer.py

Embeds pretrained features of characters; test classes are unseen in training. One seed decides nothing.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import losses, testers, trainers
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import nn
from torch.utils.data import TensorDataset

from pml_aug import wrappers

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH = 200, 64, 64  # training classes, width of the embeddings, rows per batch


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test features (N, 128) with labels (N,), of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    train = labels < CLASSES
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], labels[train]), TensorDataset(features[~train], labels[~train])


def train_and_test(loss: nn.Module, epochs: int = 4) -> float:
    """Test MAP@R in percent, after training."""
    torch.manual_seed(0)
    np.random.seed(0)  # PML's sampler draws from NumPy
    train_set, test_set = glyphs()
    models = {"trunk": nn.Identity(), "embedder": nn.Linear(128, SIZE)}
    trainers.MetricLossOnly(
        models=models,
        optimizers={
            "embedder_optimizer": torch.optim.Adam(models["embedder"].parameters(), lr=3e-3),
            "metric_loss_optimizer": torch.optim.Adam(loss.parameters(), lr=0.1),  # trains the proxies
        },
        batch_size=BATCH,
        loss_funcs={"metric_loss": loss},
        dataset=train_set,
        sampler=MPerClassSampler(train_set.tensors[1], m=2, batch_size=BATCH, length_before_new_iter=50 * BATCH),
        dataloader_num_workers=0,
    ).train(num_epochs=epochs)
    tester = testers.GlobalEmbeddingSpaceTester(
        dataloader_num_workers=0,
        accuracy_calculator=AccuracyCalculator(include=("mean_average_precision_at_r",), k="max_bin_count"),
    )
    scores = tester.test({"test": test_set}, epochs, models["trunk"], models["embedder"])
    return 100 * scores["test"]["mean_average_precision_at_r_level0"]


def main() -> None:
    logging.disable(logging.INFO)
    for name, method in {"NormalizedSoftmaxLoss": lambda loss: loss, "with PS": wrappers.ProxySynthesis}.items():
        torch.manual_seed(0)  # the same proxies with and without the method
        loss = method(losses.NormalizedSoftmaxLoss(CLASSES, SIZE))
        print(f"{name}: test MAP@R {train_and_test(loss):.1f} %")


if __name__ == "__main__":
    main()

# Output:
# NormalizedSoftmaxLoss: test MAP@R 40.6 %
# with PS: test MAP@R 40.6 %
