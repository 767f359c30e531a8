"""Checkpoints: files of the newest two states of a training, and the parts of a state."""

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runs.writer import RunDir, write_whole
from .build import Parts

VERSION = 6  # of the layout of a state


def save(folder: RunDir, state: Mapping[str, Any]) -> None:
    """Write a checkpoint completely or not at all, and delete all but the newest two.

    The name of the file holds the sha256 of its content.

    Args:
        folder: run directory.
        state: with the key ``epoch``, of types that ``torch.load(weights_only=True)`` accepts.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    write_whole(folder.checkpoint(state["epoch"], hashlib.sha256(content).hexdigest()), content)
    for older in folder.checkpoints()[2:]:
        older.unlink()


def newest(folder: RunDir, log: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest undamaged checkpoint, or None; damaged ones are logged and deleted."""
    files = folder.checkpoints()
    for number, file in enumerate(files, start=1):
        content = file.read_bytes()
        if file.stem.endswith(hashlib.sha256(content).hexdigest()):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        file.unlink()
        then = f"going back to {files[number].name}" if number < len(files) else "starting from scratch"
        log(f"{file} is damaged: its sha256 is not the one in its name; {then}")
    return None


def parts_state(parts: Parts) -> dict[str, dict[str, Any]]:
    """State dicts of all parts that have one, by kind and name."""
    return {kind: {name: part.state_dict() for name, part in found.items()} for kind, found in _stateful(parts).items()}


def load_parts(parts: Parts, state: Mapping[str, Mapping[str, Any]]) -> None:
    """Load what :func:`parts_state` returned."""
    for kind, found in _stateful(parts).items():
        for name, part in found.items():
            part.load_state_dict(state[kind][name])


def _stateful(parts: Parts) -> dict[str, dict[str, Any]]:
    return {
        kind: {name: part for name, part in found.items() if hasattr(part, "state_dict")}
        for kind, found in parts._asdict().items()
    }


def files_state(folder: Path) -> dict[str, Tensor]:
    """Contents of the files in a folder, by name."""
    return {file.name: torch.from_numpy(np.fromfile(file, np.uint8)) for file in sorted(folder.iterdir())}


def load_files(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Replace all files in a folder by those that :func:`files_state` returned."""
    for file in folder.iterdir():
        file.unlink()
    for name, content in state.items():
        content.numpy().tofile(folder / name)
