"""Tiny trainings to their end, and the numbers that they leave behind."""

import json
from pathlib import Path
from typing import Any

from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.training.train import train

SETTINGS = [*TINY, "protocol.iterations_per_epoch=4", "protocol.epochs=4", "protocol.evaluate_every=1"]


def run_tiny(runs: Path, *overrides: str) -> Path:
    return train(*compose([*SETTINGS, f"runs={runs}", *overrides]))


def numbers(folder: Path) -> dict[str, Any]:
    """All of result.json but what the clock says."""
    result = json.loads((folder / "result.json").read_text())
    del result["cost"]
    return result
