"""A state in a file that carries its own hash, with the one before it kept: damage is noticed, and costs one step."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.runs.writer import write_whole

SEAL = b"sha256 "


class Damaged(ValueError):  # noqa: N818 (what a file is)
    """A file that is not what was written."""


def save(path: Path, previous: Path, state: Any) -> None:
    """Write a state whole or not at all; what was at ``path`` moves to ``previous``."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    seal = SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"

    def keep() -> None:
        if path.exists():
            os.replace(path, previous)

    write_whole(path, seal, content, before=keep)


def newest(path: Path, previous: Path, tell: Callable[[str], None]) -> Any | None:
    """The newest undamaged state, or None; a damaged file is told of and deleted."""
    for file, others in ((path, [previous]), (previous, [])):
        if file.exists():
            try:
                return _read(file)
            except Damaged as damage:
                file.unlink()
                there = next((other.name for other in others if other.exists()), None)
                tell(f"{damage}; {'starting from scratch' if there is None else f'going back to {there}'}")
    return None


def _read(path: Path) -> Any:
    content = path.read_bytes()
    seal, _, rest = content.partition(b"\n")
    if not seal.startswith(SEAL):
        raise Damaged(f"{path} is damaged: it does not begin with a sha256")
    if hashlib.sha256(rest).hexdigest().encode() != seal.removeprefix(SEAL):
        raise Damaged(f"{path} is damaged: its sha256 is not the one it begins with")
    return torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
