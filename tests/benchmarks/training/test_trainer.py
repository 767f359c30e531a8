import numpy as np
import torch
from pytorch_metric_learning.losses import ContrastiveLoss
from torch import nn
from tqdm import tqdm

from benchmarks.training.images import ModelInput, StoredImages, keep_batch
from benchmarks.training.pixel_store import ImageStore
from benchmarks.training.sampler import EpochBatches
from benchmarks.training.trainer import Trainer
from benchmarks.training.transforms import RandomShift


class Listening(ContrastiveLoss):
    """Keeps the sums and the type of the embeddings it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[float] = []
        self.dtypes: set[torch.dtype] = set()

    def forward(self, embeddings, labels, *args):
        self.heard.append(embeddings.sum().item())
        self.dtypes.add(embeddings.dtype)
        return super().forward(embeddings, labels, *args)


def trainer_with(loss: nn.Module, dtype: torch.dtype = torch.float32) -> Trainer:
    labels = np.repeat(np.arange(4), 4)
    images = np.random.RandomState(0).randint(0, 256, (16, 6, 6, 1)).astype(np.uint8)
    cpu = torch.device("cpu")
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(36, 5)).to(dtype)
    return Trainer(
        progress=tqdm(disable=True),
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=0.0)},
        batch_size=8,
        loss_funcs={"metric_loss": loss},
        dataset=StoredImages(
            ImageStore(images, cpu), np.arange(16), labels, RandomShift(0.3), ModelInput(None, cpu), seed=0
        ),
        sampler=EpochBatches(labels, 4, 8, batches=3, seed=0),
        collate_fn=keep_batch,
        dataloader_num_workers=0,
        iterations_per_epoch=3,
        data_device=cpu,
        dtype=dtype,
    )


def test_an_epoch_is_the_same_whether_or_not_others_ran_before_it() -> None:
    through, late = Listening(), Listening()
    trainer_with(through).train(num_epochs=3)
    trainer_with(late).train(start_epoch=3, num_epochs=3)
    assert len(through.heard) == 9
    assert late.heard == through.heard[6:]
    assert len(set(through.heard)) == 9


def test_the_loss_gets_float32_from_a_bfloat16_trunk() -> None:
    loss = Listening()
    trainer_with(loss, torch.bfloat16).train()
    assert loss.dtypes == {torch.float32}


def test_the_epochs_mean_loss_and_time_are_kept() -> None:
    trainer = trainer_with(ContrastiveLoss())
    losses = []
    trainer.end_of_iteration_hook = lambda trainer: losses.append(trainer.losses["total_loss"].item())
    trainer.train()
    assert abs(trainer.epoch_loss - sum(losses) / 3) < 1e-6
    assert trainer.seconds > 0
