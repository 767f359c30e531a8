"""Proxy Synthesis in a LightningModule: the loss is a part of the module, so that its proxies are trained and saved.

    pip install lightning && python examples/lightning_module.py

Embeds pretrained features of characters; test classes are unseen in training. One seed decides nothing.
"""

import logging
from pathlib import Path

import lightning
import numpy as np
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pml_aug import wrappers

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH, STEPS = 200, 64, 64, 200
QUIET = ("enable_checkpointing", "enable_progress_bar", "enable_model_summary")


def glyphs() -> tuple[TensorDataset, TensorDataset]:
    """Training and test features (N, 128) with labels (N,), of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    train = labels < CLASSES
    features = (features - features[train].mean(0)) / features[train].std(0)
    return TensorDataset(features[train], labels[train]), TensorDataset(features[~train], labels[~train])


class Embedding(lightning.LightningModule):
    """A head trained with any loss of PML, wrapped or not."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.head = nn.Linear(128, SIZE)
        self.loss = loss

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        features, labels = batch
        return self.loss(self.head(features), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        features, labels = batch  # the whole test set: MAP@R is no mean over batches
        calculator = AccuracyCalculator(include=("mean_average_precision_at_r",))
        scores = calculator.get_accuracy(nn.functional.normalize(self.head(features)), labels)
        self.log("map_at_r", 100 * scores["mean_average_precision_at_r"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            [{"params": self.head.parameters(), "lr": 3e-3}, {"params": self.loss.parameters(), "lr": 0.1}]
        )


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    train_set, test_set = glyphs()
    for name, method in {"NormalizedSoftmaxLoss": lambda loss: loss, "with PS": wrappers.ProxySynthesis}.items():
        lightning.seed_everything(0, verbose=False)  # PML's sampler draws from NumPy
        module = Embedding(method(losses.NormalizedSoftmaxLoss(CLASSES, SIZE)))
        sampler = MPerClassSampler(train_set.tensors[1], m=2, batch_size=BATCH, length_before_new_iter=STEPS * BATCH)
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=1, num_sanity_val_steps=0, logger=False, **dict.fromkeys(QUIET, False)
        )
        loaders = DataLoader(train_set, batch_size=BATCH, sampler=sampler), DataLoader(test_set, len(test_set))
        trainer.fit(module, *loaders)
        print(f"{name}: test MAP@R {trainer.callback_metrics['map_at_r']:.1f} %")


if __name__ == "__main__":
    main()

# Output:
# NormalizedSoftmaxLoss: test MAP@R 40.5 %
# with PS: test MAP@R 40.2 %
