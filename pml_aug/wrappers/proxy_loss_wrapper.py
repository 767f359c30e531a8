"""Base class of the wrappers that give a proxy loss further classes."""

from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, reducers
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor
from torch.func import functional_call

from pml_aug.host import LOSSES, PROXIES
from pml_aug.patching import patched
from pml_aug.regularizers.on_first_rows import OnFirstRows
from pml_aug.synthesis.mix_classes import is_plain_cosine
from pml_aug.to_device import to_device
from pml_aug.validation import check_class_labels
from pml_aug.wrappers.base import Batch, LossWrapper


class ProxyLossWrapper(LossWrapper):
    """A PML loss with proxies of its classes, on a batch and proxies followed by those of further classes.

    A subclass implements :meth:`wrapped`, in which :meth:`labels_of` checks the batch and :meth:`enlarged_loss` calls
    the wrapped loss.

    Args:
        loss: a PML loss with proxies of its classes.

    Raises:
        ValueError: a loss without proxies of its classes, or with a ClassWeightedReducer; in a call, `indices_tuple` or
            `ref_emb`, or a label outside 0 .. C - 1.
        TypeError: `loss` is not from PML.
    """

    needs: ClassVar[tuple[str, ...]] = (PROXIES,)
    wraps: ClassVar[tuple[type[LossWrapper], ...]] = ()

    def __init__(self, loss: losses.BaseMetricLossFunction) -> None:
        super().__init__(loss)
        proxies = self.loss_facts.proxies
        assert proxies is not None  # refused otherwise
        if any(isinstance(module, reducers.ClassWeightedReducer) for module in loss.modules()):
            raise ValueError(
                f"{type(self).__name__} cannot wrap {type(loss).__name__} with a ClassWeightedReducer: synthetic "
                "classes have no weight; use another reducer"
            )
        self.layout = proxies

    @property
    def num_classes(self) -> int:
        """Classes of the wrapped loss, without further ones."""
        return self.layout.count(self.loss) // self.layout.count_per_class(self.loss)

    @property
    def compares_by_cosine(self) -> bool:
        """Whether the loss passes its proxies to PML's cosine alone, so that the matrix can be computed beforehand."""
        loss = self.loss
        proxies = LOSSES[type(loss)].proxies if type(loss) in LOSSES else None
        return proxies is not None and proxies.only_in_distance and is_plain_cosine(loss.distance)

    def check_batch(self, batch: Batch) -> None:
        """Raise a ValueError for a batch that a proxy loss with further classes cannot take."""
        name = type(self).__name__
        if batch.indices_tuple is not None:
            raise ValueError(
                f"{name} takes no `indices_tuple`: PML's proxy losses weight rows by it, and rows of further classes "
                "would get weight 0; leave the miner out"
            )
        if batch.ref_emb is not None:
            raise ValueError(f"{name} takes no `ref_emb`: its loss compares embeddings with proxies")
        check_class_labels(batch.labels, self.num_classes, of=type(self.loss).__name__)

    def labels_on(self, device: torch.device, labels: Tensor) -> Tensor:
        """The labels on `device`. One without a class stops an accelerator instead of meaning a further class."""
        labels = labels if labels.device == device else to_device(labels, device)
        return torch.arange(self.num_classes, device=device).index_select(0, labels)

    def enlarged_loss(
        self,
        embeddings: Tensor,
        labels: Tensor,
        proxies: Tensor,
        num_rows: int,
        distance: BaseDistance | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The wrapped loss with further rows and classes, of which its regularizers see nothing.

        Args:
            embeddings: (N + k, D), the rows of the batch first.
            labels: (N + k,), in 0 .. C + c - 1.
            proxies: ((C + c) * K, D), those of the loss first.
            num_rows: N.
            distance: used instead of the loss's own.
            random_inputs: for the loss.
        """
        loss = self.loss
        num_classes = len(proxies) // self.layout.count_per_class(loss)
        overrides: dict[str, Any] = {
            "distance": loss.distance if distance is None else distance,
            "num_classes": num_classes,
            "proxy_labels": torch.arange(num_classes, device=proxies.device),
        }
        counts = {"embedding_regularizer": num_rows, "weight_regularizer": self.layout.count(loss)}
        for name, count in counts.items():
            if getattr(loss, name, None) is not None:
                overrides[name] = OnFirstRows(getattr(loss, name), count)
        with patched(loss, **overrides):
            replaced = {self.layout.parameter: self.layout.as_stored(proxies)}
            return functional_call(loss, replaced, (embeddings, labels), random_inputs)
