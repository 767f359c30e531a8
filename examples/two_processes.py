"""Intra-class Adaptive Augmentation over two processes with Accelerate: the numbers of one process.

    pip install accelerate && python examples/two_processes.py

The wrapper for several processes gathers the batch, makes the same copies of it in each process, and reaches each
process's part with its gradient. The class statistics are those of the parts of all processes. Embeds pretrained
features of characters; test classes are unseen in training.
"""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DataLoaderConfiguration, debug_launcher
from accelerate.utils import set_seed
from pytorch_metric_learning import losses
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pml_aug import wrappers
from pml_aug.hooks import refresh_from_loader

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH, EPOCHS, STEPS = 200, 64, 64, 4, 50


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test features (N, 128) with labels (N,), of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    train = labels < CLASSES
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], labels[train]), TensorDataset(features[~train], labels[~train])


def train() -> None:
    """Train in this process, together with the others if there are any, and print the score once."""
    # each process takes its part of every batch, and the last batch of a pass is not filled up with repeated rows
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=True, even_batches=False)
    )
    set_seed(0)  # the same weights, and the same batches of PML's sampler, in all processes
    train_set, test_set = glyphs()
    network = nn.Linear(128, SIZE)
    adaptive = wrappers.IntraClassAdaptiveAugmentation(losses.MultiSimilarityLoss(), CLASSES, SIZE)
    loss = wrappers.DistributedLossWrapper(adaptive, seed=0)
    sampler = MPerClassSampler(train_set.tensors[1], m=4, batch_size=BATCH, length_before_new_iter=STEPS * BATCH)
    network, optimizer, loader, in_order = accelerator.prepare(
        network,
        torch.optim.Adam(network.parameters(), lr=3e-3),
        DataLoader(train_set, batch_size=BATCH, sampler=sampler),
        DataLoader(train_set, batch_size=512),
    )
    for _ in range(EPOCHS):
        for features, labels in loader:
            optimizer.zero_grad()
            accelerator.backward(loss(network(features), labels))
            optimizer.step()
        refresh_from_loader(loss, network, in_order, sharded=accelerator.num_processes > 1)
    embeddings = nn.functional.normalize(network(test_set.tensors[0])).detach()
    calculator = AccuracyCalculator(include=("mean_average_precision_at_r",))
    score = 100 * calculator.get_accuracy(embeddings, test_set.tensors[1])["mean_average_precision_at_r"]
    rows = int(adaptive.statistics.count.sum())
    if accelerator.is_main_process:
        print(f"processes: {accelerator.num_processes}; statistics of {rows} rows; test MAP@R {score:.2f} %")


def main() -> None:
    debug_launcher(train, num_processes=2)  # on GPUs: `accelerate launch` a script that calls train()
    train()


if __name__ == "__main__":
    main()

# Output:
# processes: 2; statistics of 11040 rows; test MAP@R 48.67 %
# processes: 1; statistics of 11040 rows; test MAP@R 48.67 %
