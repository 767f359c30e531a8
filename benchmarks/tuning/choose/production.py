"""The winner, trained on all classes and exported."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...config.compose import RunConfig, compose
from ...jobs.runner import TrainingJob
from ...models import load_model
from ...models.export import checking_rows, export
from ...models.with_trunk import with_trunk
from ...runs.model_description import read_description
from .decision import Scored
from .request import Request


def on_all_classes(job: TrainingJob, winner: Scored, runs: Path) -> TrainingJob:
    """The training of the winner on all classes, without a test set, to the median of the epochs that validation chose.

    Args:
        job: any final training of the winner.
        winner: its scores.
        runs: directory of the run.
    """
    epochs = max(1, round(float(np.median(winner.epochs))))
    protocol = replace(job.config.protocol, epochs=epochs, evaluate_every=epochs, patience=None)
    data = replace(job.config.data, train_on="all", split_seed=None)
    config: RunConfig = replace(job.config, data=data, protocol=protocol, fold=0, seed=0, tuned=None)
    return TrainingJob(config, replace(job.options, runs=str(runs), keep="weights"))


def export_winner(job: TrainingJob, request: Request, out: Path, allow: Collection[str]) -> Path:
    """The directory ``out`` with the trained model: of images where the features were computed from images.

    Raises:
        UserError: the exported model gives other embeddings than the trained one.
    """
    run = job.folder.path
    if out.exists():
        if read_description(out).run == run.name:
            return out
        shutil.rmtree(out)  # of a winner that more seeds have overtaken
    model = load_model(run, allow)
    if request.images is not None:
        return with_trunk(run, model, compose(request.images)[0], out, allow)
    shutil.rmtree(out.with_name(f"{out.name}.unfinished"), ignore_errors=True)
    return export(run, model, "safetensors", out, checking_rows(run, model, None), allow).path
