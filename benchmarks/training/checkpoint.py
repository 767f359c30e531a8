"""A training's whole state as one value, and back."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.training.build import Parts
from benchmarks.training.distributed import Ranks
from benchmarks.training.evaluation import Evaluation
from benchmarks.training.resources import Meter
from benchmarks.training.seeds import generator_states, restore_generators
from benchmarks.training.trainer import EpochTrainer
from pml_aug.wrappers import DistributedLossWrapper

VERSION = 5  # of the layout


class Live(NamedTuple):
    """Everything of a training that changes as it goes on."""

    parts: Parts
    trainer: EpochTrainer
    evaluation: Evaluation
    meter: Meter
    records: Path  # folder of record-keeper's files; they come back as they were, without entries of later epochs
    device: torch.device
    ranks: Ranks
    data_hash: str  # of the images that it learns from and is scored on
    shared_loss: DistributedLossWrapper | None  # around the parts' loss, where there are several processes


def state_of(live: Live, epoch: int) -> dict[str, Any]:
    """The state after ``epoch``, in types that ``torch.load(weights_only=True)`` accepts."""
    return {
        "version": VERSION,
        "epoch": epoch,
        "processes": live.ranks.size,
        "data_hash": live.data_hash,
        "seconds": live.trainer.seconds,
        "meter": live.meter.state_dict(),
        "activity": live.trainer.activity.state_dict(),
        "parts": {name: {key: part.state_dict() for key, part in kind.items()} for name, kind in _kinds(live.parts)},
        "evaluation": live.evaluation.state_dict(),
        "records": {
            file.name: torch.from_numpy(np.fromfile(file, np.uint8)) for file in sorted(live.records.iterdir())
        },
        "generators": generator_states(live.device),
        "shared_loss": None if live.shared_loss is None else live.shared_loss.get_extra_state(),
    }


def restore(live: Live, state: dict[str, Any]) -> int:
    """Put a state back into the objects of a fresh training; the epoch it was taken after."""
    live.trainer.seconds = state["seconds"]
    live.meter.load_state_dict(state["meter"])
    live.trainer.activity.load_state_dict(state["activity"])
    for name, kind in _kinds(live.parts):
        for key, part in kind.items():
            part.load_state_dict(state["parts"][name][key])
    live.evaluation.load_state_dict(state["evaluation"])
    if live.ranks.first:
        for file in live.records.iterdir():
            file.unlink()
        for file_name, content in state["records"].items():
            content.numpy().tofile(live.records / file_name)
    restore_generators(state["generators"], live.device)
    if live.shared_loss is not None and state["shared_loss"] is not None:
        live.shared_loss.set_extra_state(state["shared_loss"])
    return state["epoch"]


def _kinds(parts: Parts) -> list[tuple[str, dict[str, Any]]]:
    """The parts that have a state."""
    return [
        (name, {key: part for key, part in kind.items() if hasattr(part, "state_dict")})
        for name, kind in parts._asdict().items()
        if isinstance(kind, dict)
    ]
