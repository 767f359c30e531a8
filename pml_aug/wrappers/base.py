"""Base class of the wrappers around PML losses: checks of parts and batches, full precision, delegated attributes."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from inspect import signature
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from pml_aug.distances.introspective_base import check_introspective
from pml_aug.host import facts_of, refuse
from pml_aug.validation import checked_rows, exclusive
from pml_aug.wrappers.misuse import CALLS_BEFORE_CHECK, versions_of, warn_if_processes_differ, warn_if_untrained
from pml_aug.wrappers.workarounds import needs_workaround, with_workarounds

IndicesTuple = tuple[Tensor, ...]

_OF_LOSS = ("distance", "reducer", "embedding_regularizer", "embedding_reg_weight")  # never the wrapper's own


class Batch(NamedTuple):
    """The checked arguments of one call: float32 or wider; labels on the device that the caller gave them on."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    indices_tuple: IndicesTuple | None
    ref_emb: Tensor | None  # (R, D); None: the batch is compared with itself
    ref_labels: Tensor | None  # (R,), long


class LossWrapper(BaseMetricLossFunction):
    """A PML loss around another PML loss.

    A subclass implements :meth:`wrapped` and ends its constructor with :meth:`fix_attributes`. Which losses it refuses
    is stated in `pml_aug.host.losses`. Half precision is converted to float32, and autocast is disabled inside: half
    precision breaks `cdist` and would change the dtype of PML's proxies for good.

    Attributes that the wrapper lacks are those of the wrapped loss, for reading and for assignment: `reducer`,
    `distance`, `get_logits`, ... The state dict has the entries of the wrapped loss under their own names, so that
    checkpoints of a wrapped and of a baseline loss can be exchanged if the wrapper has no state.

    Args:
        loss: the PML loss to wrap.
        miner: mines on the augmented batch; None uses all pairs or triplets, as the baseline loss does.

    Attributes:
        needs: what it needs of a loss, of those named in `pml_aug.host.losses`: a loss without it is refused.
        wraps: the wrappers that it can go around, or base classes of them; None for all.
        off: arguments with which the wrapper returns the baseline loss.
        takes_ref_emb: whether it can be called with `ref_emb` if the wrapped loss can.

    Raises:
        TypeError: `loss` or `miner` is not a PML loss or miner.
        ValueError: a loss or miner that the wrapper cannot be combined with, with the reason.
        AttributeError: a later assignment to `loss`, or to an argument that only the constructor uses.
        RuntimeError: in a call, another thread is using the wrapped loss or miner.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    wraps: ClassVar[tuple[type["LossWrapper"], ...] | None] = None
    off: ClassVar[Mapping[str, Any]] = {}
    takes_ref_emb: ClassVar[bool] = True

    def __init__(self, loss: BaseMetricLossFunction, miner: BaseMiner | None = None) -> None:
        name = type(self).__name__
        if not isinstance(loss, BaseMetricLossFunction):
            raise TypeError(
                f"{name} expected argument `loss` to be a BaseMetricLossFunction of pytorch-metric-learning, but got "
                f"{type(loss).__name__}; wrap the loss itself, and put MultipleLosses, DistributedLossWrapper or "
                "pml_aug's CrossBatchMemory around the result; in place of SelfSupervisedLoss give both views one label"
            )
        self._check_new_miner(miner)
        if isinstance(loss, LossWrapper) and not self._goes_around(type(loss)):
            names, kind = _names(self.wraps or ()), type(loss).__name__
            inner = " and ".join([", ".join(names[:-1]), names[-1]][len(names) < 2 :]) if names else "none of them"
            other = f"around {name}, or around" if loss._goes_around(type(self)) else "around"
            raise ValueError(
                f"{name} cannot wrap {kind}: of the wrappers, {name} goes around {inner}; put {kind} {other} the "
                "baseline loss alone"
            )
        baseline = innermost(loss)
        inside = "" if baseline is loss else f" in {type(loss).__name__}"
        refuse(baseline, self, f"{name} cannot wrap {type(baseline).__name__}{inside}")
        super().__init__(collect_stats=loss.collect_stats)
        for attribute in _OF_LOSS:
            delattr(self, attribute)
        self.loss = loss
        self.miner = miner
        self.loss_facts = facts_of(baseline)
        self._has_workaround = needs_workaround(loss)
        self._num_training_calls = 0
        check_introspective(self)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: IndicesTuple | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The wrapped loss on the augmented batch.

        Args:
            embeddings: (N, D), as the network outputs them.
            labels: (N,), integers.
            indices_tuple: pairs or triplets of rows of `embeddings` and `ref_emb`, as PML's miners return them.
            ref_emb: (R, D), compared with instead of the batch itself; the batch's own tensors count as None.
            ref_labels: (R,), integers.
            random_inputs: `generator`, or values to use instead of random numbers, see :attr:`accepted_random_inputs`.

        Raises:
            ValueError: a batch that is inconsistent, or that the wrapper cannot be applied to.
            TypeError: a keyword that the wrapper does not accept.
            RuntimeError: another thread is using the wrapped loss or miner.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            warn_if_processes_differ(self, random_inputs.get("generator"))
        if random_inputs and (unknown := random_inputs.keys() - self.accepted_random_inputs):
            accepted = ", ".join(f"`{name}`" for name in sorted(self.accepted_random_inputs))
            raise TypeError(
                f"{type(self).__name__} got an unexpected keyword argument {min(unknown)!r}; besides the batch it "
                f"accepts {accepted}"
            )
        # distances, proxies and counts are overridden inside: no other thread may read or override them meanwhile
        loss, miner = self.loss, self.miner
        with exclusive(innermost(loss)), exclusive(self if miner is None else miner):
            self.reset_stats()
            batch = self._checked(embeddings, labels, indices_tuple, ref_emb, ref_labels)
            if self.training and embeddings.requires_grad:
                self._count_training_call()
            with torch.autocast(embeddings.device.type, enabled=False):
                if not self._has_workaround:
                    return self.wrapped(batch, **random_inputs)
                with with_workarounds(loss):
                    return self.wrapped(batch, **random_inputs)

    def wrapped(self, batch: Batch, **random_inputs: Any) -> Tensor:
        """The loss of a checked batch.

        A subclass names the random inputs that it uses as parameters; others are passed to a wrapper inside.
        """
        raise NotImplementedError

    def prepare(self, embeddings: Tensor, labels: Tensor) -> None:
        """Bring the wrapper into the state in which it augments, for checks and measurements with random numbers.

        A wrapper that augments only after some steps or a refresh overrides this.

        Args:
            embeddings: (N, D), random.
            labels: (N,), integers.
        """

    @property
    def draws(self) -> bool:
        """Whether a call draws random numbers, apart from those of a wrapper inside."""
        return "generator" in signature(self.wrapped).parameters

    @property
    def accepted_random_inputs(self) -> set[str]:
        """The keywords that a call accepts for random inputs; `generator` always, even if nothing is random."""
        parameters = signature(self.wrapped).parameters.values()
        own = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD} - {"batch"}
        return {"generator", *own, *(self.loss.accepted_random_inputs if isinstance(self.loss, LossWrapper) else ())}

    @classmethod
    def _goes_around(cls, kind: type["LossWrapper"]) -> bool:
        return cls.wraps is None or issubclass(kind, cls.wraps)

    def _check_new_miner(self, miner: Any) -> None:
        """Raise a TypeError or ValueError for a miner that the wrapper cannot use, whatever its loss."""
        name = type(self).__name__
        if miner is not None and not isinstance(miner, BaseMiner):
            raise TypeError(
                f"{name} expected argument `miner` to be a BaseMiner of pytorch-metric-learning or None, but got "
                f"{type(miner).__name__}"
            )
        if miner is not None:
            refuse(miner, self, f"{name} cannot use {type(miner).__name__}")

    def check_miner(self) -> None:
        """Raise a ValueError if the miner would have no effect."""
        if self.miner is not None and not self.loss_facts.reads_tuples:
            raise ValueError(
                f"{type(self).__name__} takes no `miner` around {type(self.loss).__name__}, which reads no index "
                "tuples: leave it out"
            )

    # ---- attributes and state of the wrapped loss

    def __getattr__(self, name: str) -> Any:
        """The attribute of the wrapped loss, except for private ones and arguments of the wrapper's constructor."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            loss = self.__dict__.get("_modules", {}).get("loss")
            if (
                loss is None
                or name.startswith("_")
                or name in _arguments_of(type(self).__init__)
                or not hasattr(loss, name)
            ):
                raise
            return getattr(loss, name)

    def fix_attributes(self) -> None:
        """Pass assignments to attributes that only the wrapped loss has on to it, from now on."""
        self._attributes_are_fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        is_fixed = self.__dict__.get("_attributes_are_fixed", False)
        if name.startswith("_") or not (is_fixed or (name in _OF_LOSS and "loss" in self.__dict__.get("_modules", ()))):
            super().__setattr__(name, value)
            return
        kind = type(self).__name__
        is_own = name in self.__dict__ or hasattr(type(self), name) or name in {**self._modules, **self._buffers}
        if name == "loss" or (not is_own and name in _arguments_of(type(self).__init__)):
            raise AttributeError(f"`{name}` of {kind} is fixed at construction: construct a new {kind}")
        if name == "miner":
            if name not in _arguments_of(type(self).__init__):
                raise AttributeError(f"{kind} takes no miner: leave it out")
            self._check_new_miner(value)
        if is_own or not hasattr(self.loss, name):
            super().__setattr__(name, value)
        else:
            setattr(self.loss, name, value)
            self.loss_facts = facts_of(innermost(self.loss))

    def sub_loss_names(self) -> list[str]:
        """The names of the losses that the wrapped loss reduces; PML's constructor asks before there is one."""
        names: list[str] = self.loss.sub_loss_names() if "loss" in self._modules else ["loss"]
        return names

    def state_dict(self, *arguments: Any, prefix: str = "", **options: Any) -> dict[str, Any]:
        """The state; entries of the wrapped loss have their own names, without `loss.`."""
        state: dict[str, Any] = super().state_dict(*arguments, prefix=prefix, **options)
        inner = f"{prefix}loss."
        for key in [key for key in state if key.startswith(inner)]:
            state[prefix + key.removeprefix(inner)] = state.pop(key)
        return state

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        own = {*self._buffers, *self._modules, *self._parameters, "_extra_state"}
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            if name.split(".")[0] not in own:
                state_dict[f"{prefix}loss.{name}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    # ---- checks of calls

    def _count_training_call(self) -> None:
        """Warn if the parameters of the wrapped loss have gradients but never change."""
        self._num_training_calls += 1
        if isinstance(self.loss, LossWrapper):
            return
        if self._num_training_calls == 1:
            self._first_versions = versions_of(self.loss)
        elif self._num_training_calls == CALLS_BEFORE_CHECK:
            warn_if_untrained(self.loss, self._first_versions)

    def _checked(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: IndicesTuple | None,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
    ) -> Batch:
        if labels is None:
            raise ValueError(f"{type(self).__name__} needs `labels`, which define which rows are of one class")
        if (ref_emb is None) != (ref_labels is None):
            given, missing = ("ref_emb", "ref_labels") if ref_labels is None else ("ref_labels", "ref_emb")
            raise ValueError(f"`{given}` was given without `{missing}`: give both or neither")
        # PML compares identities, which conversion to another dtype must preserve
        same_rows, same_labels = ref_emb is embeddings, ref_labels is labels
        if same_rows and same_labels:
            ref_emb = ref_labels = None
        embeddings, labels = checked_rows(embeddings, labels, "embeddings", "labels")
        if ref_emb is not None and ref_labels is not None:
            ref_emb, ref_labels = checked_rows(ref_emb, ref_labels, "ref_emb", "ref_labels")
            if ref_emb.shape[1] != embeddings.shape[1]:
                raise ValueError(
                    f"`ref_emb` must be as wide as `embeddings` ({embeddings.shape[1]}), but got {ref_emb.shape[1]}"
                )
            ref_emb = embeddings if same_rows else ref_emb
            ref_labels = labels if same_labels else ref_labels
        return Batch(embeddings, labels, indices_tuple, ref_emb, ref_labels)


def _names(kinds: Iterable[type[LossWrapper]]) -> list[str]:
    """The wrappers of the library that are of these kinds; of base classes, those that derive from them."""
    found: list[str] = []
    for kind in kinds:
        derived = [each for each in kind.__subclasses__() if each.__module__.startswith(__package__)]
        found += _names(sorted(derived, key=lambda each: each.__name__)) if derived else [kind.__name__]
    return found


@cache
def _arguments_of(constructor: Callable[..., None]) -> frozenset[str]:
    return frozenset(signature(constructor).parameters)


def innermost(loss: BaseMetricLossFunction) -> BaseMetricLossFunction:
    """The PML loss inside all wrappers."""
    while isinstance(loss, LossWrapper):
        loss = loss.loss
    return loss
