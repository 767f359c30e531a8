"""The callables that a configuration may name as ``_target_``, and the objects that it then describes."""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from importlib import import_module
from inspect import isclass, isroutine
from types import ModuleType
from typing import Any

from ..errors import UserError

PACKAGE = __name__.partition(".")[0]  # "benchmarks" in a clone; an installed copy has another name
ALLOWED = (
    "benchmarks.classification.losses",
    "benchmarks.training.augmentation",
    "benchmarks.training.colour",
    "benchmarks.training.refresh",
    "benchmarks.training.trainer",
    "benchmarks.training.transforms",
    "benchmarks.trunks",
    "pml_aug",
    "pytorch_metric_learning.distances",
    "pytorch_metric_learning.losses",
    "pytorch_metric_learning.miners",
    "pytorch_metric_learning.reducers",
    "pytorch_metric_learning.regularizers",
    "torch.nn",
    "torch.optim",
    "torchvision.transforms.v2",
)  # nothing in them writes files, unpickles, starts programs or downloads from an address among its arguments


def check_targets(config: Mapping[str, Any], allow: Collection[str] = ()) -> None:
    """Check the name of every ``_target_`` in a configuration, at any depth, without importing anything.

    Args:
        config: plain dicts, lists and scalars.
        allow: further packages or modules, which the user trusts.

    Raises:
        UserError: a target lies outside :data:`ALLOWED` and ``allow``, or is no dotted name.

    Example:
        >>> check_targets({"loss": {"_target_": "torch.nn.Linear", "in_features": 2}})
        >>> check_targets({"hook": {"_target_": "numpy.savetxt"}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        benchmarks.errors.UserError: hook._target_: numpy.savetxt is not allowed ...
    """
    for key, target in targets_in(config):
        parts = target.split(".") if isinstance(target, str) else []
        if len(parts) < 2 or not all(part.isidentifier() and not part.startswith("__") for part in parts):
            raise UserError(f"{key} must be a dotted name such as torch.nn.Linear, but got {target!r}")
        if not _inside(target, (*ALLOWED, *allow)):
            raise UserError(
                f"{key}: {target} is not allowed (allowed are {', '.join(ALLOWED)}); if you trust that package and "
                f"the author of this configuration, add --allow {parts[0]}"
            )


def resolve(target: str) -> Any:
    """The class or function with a checked name.

    A name inside :data:`ALLOWED` must lead to something that is defined there: ``torch.nn.init.math`` or a function
    that an allowed module imports from elsewhere is refused.

    Raises:
        UserError: there is no such name, it cannot be imported, or it is no class or function.
    """
    module, attributes = _import(target)
    found: Any = module
    for number, attribute in enumerate(attributes):
        if number and not isclass(found):
            raise UserError(f"{target}: {'.'.join(attributes[:number])} is no class")
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise UserError(f"{target} does not exist: {error}") from error
    if isinstance(found, ModuleType) or not (isclass(found) or isroutine(found)):
        raise UserError(f"{target} must be a class or a function, but is a {type(found).__name__}")
    origin = _as_in_configs(getattr(found, "__module__", None) or "an unknown module")
    if _inside(target, ALLOWED) and not _inside(origin, ALLOWED):
        raise UserError(f"{target} is not allowed: it is defined in {origin}")
    return found


def deferred(node: Mapping[str, Any]) -> partial[Any]:
    """The call that a node describes, not yet made; nodes among its arguments become objects.

    Args:
        node: ``_target_``, keyword arguments, and positional ones as ``_args_``.

    Raises:
        UserError: as :func:`resolve`.

    Example:
        >>> deferred({"_target_": "torch.nn.Linear", "in_features": 3})(out_features=2).weight.shape
        torch.Size([2, 3])
    """
    arguments = {key: _built(value) for key, value in node.items() if key not in ("_target_", "_args_")}
    return partial(resolve(node["_target_"]), *_built(node.get("_args_", [])), **arguments)


def _built(value: Any) -> Any:
    if isinstance(value, Mapping):
        return deferred(value)() if "_target_" in value else {key: _built(item) for key, item in value.items()}
    return [_built(item) for item in value] if isinstance(value, list) else value


def targets_in(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of all ``_target_`` in a configuration, those of a node before those of its arguments."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        if key == "_target_":
            yield f"{prefix}{key}", value
        yield from targets_in(value, f"{prefix}{key}.")


def _inside(name: str, packages: Collection[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def _as_in_configs(module: str) -> str:
    """The name by which configurations, and with them the hashes of runs, know a module of the benchmark."""
    return re.sub(rf"^{PACKAGE}(?=\.)", "benchmarks", module)


def _import(target: str) -> tuple[ModuleType, list[str]]:
    """The longest prefix that is a module, and the names that are left."""
    parts = target.split(".")
    module = None
    for count in range(1, len(parts) + 1):
        name = ".".join([PACKAGE if parts[0] == "benchmarks" else parts[0], *parts[1:count]])
        try:
            module = import_module(name)
        except Exception as error:  # whatever a module raises while it is imported
            if not (isinstance(error, ModuleNotFoundError) and error.name == name):
                raise UserError(f"{target} cannot be imported: {type(error).__name__}: {error}") from error
            if module is None:
                raise UserError(f"{target} cannot be imported: there is no module {name!r}") from error
            return module, parts[count - 1 :]
    assert module is not None
    return module, []
