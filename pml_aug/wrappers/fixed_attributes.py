"""Refusal of attribute assignments that would have no effect."""

from typing import Any, ClassVar


class FixedAttributes:
    """Mixin for modules around a `loss` that refuse to set what only the loss uses, or what the constructor settled.

    Call :meth:`fix_attributes` at the end of the constructor.

    Attributes:
        fixed: names that cannot be set after construction.

    Raises:
        AttributeError: after construction, when setting an attribute of `fixed`, or one that only the wrapped loss has.

    Example:
        >>> from torch import nn
        >>> class Wrapper(FixedAttributes, nn.Module):
        ...     def __init__(self, loss):
        ...         super().__init__()
        ...         self.loss = loss
        ...         self.fix_attributes()
        >>> Wrapper(nn.Linear(1, 1)).in_features = 2
        Traceback (most recent call last):
        AttributeError: Wrapper does not use `in_features`: set it on the wrapped loss, `wrapper.loss.in_features = ...`
    """

    fixed: ClassVar[frozenset[str]] = frozenset()
    loss: Any

    def fix_attributes(self) -> None:
        """Refuse assignments from now on."""
        self._attributes_are_fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_attributes_are_fixed"):
            owner = type(self).__name__
            if name in self.fixed:
                raise AttributeError(f"`{name}` of {owner} is settled at construction: construct a new {owner}")
            if not hasattr(self, name) and hasattr(self.loss, name):
                raise AttributeError(
                    f"{owner} does not use `{name}`: set it on the wrapped loss, `wrapper.loss.{name} = ...`"
                )
        super().__setattr__(name, value)
