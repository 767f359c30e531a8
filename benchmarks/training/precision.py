"""Precision, memory layout and compilation of the models: speed, but for rounding the same numbers."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """A context for trunk and embedder in this precision; the loss stays outside, in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


def is_compiled(model: nn.Module) -> bool:
    """Whether calls of the model are compiled."""
    return model._compiled_call_impl is not None


def uncompiled(model: nn.Module) -> AbstractContextManager[Any]:
    """A context for batches of other sizes than those of training, which would be compiled one by one."""
    return torch.compiler.set_stance("force_eager") if is_compiled(model) else nullcontext()


def lay_out(trunk: nn.Module) -> None:
    """Bring the convolution weights into the channels-last layout; the first convolution converts the images."""
    trunk.to(memory_format=torch.channels_last)


def compile_models(models: dict[str, nn.Module], images: Tensor, precision: str) -> str | None:
    """Compile trunk and embedder for batches like `images`, and return the reason of a failure, or None.

    Earlier compilations of this process are discarded, since a compiler that has seen too many models stops compiling
    without a message. One forward and backward pass is tried; its effects (BatchNorm's statistics, gradients) are
    undone. If it fails, the models run uncompiled. On CUDA the compiled passes are replayed as CUDA graphs.

    Args:
        models: trunk and embedder, in training mode; compiled in place, so that their state dicts keep their keys.
        images: (B, C, H, W) on the models' device.
        precision: of the training.
    """
    options: dict[str, Any] = {"dynamic": False}
    if images.device.type == "cuda":
        options["mode"] = "reduce-overhead"
    torch.compiler.reset()
    states = {name: copy.deepcopy(model.state_dict()) for name, model in models.items()}
    problem = None
    try:
        with torch.random.fork_rng():
            for model in models.values():
                model.compile(**options)
            with autocast(precision, images.device):
                embeddings = models["embedder"](models["trunk"](images))
            embeddings.float().square().sum().backward()
    except Exception as error:  # a compiler may fail in any way, and training works without it
        problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        for model in models.values():
            model._compiled_call_impl = None
        torch.compiler.reset()
    for name, model in models.items():
        model.load_state_dict(states[name])
        model.zero_grad()
    return problem
