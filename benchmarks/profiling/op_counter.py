"""Counts of a call on an accelerator: kernels, host waits and peak memory. No accelerator is needed.

The call runs on tensors that report another device and keep their numbers on the CPU. All code takes the branches that
it takes on an accelerator, and operations on tensors of the host are not counted.
"""

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"  # every torch has this device; its own operations are never called
# operations whose result the host needs before it continues
HOST_WAITS = frozenset(
    {
        "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal", "is_nonzero", "masked_select", "nonzero",
        "repeat_interleave", "unique_consecutive", "unique_dim",
    }
)  # fmt: skip
BY_INDEX = ("index", "index_put", "index_put_", "_index_put_impl_")
NO_KERNELS = ("detach", "alias", "_unsafe_view", "lift_fresh")


class Counts(NamedTuple):
    """Counts of one call."""

    kernels: int  # operations that are not views
    waits: int  # operations that make the host wait
    peak_bytes: int  # most bytes held at once by tensors that the call made


def count(build: Callable[[str], Callable[[], object]]) -> Counts:
    """The counts of one call on a device, operation by operation; the same on every machine.

    Args:
        build: makes the call for a device, given by name; what it does itself is not counted.

    Example:
        >>> count(lambda device: lambda: torch.ones(4, 4, device=device).sum().item()).waits
        1
        >>> count(lambda device: lambda: torch.ones(4, 4).sum().item()).waits  # on the host
        0
    """
    counter = _Counter()
    # autocast does not know the device
    with counter, mock.patch("torch.autocast", lambda *_, **__: nullcontext()):
        call = build(DEVICE)
        counter.start()
        call()
    return Counts(counter.kernels, counter.waits, counter.peak)


class _OnDevice(torch.Tensor):
    """A tensor that reports another device; ``numbers`` holds its content on the CPU."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> "_OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=torch.device(DEVICE),
        )
        made.numbers = numbers
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise RuntimeError(f"{function} was called on a simulated device outside of `count`")

    def tolist(self) -> Any:
        return self.cpu().tolist()


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.start()

    def start(self) -> None:
        self.kernels = self.waits = self.held = self.peak = 0
        self.storages: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        takes = [tensor for tensor in _tensors((args, kwargs)) if isinstance(tensor, _OnDevice)]
        target = kwargs.get("device")
        gives = bool(takes) if target is None else torch.device(target).type == DEVICE
        on_host = {} if target is None else {"device": torch.device("cpu")}
        given = {tensor.numbers.untyped_storage()._cdata for tensor in takes}
        result = function(*tree_map(_numbers, args), **(tree_map(_numbers, kwargs) | on_host))
        if takes or gives:
            self._count(function, args, kwargs, comes_back=bool(takes) and not gives)
        if not gives:
            return result
        for tensor in _tensors(result):
            self._hold(tensor.untyped_storage(), given)
        return return_and_correct_aliasing(function, args, kwargs, tree_map(_on_device, result))

    def _count(self, function: Any, args: Any, kwargs: Any, comes_back: bool) -> None:
        name = function._schema.name.removeprefix("aten::")
        self.kernels += not function.is_view and name not in NO_KERNELS
        one_number = name != "index" and name in BY_INDEX and args[2].numel() == 1  # CUDA fills by the mask at once
        by_mask = name in BY_INDEX and any(
            isinstance(tensor, _OnDevice) and tensor.dtype in (torch.bool, torch.uint8) for tensor in _tensors(args[1])
        )
        self.waits += name in HOST_WAITS or (by_mask and not one_number) or comes_back or _is_sent(name, args, kwargs)

    def _hold(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in given or key in self.storages or size == 0:
            return
        self.storages.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, self.storages, key, size)

    def _release(self, storages: set[int], key: int, size: int) -> None:
        storages.discard(key)
        if storages is self.storages:  # made after the start
            self.held -= size


def _is_sent(name: str, args: Any, kwargs: Any) -> bool:
    """Whether the operation copies from the host to the device, and the host waits for it."""
    if name == "_to_copy":
        return not isinstance(args[0], _OnDevice) and not kwargs.get("non_blocking", False)
    if name == "copy_":
        asynchronous = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        return not isinstance(args[1], _OnDevice) and not asynchronous
    return name in BY_INDEX and not all(isinstance(rows, _OnDevice) for rows in _tensors(args[1]))


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _numbers(leaf: Any) -> Any:
    return leaf.numbers if isinstance(leaf, _OnDevice) else leaf


def _on_device(leaf: Any) -> Any:
    return _OnDevice(leaf) if isinstance(leaf, torch.Tensor) else leaf
