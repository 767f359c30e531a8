"""What a call asks of the device: kernels, host waits and the most memory held at once."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# operations whose result the host must have before it can go on
HOST_WAITS = frozenset(
    {
        "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal", "is_nonzero", "masked_select", "nonzero",
        "repeat_interleave", "unique_consecutive", "unique_dim",
    }
)  # fmt: skip


class Counts(NamedTuple):
    """One call's demands."""

    kernels: int  # operations that are no views of others
    waits: int  # operations that make the host wait
    peak_bytes: int  # most memory held at once by tensors that the call made


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.waits = self.held = self.peak = 0
        self.storages: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        if not function.is_view and name not in ("detach", "alias", "_unsafe_view", "lift_fresh"):
            self.kernels += 1
        by_mask = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            tensor.dtype in (torch.bool, torch.uint8) for tensor in _tensors(args[1])
        )
        self.waits += name in HOST_WAITS or by_mask
        for tensor in _tensors(result):
            self._hold(tensor.untyped_storage(), given)
        return result

    def _hold(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in given or key in self.storages or size == 0:
            return
        self.storages.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.storages.discard(key)
        self.held -= size


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def count(call: Callable[[], object]) -> Counts:
    """The demands of one call, counted operation by operation; the same numbers on every machine.

    Example:
        >>> count(lambda: torch.ones(4, 4).sum().item()).waits
        1
    """
    with _Counter() as counter:
        call()
    return Counts(counter.kernels, counter.waits, counter.peak)
