"""Checks of constructor arguments, batches and concurrent calls, with one form of error message."""

import math
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

_IN_USE: dict[int, tuple[int, object]] = {}  # id of a module -> thread, and a token of the outermost block


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    finite: bool = True,
    hint: str = "",
) -> None:
    """Raise unless `value` is a number within the bounds; NaN never is.

    Args:
        name: of the argument, for the message.
        value: a Python or numpy number; bools, strings and tensors are refused.
        minimum: smallest value accepted.
        maximum: largest value accepted.
        above: the value must be greater.
        below: the value must be smaller.
        finite: refuse infinity too.
        hint: what to do instead, appended to the message.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is out of bounds or not finite.

    Example:
        >>> check_number("strength", float("inf"), minimum=0)
        Traceback (most recent call last):
        ValueError: strength must be at least 0 and finite, but got inf
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, but got {_shown(value)}{_after(hint)}")
    number = _as_float(value)
    too_small = (minimum is not None and not number >= minimum) or (above is not None and not number > above)
    too_large = (maximum is not None and not number <= maximum) or (below is not None and not number < below)
    if too_small or too_large or math.isnan(number):
        raise ValueError(f"{name} must be {_bounds(minimum, maximum, above, below)}, but got {value}{_after(hint)}")
    if finite and math.isinf(number):
        words = [word for word in (_bounds(minimum, maximum, above, below), "finite") if word != "a number"]
        raise ValueError(f"{name} must be {' and '.join(words)}, but got {value}{_after(hint)}")


def check_integer(name: str, value: Any, *, minimum: int, hint: str = "") -> None:
    """Raise unless `value` is an integer of at least `minimum`; 2.0 is refused as 1.5 is.

    Args:
        name: of the argument, for the message.
        value: a Python or numpy integer; bools are refused.
        minimum: smallest value accepted.
        hint: what to do instead, appended to the message.

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is below `minimum`.

    Example:
        >>> check_integer("num_points", 1.5, minimum=0)
        Traceback (most recent call last):
        TypeError: num_points must be an integer, but got 1.5
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, but got {_shown(value)}{_after(hint)}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, but got {value}{_after(hint)}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise a ValueError unless `value` is one of `choices`.

    Example:
        >>> check_choice("pairing", "rol", ("roll", "adjacent"))
        Traceback (most recent call last):
        ValueError: pairing must be one of 'roll', 'adjacent', but got 'rol'
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but got {_shown(value)}")


def check_flag(name: str, value: Any) -> None:
    """Raise a TypeError unless `value` is True or False; a string such as "false" would count as true.

    Example:
        >>> check_flag("normalize", "false")
        Traceback (most recent call last):
        TypeError: normalize must be True or False, but got 'false'
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, but got {_shown(value)}")


def check_class_labels(labels: Tensor, num_classes: int, of: str = "") -> None:
    """Raise a ValueError for labels outside 0 .. C - 1. Labels on an accelerator pass, as a check would synchronise.

    Args:
        labels: (N,), integers.
        num_classes: C.
        of: the class whose labels these are, for the message.

    Example:
        >>> check_class_labels(torch.tensor([0, 3]), num_classes=3)
        Traceback (most recent call last):
        ValueError: labels must be in 0 .. 2, but got 0 .. 3
    """
    if labels.device.type != "cpu" or len(labels) == 0:
        return
    smallest, largest = (int(label) for label in labels.aminmax())
    if smallest < 0 or largest >= num_classes:
        classes = f", the classes of {of}" if of else ""
        raise ValueError(f"labels must be in 0 .. {num_classes - 1}{classes}, but got {smallest} .. {largest}")


def checked_rows(embeddings: Tensor, labels: Tensor, name: str, labels_name: str) -> tuple[Tensor, Tensor]:
    """The rows in float32 or wider, and their labels as long integers.

    Args:
        embeddings: (N, D), floating point, finite. On an accelerator NaN is not looked for, as that would synchronise.
        labels: (N,), integers.
        name: of `embeddings`, for the message.
        labels_name: of `labels`, for the message.

    Raises:
        ValueError: another shape or dtype; NaN or infinity on the CPU.
    """
    if embeddings.ndim != 2 or not embeddings.is_floating_point():
        raise ValueError(
            f"`{name}` must be a floating-point tensor of shape (rows, embedding_size), but got "
            f"{embeddings.dtype} of shape {tuple(embeddings.shape)}"
        )
    if labels.shape != embeddings.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"`{labels_name}` must be integers of shape ({len(embeddings)},), one for each row of `{name}`, but got "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
    if embeddings.dtype in (torch.float16, torch.bfloat16):
        embeddings = embeddings.float()
    if embeddings.device.type == "cpu" and not is_finite(embeddings.detach()):
        raise ValueError(f"`{name}` must be finite, but holds NaN or infinity: the training has diverged")
    return embeddings, labels.long()


def is_finite(values: Tensor) -> bool:
    """Whether all values are finite: by one sum, and element by element only if the sum is not."""
    return math.isfinite(values.sum()) or bool(values.isfinite().all())


@contextmanager
def exclusive(module: nn.Module) -> Iterator[None]:
    """Reserve `module` for the current thread inside the block; blocks of one thread may be nested.

    Nothing is stored in the module, so it can be copied, pickled and saved as before.

    Raises:
        RuntimeError: another thread is in such a block with the same module.
    """
    token = threading.get_ident(), object()
    holder = _IN_USE.setdefault(id(module), token)  # atomic
    if holder[0] != token[0]:
        raise RuntimeError(
            f"{type(module).__name__} is in use by another thread, and its attributes are overridden during a call; "
            "use one copy of the loss, its miner and its wrapper per thread (copy.deepcopy), or a lock around the call"
        )
    try:
        yield
    finally:
        if holder is token:
            del _IN_USE[id(module)]


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the range of float
        return math.copysign(math.inf, value > 0 or -1)


def _bounds(minimum: float | None, maximum: float | None, above: float | None, below: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f"between {minimum} and {maximum}"
    bounds = {"at least": minimum, "above": above, "at most": maximum, "below": below}
    return " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None) or "a number"


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, Tensor) else repr(value)


def _after(hint: str) -> str:
    return f"; {hint}" if hint else ""
