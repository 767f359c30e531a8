"""A training's whole state in one file, and back."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..build import Parts
from ..seeds import generator_states, restore_generators
from .evaluation import Evaluation
from .trainer import EpochTrainer


def save(path: Path, epoch: int, parts: Parts, trainer: EpochTrainer, evaluation: Evaluation, records: Path) -> None:
    """Write the state after ``epoch``, whole or not at all.

    Args:
        records: folder of record-keeper's files; they come back as they were, without entries of later epochs.
    """
    state = {
        "epoch": epoch,
        "seconds": trainer.seconds,
        "parts": {name: {key: part.state_dict() for key, part in kind.items()} for name, kind in _kinds(parts)},
        "history": evaluation.history,
        "best": evaluation.best,
        "records": {file.name: torch.from_numpy(np.fromfile(file, np.uint8)) for file in sorted(records.iterdir())},
        "generators": generator_states(),
    }
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    os.replace(unfinished, path)


def load(path: Path, parts: Parts, trainer: EpochTrainer, evaluation: Evaluation, records: Path) -> int:
    """Put a saved state back into the objects of a fresh training; the epoch it was saved after."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    trainer.seconds = state["seconds"]
    for name, kind in _kinds(parts):
        for key, part in kind.items():
            part.load_state_dict(state["parts"][name][key])
    evaluation.history, evaluation.best = state["history"], state["best"]
    for file in records.iterdir():
        file.unlink()
    for file_name, content in state["records"].items():
        content.numpy().tofile(records / file_name)
    restore_generators(state["generators"])
    return state["epoch"]


def _kinds(parts: Parts) -> list[tuple[str, dict[str, Any]]]:
    return list(parts._asdict().items())
