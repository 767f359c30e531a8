"""Proxy Synthesis around any PML loss with proxies of its classes."""

from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_metric_learning import losses, reducers
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from pml_aug.distances.cosines import Mixtures, is_plain_cosine, mixed_cosines, taken
from pml_aug.distances.delegating import PrecomputedDistance, unwrap
from pml_aug.distances.introspective_base import IntrospectiveBase
from pml_aug.host import LOSSES
from pml_aug.patching import patched
from pml_aug.regularizers.on_first_rows import OnFirstRows
from pml_aug.synthesis.mix_classes import draw_mixing, mix
from pml_aug.synthesis.pairs import Pairs, different_class_pairs, order_without_equal_neighbors, rolled_pairs
from pml_aug.to_device import to_device
from pml_aug.validation import check_class_labels
from pml_aug.wrappers.base import Batch, LossWrapper

PAIRINGS = ("different_class", "roll", "reordered_roll")


class Enlarged(NamedTuple):
    """What a loss is handed in place of its batch and its proxies."""

    distance: BaseDistance
    embeddings: Tensor  # (N + k, D)
    proxies: Tensor  # ((C + k) * K, D)


class ProxySynthesis(LossWrapper):
    r"""A proxy loss on a batch with synthetic classes: mixed embeddings, and mixed proxies for them.

    Row i is paired with a row j of another class. With one :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` a call,

    .. math::
        \tilde x = \lambda\, n(x_i) + (1 - \lambda)\, n(x_j), \quad
        \tilde p = \lambda\, n(p_{y_i}) + (1 - \lambda)\, n(p_{y_j})

    become a sample and the proxy of a class that no image has. The wrapped loss runs unchanged on batch and proxies
    so enlarged, or, where cosines are all that it reads of them, on the cosines that follow from those of the plain
    ones. Every synthetic proxy is a negative for all other rows. Losses with several proxies a class
    (SoftTriple, SubCenterArcFace) get the mixtures of the k-th proxies, for each k. Regularizers see the original
    rows and proxies only. Gradients reach both rows and both proxies; there is no state beside the loss's own.

    Args:
        loss: a PML loss with proxies of its classes.
        alpha: of the Beta distribution, above 0; smaller draws mixtures nearer to one of the two ends.
        ratio: synthetic rows for each row of the batch, in [0, 1]; 0 gives the bare loss. A batch of B has
            floor(ratio * B) synthetic rows.
        pairing: "different_class" (every row with a random one of another class; a batch of one class synthesises
            nothing, see :func:`different_class_pairs`), "roll" (with the row before, whatever its class: the official
            loss) or
            "reordered_roll" (the same after the official training loop's search for an order without equal
            neighbours; slow, loops over rows).

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer gives

    Raises:
        ValueError: an argument out of range; a loss without proxies of its classes; in a call, `indices_tuple` or
            `ref_emb`, or a label outside 0 .. C - 1.
        TypeError: `loss` is none of PML's.

    Source: Gu, Ko and Kim, "Proxy Synthesis: Learning with Synthetic Classes for Deep Metric Learning", AAAI 2021;
    github.com/navervision/proxy-synthesis (loss/proxy_losses.py, main.py). That code is this wrapper around
    NormalizedSoftmaxLoss(temperature=1 / scale) or ProxyNCALoss(softmax_scale=scale) with `pairing="roll"`.
    Deviations by default: no synthetic class between rows of one class, which would stand against its own original;
    rows and proxies get the same number of mixtures, where the official roundings can disagree.

    Example:
        >>> from pytorch_metric_learning.losses import ProxyAnchorLoss
        >>> loss = ProxySynthesis(ProxyAnchorLoss(num_classes=4, embedding_size=2))
        >>> loss(torch.randn(8, 2), torch.arange(8) % 4).ndim
        0
    """

    wraps: ClassVar[tuple[type[LossWrapper], ...]] = ()

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        alpha: float = 0.4,
        ratio: float = 1.0,
        pairing: str = "different_class",
    ) -> None:
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, but got {alpha}")
        if not 0 <= ratio <= 1:
            raise ValueError(f"ratio must be between 0 and 1, but got {ratio}")
        if pairing not in PAIRINGS:
            raise ValueError(f"Expected argument `pairing` to be one of {PAIRINGS} but got {pairing!r}")
        super().__init__(loss)
        layout = self.loss_facts.proxies
        assert layout is not None  # refused otherwise
        if any(isinstance(module, reducers.ClassWeightedReducer) for module in loss.modules()):
            raise ValueError(
                f"ProxySynthesis cannot wrap {type(loss).__name__} with a ClassWeightedReducer: synthetic classes "
                "have no weight; use another reducer"
            )
        self.layout = layout
        self.alpha = alpha
        self.ratio = ratio
        self.pairing = pairing
        self.add_to_recordable_attributes(list_of_names=["alpha", "ratio"], is_stat=False)
        self.add_to_recordable_attributes(list_of_names=["mixing", "num_synthetic"], is_stat=True)

    @property
    def num_classes(self) -> int:
        """Classes of the wrapped loss, without synthetic ones."""
        return self.layout.count(self.loss) // self.layout.count_per_class(self.loss)

    def wrapped(
        self, batch: Batch, generator: torch.Generator | None = None, mixing: float | None = None, **draws: Any
    ) -> Tensor:
        """The wrapped loss on the enlarged batch.

        Args:
            batch: labels are in 0 .. C - 1.
            generator: source of pairs and mixing weight, on any device; one on the CPU makes no device wait. Torch's
                global one by default.
            mixing: the lambda to use instead of a draw.
            draws: for the wrapped loss, where that is a wrapper too.
        """
        embeddings, labels = batch.embeddings, batch.labels
        if batch.indices_tuple is not None:
            raise ValueError(
                "ProxySynthesis takes no `indices_tuple`: PML's proxy losses weigh rows by it, and synthetic rows "
                "would weigh 0; leave the miner out"
            )
        if batch.ref_emb is not None:
            raise ValueError("ProxySynthesis takes no `ref_emb`: its loss compares embeddings with proxies")
        num_classes = self.num_classes
        check_class_labels(labels, num_classes, of=type(self.loss).__name__)
        pairs = self._pair(labels, generator)
        self.num_synthetic = len(pairs.start)
        if self.num_synthetic == 0:
            return self.loss(embeddings, labels, **draws)
        self.mixing = draw_mixing(self.alpha, generator) if mixing is None else mixing

        # a label that no class has stops an accelerator here, before it could pass for a synthetic class
        every_class = torch.arange(num_classes + self.num_synthetic, device=embeddings.device)
        labels = every_class[:num_classes].index_select(0, to_device(labels, embeddings.device))
        pairs = Pairs(*(to_device(rows, embeddings.device) for rows in pairs))
        enlarge = self._by_cosines if reads_cosines_only(self.loss) else self._with_mixtures
        enlarged = enlarge(embeddings, labels, pairs)
        with patched(
            self.loss,
            distance=enlarged.distance,
            num_classes=len(every_class),
            proxy_labels=every_class,
            embedding_regularizer=_on_first_rows(self.loss, "embedding_regularizer", len(embeddings)),
            weight_regularizer=_on_first_rows(self.loss, "weight_regularizer", self.layout.count(self.loss)),
        ):
            return functional_call(
                self.loss,
                {self.layout.parameter: self.layout.as_stored(enlarged.proxies)},
                (enlarged.embeddings, torch.cat([labels, every_class[num_classes:]])),
                draws,
            )

    def _pair(self, labels: Tensor, generator: torch.Generator | None) -> Pairs:
        limit = int(self.ratio * len(labels) + 1e-9)
        if self.pairing == "different_class" and limit:
            pairs = different_class_pairs(labels, generator)
        elif self.pairing == "reordered_roll" and limit:
            order = order_without_equal_neighbors(labels)
            pairs = Pairs(*(order[rows] for rows in rolled_pairs(order)))
        else:
            pairs = rolled_pairs(labels)
        return Pairs(pairs.start[:limit], pairs.end[:limit])

    def _with_mixtures(self, embeddings: Tensor, labels: Tensor, pairs: Pairs) -> Enlarged:
        """Batch and proxies with their mixtures."""
        self.layout.normalize_in_place(self.loss)  # by itself it would reach the enlarged copy only
        rows, proxies = torch.cat(pairs), self.layout.rows(self.loss).to(embeddings)
        first, second = embeddings.index_select(0, rows).chunk(2)
        synthetic = _mixed_rows(unwrap(self.distance), first, second, self.mixing)
        first, second = taken(proxies, self.layout.places(self.loss, labels.index_select(0, rows))).chunk(2)
        synthetic_proxies = _mixed_rows(unwrap(self.distance), first, second, self.mixing)
        if self.layout.to_unit:
            synthetic_proxies = normalize(synthetic_proxies)
        return Enlarged(self.distance, torch.cat([embeddings, synthetic]), torch.cat([proxies, synthetic_proxies]))

    def _by_cosines(self, embeddings: Tensor, labels: Tensor, pairs: Pairs) -> Enlarged:
        """The cosines of batch and proxies with their mixtures, from one product of the plain ones.

        In place of mixtures stand rows of zeros, in place of proxies numbers that would show if anyone read them.
        """
        proxies = self.layout.rows(self.loss).to(embeddings)
        of_rows = Mixtures(pairs.start, pairs.end, self.mixing)
        first, second = (self.layout.places(self.loss, labels.index_select(0, rows)) for rows in pairs)
        matrix = mixed_cosines(embeddings, proxies, of_rows, Mixtures(first, second, self.mixing))
        zeros = embeddings.new_zeros(len(pairs.start), embeddings.shape[1])
        stand_ins = embeddings.new_full((matrix.shape[1], 1), torch.nan)
        return Enlarged(PrecomputedDistance(self.distance, matrix), torch.cat([embeddings, zeros]), stand_ins)


def reads_cosines_only(loss: nn.Module) -> bool:
    """Whether the cosines with its proxies are all that `loss` reads of them; a subclass may read more."""
    facts = LOSSES.get(type(loss))
    if facts is None or facts.proxies is None or not facts.proxies.only_in_distance:
        return False
    return getattr(loss, "weight_regularizer", None) is None and is_plain_cosine(loss.distance)


def _mixed_rows(distance: BaseDistance, first: Tensor, second: Tensor, mixing: float) -> Tensor:
    """Mixed directions; of rows [semantic | uncertainty] the uncertainty is mixed as it is."""
    if not isinstance(distance, IntrospectiveBase):
        return mix(first, second, mixing)
    (first, first_doubt), (second, second_doubt) = distance.split(first), distance.split(second)
    semantic = mix(first, second, mixing)
    if first_doubt is None or second_doubt is None:
        return semantic
    return torch.cat([semantic, torch.lerp(second_doubt, first_doubt, mixing)], dim=1)


def _on_first_rows(loss: nn.Module, name: str, num_rows: int) -> nn.Module | None:
    regularizer = getattr(loss, name, None)
    return None if regularizer is None else OnFirstRows(regularizer, num_rows)
