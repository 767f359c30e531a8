"""Trains an embedding network with and without Embedding Expansion: a plain PyTorch loop around a PML loss.

Prints the test MAP@R of both after the same batches, on characters that no training image shows. This is the method
without the benchmark's machinery; one seed decides nothing.

    python examples/train_loop.py [--steps 100]

About ten seconds on one CPU core, with the packages of the benchmark (`pip install -e ".[bench]"`).
"""

import argparse

import numpy as np
import torch
from pml_aug_benchmarks.config.data import DataConfig
from pml_aug_benchmarks.data import load
from pml_aug_benchmarks.trunks import SmallCNN
from pytorch_metric_learning import losses
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pml_aug import wrappers

CLASSES = 200  # characters; the second half is the test set


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test images (N, 1, 32, 32) in [-1, 1] with their labels (N,), of disjoint classes."""
    data = load(DataConfig("glyphs", "glyphs", image_size=32, num_classes=CLASSES))
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    labels = torch.from_numpy(data.labels).long()
    train = labels < CLASSES // 2
    return TensorDataset(images[train], labels[train]), TensorDataset(images[~train], labels[~train])


def train(dataset: TensorDataset, loss: nn.Module, steps: int) -> nn.Module:
    """The network after ``steps`` batches of 16 classes with 4 images each."""
    torch.manual_seed(0)  # the same weights ...
    np.random.seed(0)  # ... and batches (PML's sampler draws from NumPy) whatever the loss
    network = nn.Sequential(SmallCNN(in_channels=1, widths=[16, 32, 64]), nn.Linear(64, 64))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    labels = dataset.tensors[1]
    sampler = MPerClassSampler(labels, m=4, batch_size=64, length_before_new_iter=64 * steps)
    for images, targets in DataLoader(dataset, batch_size=64, sampler=sampler):
        optimizer.zero_grad()
        loss(network(images), targets).backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def map_at_r(network: nn.Module, dataset: TensorDataset) -> float:
    """MAP@R in percent."""
    images, labels = dataset.tensors
    embeddings = nn.functional.normalize(network(images))
    scores = AccuracyCalculator(include=("mean_average_precision_at_r",)).get_accuracy(embeddings, labels)
    return 100 * scores["mean_average_precision_at_r"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    train_set, test_set = glyphs()
    for name, loss in {
        "MultiSimilarityLoss": losses.MultiSimilarityLoss(),
        "with Embedding Expansion": wrappers.EmbeddingExpansion(losses.MultiSimilarityLoss(), num_points=2),
    }.items():
        print(f"{name}: test MAP@R {map_at_r(train(train_set, loss, steps), test_set):.1f} %", flush=True)


if __name__ == "__main__":
    main()

# Output:
# MultiSimilarityLoss: test MAP@R 69.7 %
# with Embedding Expansion: test MAP@R 69.7 %
