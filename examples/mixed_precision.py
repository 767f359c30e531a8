"""Proxy Synthesis with autocast and GradScaler: float16 on a GPU, bfloat16 on a CPU, whose range needs no scaling.

    python examples/mixed_precision.py

The network computes in half precision. The wrapper computes in float32, with or without autocast around its call.
Embeds pretrained features of characters; test classes are unseen in training. One seed decides nothing.
"""

from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pml_aug import wrappers

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH, STEPS = 200, 64, 64, 200
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HALF = torch.float16 if DEVICE.type == "cuda" else torch.bfloat16


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test features (N, 128) with labels (N,), of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    train = labels < CLASSES
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], labels[train]), TensorDataset(features[~train], labels[~train])


def train(loss: nn.Module, half: bool, dataset: TensorDataset) -> nn.Module:
    """The network after all steps."""
    np.random.seed(0)  # PML's sampler draws from NumPy
    network = nn.Linear(128, SIZE).to(DEVICE)
    loss.to(DEVICE)
    parameters = [{"params": network.parameters(), "lr": 3e-3}, {"params": loss.parameters(), "lr": 0.1}]
    optimizer = torch.optim.Adam(parameters)
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=HALF is torch.float16 and half)
    sampler = MPerClassSampler(dataset.tensors[1], m=2, batch_size=BATCH, length_before_new_iter=STEPS * BATCH)
    for features, labels in DataLoader(dataset, batch_size=BATCH, sampler=sampler):
        optimizer.zero_grad()
        with torch.autocast(DEVICE.type, dtype=HALF, enabled=half):
            value = loss(network(features.to(DEVICE)), labels.to(DEVICE))
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
    return network.eval()


@torch.no_grad()
def map_at_r(network: nn.Module, dataset: TensorDataset) -> float:
    """MAP@R in percent."""
    features, labels = dataset.tensors
    embeddings = nn.functional.normalize(network(features.to(DEVICE))).cpu()
    scores = AccuracyCalculator(include=("mean_average_precision_at_r",)).get_accuracy(embeddings, labels)
    return 100 * scores["mean_average_precision_at_r"]


def main() -> None:
    train_set, test_set = glyphs()
    for half in (False, True):
        torch.manual_seed(0)
        loss = wrappers.ProxySynthesis(losses.NormalizedSoftmaxLoss(CLASSES, SIZE))
        score = map_at_r(train(loss, half, train_set), test_set)
        print(f"{'mixed' if half else 'full'} precision: test MAP@R {score:.1f} %, proxies in {loss.W.dtype}")


if __name__ == "__main__":
    main()

# Output:
# full precision: test MAP@R 40.2 %, proxies in torch.float32
# mixed precision: test MAP@R 40.3 %, proxies in torch.float32
