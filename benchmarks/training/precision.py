"""What makes a training step fast without changing what it computes: precision, memory layout, compilation."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Where trunk and embedder run; the loss stays outside, in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


def is_compiled(model: nn.Module) -> bool:
    """Whether its calls go through the compiler."""
    return model._compiled_call_impl is not None


def uncompiled(model: nn.Module) -> AbstractContextManager[Any]:
    """Where other batches run than training's: each of their sizes would be compiled anew, a few of them at most."""
    return torch.compiler.set_stance("force_eager") if is_compiled(model) else nullcontext()


def lay_out(trunk: nn.Module) -> None:
    """Convolution weights with the channels last; the first convolution brings the images into that layout."""
    trunk.to(memory_format=torch.channels_last)


def compile_models(models: dict[str, nn.Module], images: Tensor, precision: str) -> str | None:
    """Compile trunk and embedder for batches like `images`; what was in the way, or None.

    What was compiled in this process before is forgotten: a compiler that has seen too many models gives up silently.
    One forward and backward pass is tried, whose traces (BatchNorm's statistics, gradients) are wiped out. If it fails
    the models stay as they were and run uncompiled. On CUDA the compiled passes are replayed as CUDA graphs.

    Args:
        models: trunk and embedder, in training mode; compiled in place, so that their state dicts keep their keys.
        images: (B, C, H, W) on the models' device.
        precision: as the training will have it.
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
    except Exception as error:  # a compiler may fail in any way, and training goes on without it
        problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        for model in models.values():
            model._compiled_call_impl = None
        torch.compiler.reset()
    for name, model in models.items():
        model.load_state_dict(states[name])
        model.zero_grad()
    return problem
