"""Proxy Synthesis around any PML loss with proxies of its classes."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.delegating import PrecomputedDistance, unwrap
from pml_aug.distances.introspective_base import IntrospectiveBase
from pml_aug.patching import patched
from pml_aug.regularizers.on_first_rows import OnFirstRows
from pml_aug.synthesis.mix_classes import draw_mixing, mix, mixed_cosines, taken
from pml_aug.synthesis.pairs import Pairs, different_class_pairs, order_without_equal_neighbors, rolled_pairs
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_flag, check_number
from pml_aug.wrappers.base import Batch
from pml_aug.wrappers.proxy_loss_wrapper import ProxyLossWrapper

PAIRINGS = ("different_class", "roll", "reordered_roll")


class Enlarged(NamedTuple):
    """The batch and the proxies of a loss, each followed by synthetic ones, and the distance that compares them."""

    distance: BaseDistance
    embeddings: Tensor  # (N + k, D)
    proxies: Tensor  # ((C + k) * K, D)


class ProxySynthesis(ProxyLossWrapper):
    r"""A proxy loss on a batch with synthetic classes: mixed embeddings, and mixed proxies for them.

    Row i is paired with a row j of another class. With one :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` per call,

    .. math::
        \tilde x = \lambda\, n(x_i) + (1 - \lambda)\, n(x_j), \quad
        \tilde p = \lambda\, n(p_{y_i}) + (1 - \lambda)\, n(p_{y_j})

    become a sample and the proxy of a synthetic class. The wrapped loss runs unchanged on the enlarged batch with the
    enlarged proxies, in which each synthetic proxy is a negative for all other rows. Losses with several proxies per
    class (SoftTriple, SubCenterArcFace) get the mixtures of the k-th proxies, for each k. Regularizers see the original
    rows and proxies only. The gradient reaches both rows and both proxies. The only state is that of the loss.

    Args:
        loss: a PML loss with proxies of its classes.
        alpha: parameter of the Beta distribution, above 0; with smaller values mixtures are closer to one of the two
            ends.
        ratio: synthetic rows per row of the batch, between 0 and 1; 0 is the baseline loss. A batch of B rows gets
            floor(ratio * B).
        pairing: "different_class" (each row with a random row of another class; no synthetic classes in a batch of one
            class, see :func:`different_class_pairs`), "roll" (with the row before it, whatever its class: the official
            loss) or "reordered_roll" (the same after the search of the official training loop for an order without
            equal neighbours; slow, loops over rows).
        synthetic_proxies: whether mixtures are classes of their own, as above. False is the control that shows what
            these classes add: the same mixed rows belong to the classes of both rows, and the value is
            :math:`\lambda` times the loss with all of them in class :math:`y_i` plus :math:`1 - \lambda` times that
            with all in :math:`y_j` (mixup of embeddings). It takes two calls of the loss, which has to return a number:
            no DoNothingReducer.

    Attributes:
        num_synthetic: number of mixed rows in the last call; each is a synthetic class unless `synthetic_proxies` is
            False.
        mixing: lambda of the last call.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss without proxies of its classes; in a call, `indices_tuple` or
            `ref_emb`, or a label outside 0 .. C - 1.
        TypeError: `loss` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss.

    Source: Gu, Ko and Kim, "Proxy Synthesis: Learning with Synthetic Classes for Deep Metric Learning", AAAI 2021;
    github.com/navervision/proxy-synthesis (loss/proxy_losses.py, main.py). That code is this wrapper around
    NormalizedSoftmaxLoss(temperature=1 / scale) or ProxyNCALoss(softmax_scale=scale) with `pairing="roll"`.
    Deviations by default: no synthetic class between rows of one class, which would be a negative for its own
    originals; rows and proxies get the same number of mixtures, where the official roundings can disagree.

    Example:
        >>> from pytorch_metric_learning.losses import ProxyAnchorLoss
        >>> loss = ProxySynthesis(ProxyAnchorLoss(num_classes=4, embedding_size=2))
        >>> loss(torch.randn(8, 2), torch.arange(8) % 4).ndim
        0
    """

    off: ClassVar[Mapping[str, Any]] = {"ratio": 0.0}

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        alpha: float = 0.4,
        ratio: float = 1.0,
        pairing: str = "different_class",
        synthetic_proxies: bool = True,
    ) -> None:
        check_number("alpha", alpha, above=0)
        check_number("ratio", ratio, minimum=0, maximum=1)
        check_choice("pairing", pairing, PAIRINGS)
        check_flag("synthetic_proxies", synthetic_proxies)
        super().__init__(loss)
        self.alpha = alpha
        self.ratio = ratio
        self.pairing = pairing
        self._synthetic_proxies = synthetic_proxies
        self.add_to_recordable_attributes(list_of_names=["alpha", "ratio"], is_stat=False)
        self.mixing = 0.0
        self.num_synthetic = 0
        self.add_to_recordable_attributes(list_of_names=["mixing", "num_synthetic"], is_stat=True)
        self.fix_attributes()

    @property
    def synthetic_proxies(self) -> bool:
        """Whether mixtures are classes of their own."""
        return self._synthetic_proxies

    def wrapped(
        self, batch: Batch, generator: torch.Generator | None = None, mixing: float | None = None, **random_inputs: Any
    ) -> Tensor:
        """The wrapped loss on the enlarged batch.

        Args:
            batch: labels are in 0 .. C - 1.
            generator: source of pairs and lambda; with one on the CPU, no device is waited for. Torch's global one by
                default.
            mixing: lambda, between 0 and 1, used instead of a random number.
            random_inputs: not used, as the wrapped loss is no wrapper.
        """
        self.num_synthetic = 0
        loss, embeddings, labels = self.loss, batch.embeddings, batch.labels
        self.check_batch(batch)
        pairs = self._pair(labels, generator)
        if len(pairs.start) == 0:
            return loss(embeddings, labels, **random_inputs)
        if mixing is not None:
            check_number("mixing", mixing, minimum=0, maximum=1)
        self.mixing = draw_mixing(self.alpha, generator) if mixing is None else mixing
        self.num_synthetic = len(pairs.start)

        labels = self.labels_on(embeddings.device, labels)
        pairs = Pairs(*(_moved(rows, embeddings.device) for rows in pairs))
        if not self.synthetic_proxies:
            return self._in_both_classes(embeddings, labels, pairs, random_inputs)
        enlarged = self._enlarged(embeddings, labels, pairs)
        num_classes = self.num_classes
        synthetic = torch.arange(num_classes, num_classes + self.num_synthetic, device=labels.device)
        return self.enlarged_loss(
            enlarged.embeddings,
            torch.cat([labels, synthetic]),
            enlarged.proxies,
            len(embeddings),
            enlarged.distance,
            **random_inputs,
        )

    def _in_both_classes(
        self, embeddings: Tensor, labels: Tensor, pairs: Pairs, random_inputs: dict[str, Any]
    ) -> Tensor:
        """The loss with every mixture in the class of its first end and in that of its second, in their proportion."""
        loss = self.loss
        overrides: dict[str, Any] = {}
        start, end = taken(embeddings, torch.cat(pairs)).chunk(2)
        rows = torch.cat([embeddings, _mixed_rows(unwrap(loss.distance), start, end, self.mixing)])
        if loss.embedding_regularizer is not None:
            overrides["embedding_regularizer"] = OnFirstRows(loss.embedding_regularizer, len(embeddings))
        with patched(loss, **overrides):
            first, second = (
                loss(rows, torch.cat([labels, labels.index_select(0, rows_of_end)]), **random_inputs)
                for rows_of_end in pairs
            )
        if not isinstance(first, Tensor):
            raise ValueError(
                "ProxySynthesis(synthetic_proxies=False) adds two values of its loss, but "
                f"{type(loss.reducer).__name__} returns none: use another reducer"
            )
        return torch.lerp(second, first, self.mixing)

    def _pair(self, labels: Tensor, generator: torch.Generator | None) -> Pairs:
        check_number("ratio", self.ratio, minimum=0, maximum=1)  # both may have been set after construction
        check_choice("pairing", self.pairing, PAIRINGS)
        limit = int(self.ratio * len(labels) + 1e-9)
        if self.pairing == "different_class" and limit:
            pairs = different_class_pairs(labels, generator)
        elif self.pairing == "reordered_roll" and limit:
            order = order_without_equal_neighbors(labels)
            pairs = Pairs(*(order[rows] for rows in rolled_pairs(order)))
        else:
            pairs = rolled_pairs(labels)
        return Pairs(pairs.start[:limit], pairs.end[:limit])

    def _enlarged(self, embeddings: Tensor, labels: Tensor, pairs: Pairs) -> Enlarged:
        """Batch and proxies with their mixtures, and the distance that compares them."""
        loss = self.loss
        self.layout.normalize_in_place(loss)  # by itself the loss would normalise the enlarged copy only
        proxies = self.layout.rows(loss).to(embeddings)
        of_proxies = Pairs(*(self.layout.places(loss, labels.index_select(0, rows)) for rows in pairs))
        distance = unwrap(loss.distance)
        first, second = taken(embeddings, torch.cat(pairs)).chunk(2)
        synthetic = _mixed_rows(distance, first, second, self.mixing)
        first, second = taken(proxies, torch.cat(of_proxies)).chunk(2)
        synthetic_proxies = _mixed_rows(distance, first, second, self.mixing)
        if self.layout.to_unit:
            synthetic_proxies = normalize(synthetic_proxies)
        rows, columns = torch.cat([embeddings, synthetic]), torch.cat([proxies, synthetic_proxies])
        if self.compares_by_cosine:
            cosines = mixed_cosines(embeddings, proxies, pairs, of_proxies, self.mixing)
            return Enlarged(PrecomputedDistance(loss.distance, cosines), rows, columns)
        return Enlarged(loss.distance, rows, columns)


def _moved(rows: Tensor, device: torch.device) -> Tensor:
    return rows if rows.device == device else to_device(rows, device)


def _mixed_rows(distance: BaseDistance, first: Tensor, second: Tensor, mixing: float) -> Tensor:
    """Mixed directions; of rows [semantic | uncertainty], the uncertainty is interpolated linearly."""
    if not isinstance(distance, IntrospectiveBase):
        return mix(first, second, mixing)
    (first, first_uncertainty), (second, second_uncertainty) = distance.split(first), distance.split(second)
    semantic = mix(first, second, mixing)
    if first_uncertainty is None or second_uncertainty is None:
        return semantic
    return torch.cat([semantic, torch.lerp(second_uncertainty, first_uncertainty, mixing)], dim=1)
