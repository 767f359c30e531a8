"""Intra-class Adaptive Augmentation in a plain loop: class statistics refreshed after each epoch.

    python examples/iaa_in_a_loop.py

Embeds pretrained features of characters; test classes are unseen in training. One seed decides nothing.
"""

from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pml_aug import wrappers
from pml_aug.hooks import refresh_from_loader, strength_at

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH, EPOCHS, STEPS = 200, 64, 64, 5, 50


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test features (N, 128) with labels (N,), of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    train = labels < CLASSES
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], labels[train]), TensorDataset(features[~train], labels[~train])


def train(loss: nn.Module, dataset: TensorDataset) -> nn.Module:
    """The network after all epochs."""
    torch.manual_seed(0)
    np.random.seed(0)  # PML's sampler draws from NumPy
    network = nn.Linear(128, SIZE)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    sampler = MPerClassSampler(dataset.tensors[1], m=4, batch_size=BATCH, length_before_new_iter=STEPS * BATCH)
    loader = DataLoader(dataset, batch_size=BATCH, sampler=sampler)
    in_order = DataLoader(dataset, batch_size=512)  # every row once
    for epoch in range(1, EPOCHS + 1):
        if isinstance(loss, wrappers.IntraClassAdaptiveAugmentation) and epoch > 1:  # the first epoch is the baseline's
            refresh_from_loader(loss, network, in_order)
            loss.strength = strength_at(epoch, EPOCHS, loss.initial_strength)
        for features, labels in loader:
            optimizer.zero_grad()
            loss(network(features), labels).backward()
            optimizer.step()
    return network.eval()


@torch.no_grad()
def map_at_r(network: nn.Module, dataset: TensorDataset) -> float:
    """MAP@R in percent."""
    features, labels = dataset.tensors
    embeddings = nn.functional.normalize(network(features))
    scores = AccuracyCalculator(include=("mean_average_precision_at_r",)).get_accuracy(embeddings, labels)
    return 100 * scores["mean_average_precision_at_r"]


def main() -> None:
    train_set, test_set = glyphs()
    baseline = losses.MultiSimilarityLoss()
    adaptive = wrappers.IntraClassAdaptiveAugmentation(baseline, CLASSES, SIZE, miner=miners.MultiSimilarityMiner())
    for name, loss in {"MultiSimilarityLoss": baseline, "with IAA": adaptive}.items():
        print(f"{name}: test MAP@R {map_at_r(train(loss, train_set), test_set):.1f} %")


if __name__ == "__main__":
    main()

# Output:
# MultiSimilarityLoss: test MAP@R 48.6 %
# with IAA: test MAP@R 48.1 %
