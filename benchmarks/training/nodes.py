"""Objects from the nodes of a configuration, with every failure as one sentence that names the node's place."""

import functools
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..config.targets import deferred
from ..errors import UserError


def make(subject: str, node: Mapping[str, Any], *args: Any, **known: Any) -> Any:
    """The object that a node describes; it gets those of the ``known`` values that its class accepts.

    Args:
        subject: what it is, for errors, such as ``loss=triplet``.
        node: ``_target_`` and arguments.
        *args: come before all others.
        **known: that the configuration need not give.

    Raises:
        UserError: the class does not exist, or refuses its arguments.
    """
    partial = partial_of(node)
    accepted = accepted_by(partial)
    with refused(subject, arguments_of(node)):
        return partial(*args, **{name: value for name, value in known.items() if name in accepted})


def make_module(subject: str, node: Mapping[str, Any], *args: Any, **known: Any) -> Any:
    """As :func:`make`, for a node that must describe a ``torch.nn.Module``: a network, a loss, a miner.

    Raises:
        UserError: also if it describes something else.
    """
    made = make(subject, node, *args, **known)
    if not isinstance(made, nn.Module):
        raise UserError(
            f"{subject} cannot be built: {node['_target_']} must give a torch.nn.Module, but gave a "
            f"{type(made).__name__}"
        )
    return made


def arguments_of(node: Mapping[str, Any]) -> str:
    """The arguments of a node for the end of an error, such as `` (with margin=0.1)``; empty if it has none."""
    written = ", ".join(f"{key}={value}" for key, value in node.items() if key != "_target_")
    return f" (with {written})" if written else ""


@contextmanager
def refused(subject: str, written: str = "", task: str = "built") -> Iterator[None]:
    """Turn any error inside into a UserError that names ``subject``.

    A configuration may give any values to any class, and libraries raise errors of all types for bad ones.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{subject} cannot be {task}: {said}{written}") from error


def partial_of(node: Mapping[str, Any]) -> functools.partial[Any]:
    """The call that a node describes, not yet made.

    Raises:
        UserError: the class does not exist, or an object among its arguments cannot be built.
    """
    with refused(str(node.get("_target_"))):
        return deferred(node)


def accepted_by(partial: functools.partial[Any]) -> set[str]:
    """Names of the arguments, with those that a class passes on to its base class (as CosFaceLoss does)."""
    accepted: set[str] = set()
    for maker in inspect.getmro(partial.func)[:-1] if inspect.isclass(partial.func) else [partial.func]:
        parameters = inspect.signature(maker).parameters
        accepted |= set(parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return accepted
