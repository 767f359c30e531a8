"""Records of trainings with Weights & Biases, online or offline."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import wandb

from .logger import Described, Logger

PROJECT = "pml_aug"  # unless WANDB_PROJECT names another


class WeightsAndBiases(Logger):
    """A run of Weights & Biases whose id is the name of the run directory.

    Its own environment variables count: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_API_KEY, ... Without WANDB_MODE
    and a login it works offline. Its files are in the folder `wandb` of the run directory, for `wandb sync`.

    Args:
        training: to be recorded.
        tell: called once if it works offline for lack of a login.
    """

    def __init__(self, training: Described, tell: Callable[[str], None]) -> None:
        mode: Any = os.environ.get("WANDB_MODE")
        if mode is None and not wandb.login(prompt=False):  # init would ask for a key, also where nobody can answer
            mode = "offline"
            tell(f"wandb: not logged in, so offline; later: wandb sync {training.folder}/wandb/offline-run-*")
        config = training.config
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=training.run,
            name=training.name,
            group=f"{training.hyperparameters['data']}-{training.hyperparameters['loss']}",
            tags=[f"method={training.hyperparameters['method']}"],
            config={**config, "choices": dict(training.hyperparameters)},
            dir=str(training.folder),
            mode=mode,
            resume="allow",
            reinit="finish_previous",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        self.run.log(dict(scores), step=epoch)

    def finish(self, summary: Mapping[str, float]) -> None:
        self.run.summary.update(dict(summary))
        self.run.finish()

    def fail(self) -> None:
        self.run.finish(exit_code=1)
