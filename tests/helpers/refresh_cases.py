"""A small training whose statistics the hook refreshes."""

import torch
from pytorch_metric_learning import losses, miners, trainers
from torch import nn

from pml_aug.wrappers import IntraClassAdaptiveAugmentation

NUM_CLASSES, SIZE, IMAGES = 3, 4, 18


def wrap(**options):
    loss = losses.MultiSimilarityLoss()
    miner = miners.MultiSimilarityMiner()
    return IntraClassAdaptiveAugmentation(
        loss, NUM_CLASSES, SIZE, miner, **{"neighbor_correction": False, "momentum": 0.0} | options
    )


class Recorded(nn.Module):
    """Notes how often, on how many rows, with gradient or without, the trunk was called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, rows):
        self.calls.append((len(rows), torch.is_grad_enabled(), self.training))
        return rows


def trainer_of(loss, hook, **options):
    torch.manual_seed(1)
    images, labels = torch.rand(IMAGES, 3, 6, 6), torch.arange(IMAGES) % NUM_CLASSES
    trunk = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), Recorded())
    models = {"trunk": trunk, "embedder": nn.Linear(5 * 16, SIZE)}
    return trainers.MetricLossOnly(
        models=models,
        optimizers={f"{name}_optimizer": torch.optim.SGD(model.parameters(), lr=0.1) for name, model in models.items()},
        loss_funcs={"metric_loss": loss},
        dataset=list(zip(images, labels, strict=True)),
        end_of_epoch_hook=hook,
        **{"batch_size": 6, "dataloader_num_workers": 0, "data_device": torch.device("cpu")} | options,
    )


def evaluations(trainer):
    """The calls of the trunk without gradient."""
    return [rows for rows, with_gradient, _ in trainer.models["trunk"][-1].calls if not with_gradient]
