"""Temporary overrides of attributes of a module, by one thread at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from pml_aug.validation import exclusive


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
