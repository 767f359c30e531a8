"""Embedding Expansion as the loss of Hugging Face's Trainer.

    pip install transformers accelerate && python examples/huggingface_trainer.py

Embeds pretrained features of characters; test classes are unseen in training. One seed decides nothing.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor, nn
from transformers import EvalPrediction, PrinterCallback, Trainer, TrainingArguments, set_seed

from pml_aug import wrappers

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "glyphs_lite0.npz"
CLASSES, SIZE, BATCH, STEPS = 200, 64, 64, 200
Rows = list[dict[str, Tensor]]


def glyphs() -> tuple[Rows, Rows]:
    """Training and test features (128,) with their label, of disjoint classes."""
    with np.load(DATA) as file:
        features, labels = torch.from_numpy(file["features"]).float(), torch.from_numpy(file["labels"])
    features = (features - features[labels < CLASSES].mean(0)) / features[labels < CLASSES].std(0)
    rows = [{"features": row, "labels": label} for row, label in zip(features, labels, strict=True)]
    return rows[: sum(labels < CLASSES)], rows[sum(labels < CLASSES) :]  # in the order of their labels


class Embedding(nn.Linear):
    """Unit embeddings, with the names that the Trainer passes and expects."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        return {"embeddings": nn.functional.normalize(super().forward(features))}


class ClassTrainer(Trainer):
    """A Trainer whose batches have four rows per class."""

    def _get_train_sampler(self, train_dataset: Rows) -> MPerClassSampler:
        labels = [int(row["labels"]) for row in train_dataset]
        return MPerClassSampler(labels, m=4, batch_size=BATCH, length_before_new_iter=STEPS * BATCH)


def map_at_r(test: EvalPrediction) -> dict[str, float]:
    calculator = AccuracyCalculator(include=("mean_average_precision_at_r",), device=torch.device("cpu"))
    return calculator.get_accuracy(torch.from_numpy(test.predictions), torch.from_numpy(test.label_ids))


def main() -> None:
    train_set, test_set = glyphs()
    quiet = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True}
    arguments = {"per_device_train_batch_size": BATCH, "num_train_epochs": 1, "learning_rate": 3e-3}
    expanded = wrappers.EmbeddingExpansion(losses.MultiSimilarityLoss(), miner=miners.MultiSimilarityMiner())
    for name, loss in {"MultiSimilarityLoss": losses.MultiSimilarityLoss(), "with EE": expanded}.items():
        set_seed(0)  # PML's sampler draws from NumPy
        trainer = ClassTrainer(
            Embedding(128, SIZE),
            TrainingArguments(tempfile.gettempdir(), **arguments, **quiet),
            train_dataset=train_set,
            eval_dataset=test_set,
            compute_loss_func=lambda outputs, labels, loss=loss, **_: loss(outputs["embeddings"], labels),
            compute_metrics=map_at_r,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        print(f"{name}: test MAP@R {100 * trainer.evaluate()['eval_mean_average_precision_at_r']:.1f} %")


if __name__ == "__main__":
    main()

# Output:
# MultiSimilarityLoss: test MAP@R 48.6 %
# with EE: test MAP@R 45.5 %
