"""Introspective Deep Metric Learning in a plain loop: introspective head and distance, and the loss of mixtures.

    python examples/idml_in_a_loop.py

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

from pml_aug import distances, heads
from pml_aug.trainers import draw_mixup, mixup_loss

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH, STEPS = 200, 64, 64, 200


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test features (N, 128) with labels (N,), of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    train = labels < CLASSES
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], labels[train]), TensorDataset(features[~train], labels[~train])


def train(head: nn.Module, loss: nn.Module, mixes: bool, dataset: TensorDataset) -> nn.Module:
    """The trained head, in evaluation mode."""
    np.random.seed(0)  # PML's sampler draws from NumPy
    parameters = [{"params": head.parameters(), "lr": 1e-2}, {"params": loss.parameters(), "lr": 0.1}]
    optimizer = torch.optim.Adam(parameters)
    sampler = MPerClassSampler(dataset.tensors[1], m=2, batch_size=BATCH, length_before_new_iter=STEPS * BATCH)
    for features, labels in DataLoader(dataset, batch_size=BATCH, sampler=sampler):
        optimizer.zero_grad()
        if mixes:
            mixup_loss(loss, head, features, labels, *draw_mixup(len(features))).backward()
        else:
            loss(head(features), labels).backward()
        optimizer.step()
    return head.eval()


@torch.no_grad()
def map_at_r(head: nn.Module, dataset: TensorDataset) -> float:
    """MAP@R in percent, by the semantic part of the embeddings."""
    features, labels = dataset.tensors
    embeddings = nn.functional.normalize(head(features))
    scores = AccuracyCalculator(include=("mean_average_precision_at_r",)).get_accuracy(embeddings, labels)
    return 100 * scores["mean_average_precision_at_r"]


def main() -> None:
    train_set, test_set = glyphs()
    torch.manual_seed(0)
    head, loss = nn.Linear(128, SIZE), losses.ProxyAnchorLoss(CLASSES, SIZE)
    print(f"ProxyAnchorLoss: test MAP@R {map_at_r(train(head, loss, False, train_set), test_set):.1f} %")

    torch.manual_seed(0)
    head = heads.IntrospectiveHead(128, SIZE)
    loss = losses.ProxyAnchorLoss(CLASSES, SIZE, distance=distances.IntrospectiveSimilarity(SIZE))
    distances.check_introspective(loss, None, head)  # that the parts go together
    print(f"with IDML: test MAP@R {map_at_r(train(head, loss, True, train_set), test_set):.1f} %")
    lengths = head.uncertainty(test_set.tensors[0]).norm(dim=1)
    print(f"uncertainties of the test characters: {lengths.min():.2f} to {lengths.max():.2f}, bounded by 1")


if __name__ == "__main__":
    main()

# Output:
# ProxyAnchorLoss: test MAP@R 44.1 %
# with IDML: test MAP@R 40.4 %
# uncertainties of the test characters: 0.01 to 0.26, bounded by 1
