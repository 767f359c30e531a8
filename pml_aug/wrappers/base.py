"""What all wrappers of a loss share: the checks at the border, full precision, and the face of a PML loss."""

from inspect import signature
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner
from pytorch_metric_learning.reducers import BaseReducer
from torch import Tensor

from pml_aug.distances.introspective_base import check_introspective
from pml_aug.host import facts_of, refuse
from pml_aug.validation import checked_rows
from pml_aug.wrappers.processes import warn_if_processes_differ
from pml_aug.wrappers.workarounds import with_workarounds

IndicesTuple = tuple[Tensor, ...]


class Batch(NamedTuple):
    """One call of a loss, checked: float32 or wider; labels stay on the device that the caller has them on."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    indices_tuple: IndicesTuple | None
    ref_emb: Tensor | None  # (R, D); None stands for the batch itself
    ref_labels: Tensor | None  # (R,), long


class LossWrapper(BaseMetricLossFunction):
    """A PML loss around another PML loss, called as every PML loss is.

    A subclass says in `refusals` which losses it makes no sense around, and computes in `wrapped`. The distance and
    the reducer that it shows are the wrapped loss's own. Embeddings in half precision are raised to float32, and
    autocast is off inside: half precision breaks `cdist` and would rewrite the dtype of PML's proxies for good.

    Args:
        loss: the loss to wrap.
        miner: mines with the wrapper's own candidates; None takes every pair, as the bare loss does.

    Raises:
        TypeError: when `loss` or `miner` is no PML loss or miner.
        ValueError: when the wrapper makes no sense around the class of `loss`, with the reason.
    """

    wraps: ClassVar[tuple[type["LossWrapper"], ...] | None] = None

    def __init__(self, loss: BaseMetricLossFunction, miner: BaseMiner | None = None) -> None:
        name = type(self).__name__
        if not isinstance(loss, BaseMetricLossFunction):
            raise TypeError(
                f"{name} expected argument `loss` to be a BaseMetricLossFunction of pytorch-metric-learning, but got "
                f"{type(loss).__name__}; wrap the loss itself, and put MultipleLosses, DistributedLossWrapper or "
                "pml_aug's CrossBatchMemory around the result; in place of SelfSupervisedLoss give both views one label"
            )
        if miner is not None and not isinstance(miner, BaseMiner):
            raise TypeError(
                f"{name} expected argument `miner` to be a BaseMiner of pytorch-metric-learning or None, but got "
                f"{type(miner).__name__}"
            )
        if isinstance(loss, LossWrapper) and self.wraps is not None and not isinstance(loss, self.wraps):
            inner = " and ".join(kind.__name__ for kind in self.wraps) or "none of them"
            raise ValueError(
                f"{name} cannot wrap {type(loss).__name__}: of the wrappers, {name} goes around {inner}; put "
                f"{type(loss).__name__} around {name}, or around the baseline loss alone"
            )
        baseline = innermost(loss)
        inside = "" if baseline is loss else f" in {type(loss).__name__}"
        refuse(baseline, self, f"{name} cannot wrap {type(baseline).__name__}{inside}")
        if miner is not None:
            refuse(miner, self, f"{name} cannot use {type(miner).__name__}")
        super().__init__(collect_stats=loss.collect_stats)
        del self.distance, self.reducer  # those of the wrapped loss are shown instead
        self.loss = loss
        self.miner = miner
        self.loss_facts = facts_of(baseline)
        check_introspective(self)

    @property
    def distance(self) -> BaseDistance:
        """The wrapped loss's distance."""
        return self.loss.distance

    @property
    def reducer(self) -> BaseReducer:
        """The wrapped loss's reducer."""
        return self.loss.reducer

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: IndicesTuple | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        **draws: Any,
    ) -> Tensor:
        """The wrapped loss on the augmented batch.

        Args:
            embeddings: (N, D), as the network gives them.
            labels: (N,), integers.
            indices_tuple: pairs or triplets of rows of `embeddings` and `ref_emb`, as PML's miners give them.
            ref_emb: (R, D), compared with instead of the batch itself; with the batch's own tensors, as without any.
            ref_labels: (R,), integers.
            draws: randomness handed in: `generator`, or a recorded draw, see :attr:`accepted_draws`.

        Raises:
            ValueError: a batch that does not fit together, or not the wrapper.
            TypeError: a draw that the wrapper does not know.
        """
        warn_if_processes_differ(self, draws.get("generator"))
        if draws and (unknown := draws.keys() - self.accepted_draws):
            accepted = ", ".join(f"`{name}`" for name in sorted(self.accepted_draws))
            raise TypeError(
                f"{type(self).__name__} got an unexpected keyword argument {min(unknown)!r}; beside the batch it takes "
                f"{accepted}"
            )
        self.reset_stats()
        with torch.autocast(embeddings.device.type, enabled=False), with_workarounds(self.loss):
            return self.wrapped(self._checked(embeddings, labels, indices_tuple, ref_emb, ref_labels), **draws)

    def wrapped(self, batch: Batch, **draws: Any) -> Tensor:
        """The loss of a checked batch. A subclass names the draws it knows; the others are for a wrapper inside."""
        raise NotImplementedError

    @property
    def accepted_draws(self) -> set[str]:
        """The names of the randomness that a call takes: `generator` always, even where nothing is drawn."""
        own = signature(self.wrapped).parameters.keys() - {"batch", "draws"}
        return {"generator", *own, *(self.loss.accepted_draws if isinstance(self.loss, LossWrapper) else ())}

    def check_miner(self) -> None:
        """Raise a ValueError if the miner would have no effect."""
        if self.miner is not None and not self.loss_facts.reads_tuples:
            raise ValueError(
                f"{type(self).__name__} takes no `miner` around {type(self.loss).__name__}, which reads no index "
                "tuples: leave it out"
            )

    def _checked(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: IndicesTuple | None,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
    ) -> Batch:
        if labels is None:
            raise ValueError(f"{type(self).__name__} needs `labels`: it tells by them which rows belong together")
        if (ref_emb is None) != (ref_labels is None):
            given, missing = ("ref_emb", "ref_labels") if ref_labels is None else ("ref_labels", "ref_emb")
            raise ValueError(f"`{given}` was given without `{missing}`: give both or neither")
        # PML tells by identity, which another dtype must not break
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


def innermost(loss: BaseMetricLossFunction) -> BaseMetricLossFunction:
    """The PML loss inside all wrappers."""
    while isinstance(loss, LossWrapper):
        loss = loss.loss
    return loss
