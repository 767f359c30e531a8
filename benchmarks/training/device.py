"""The device of a training, and the settings under which it is repeatable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import torch

from ..errors import UserError


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA if available, else the CPU.

    CUDA is not initialised, since that takes GPU memory until the process ends.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type != "cuda":
            return torch.empty(0, device=device).device
    except (AssertionError, RuntimeError) as error:
        raise UserError(f"device={name} cannot be used: {str(error).splitlines()[0]}") from error
    if (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name} cannot be used: there are {torch.cuda.device_count()} CUDA devices")
    return device


def device_name(device: torch.device) -> str | None:
    """The model of the GPU; None on a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """Deterministic algorithms where PyTorch has them (a warning where not) and a fixed number of threads."""
    memory: Any = torch.utils.deterministic  # PyTorch declares its attribute in a way that type checkers do not see
    before = torch.get_num_threads(), faiss.omp_get_max_threads(), torch.get_deterministic_debug_mode()
    filled = memory.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # filling it costs time, and nothing here reads it
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])
        torch.set_deterministic_debug_mode(before[2])
        memory.fill_uninitialized_memory = filled
