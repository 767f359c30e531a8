"""Independent random streams from one seed, and the states of the shared generators."""

import hashlib
import random
from typing import Any

import numpy as np
import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """A 32-bit seed for the stream of this name; streams of different names are independent.

    A training draws its initial weights, the batches of each epoch and the image augmentation of each epoch from
    separate streams, so a method that draws from PyTorch's shared generator changes none of them.
    """
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def seed_shared_generators(seed: int) -> None:
    """Seed the shared generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def generator_states(device: torch.device | None = None) -> dict[str, Any]:
    """The states of the shared generators, in types that ``torch.load(weights_only=True)`` accepts.

    Args:
        device: whose generator to include, beside that of the CPU.
    """
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device is not None and device.type == "cuda" else None,
    }


def restore_generators(states: dict[str, Any], device: torch.device | None = None) -> None:
    """Restore what :func:`generator_states` returned; the state of a CUDA generator only on CUDA."""
    random.setstate(states["python"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and device is not None and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
