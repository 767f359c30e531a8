"""Temporary overrides of attributes of a module, by one thread at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

_IN_USE: dict[int, tuple[int, object]] = {}  # id of a module -> thread, and a token of the outermost block


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


@contextmanager
def patched(module: nn.Module, **attributes: Any) -> Iterator[None]:
    """Override attributes of `module` inside the block and restore them on exit, even after an exception.

    Args:
        module: anything with attributes; other threads cannot override them at the same time.
        attributes: name and value inside the block; names that `module` lacks are ignored.

    Raises:
        RuntimeError: another thread is overriding attributes of the same module.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> with patched(layer, in_features=7, unknown=0):
        ...     layer.in_features
        7
        >>> layer.in_features
        1
    """
    with exclusive(module):
        own = {name: getattr(module, name) for name in attributes if hasattr(module, name)}
        try:
            for name in own:
                setattr(module, name, attributes[name])
            yield
        finally:
            for name, value in own.items():
                setattr(module, name, value)
