"""Attributes of a module exchanged for the length of a call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def swapped(module: nn.Module, **attributes: Any) -> Iterator[None]:
    """Give `module` other values for some attributes inside the block, and its own back afterwards, whatever happens.

    Args:
        module: anything with attributes.
        attributes: name and the value it has inside the block; names that `module` lacks are passed over.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> with swapped(layer, in_features=7, unknown=0):
        ...     layer.in_features
        7
        >>> layer.in_features
        1
    """
    own = {name: getattr(module, name) for name in attributes if hasattr(module, name)}
    try:
        for name in own:
            setattr(module, name, attributes[name])
        yield
    finally:
        for name, value in own.items():
            setattr(module, name, value)
