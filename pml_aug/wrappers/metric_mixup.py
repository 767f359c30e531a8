"""Metric mixup (Metrix) of embeddings around PML losses whose attracting and repelling parts add up."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance, replaced_distance
from pml_aug.distances.to_mixtures import distances_to_mixtures, follow_from_rows
from pml_aug.host import SIDES
from pml_aug.synthesis.mix_classes import draw_mixing
from pml_aug.synthesis.mixed_pairs import (
    POSITIVES,
    MixedPairs,
    anchor_negative_pairs,
    positive_negative_pairs,
)
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_number
from pml_aug.wrappers.base import Batch, LossWrapper
from pml_aug.wrappers.terms import Term, weighted_sum, without_regularizers

KINDS = ("positive_negative", "anchor_negative")


class MetricMixup(LossWrapper):
    r"""A pair loss that also compares rows with mixtures, which are positives in part and negatives for the rest.

    With one :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` per call, row a is compared with mixtures of unit rows
    of one of two kinds,

    .. math::
        m = \lambda\, n(x_p) + (1 - \lambda)\, n(x_n) \text{ (positive-negative)} \quad \text{or} \quad
        m = \lambda\, n(x_a) + (1 - \lambda)\, n(x_n) \text{ (anchor-negative)}

    for every positive p and negative n of a, or for every negative n of a row a without a positive. A mixture attracts
    with weight :math:`\lambda` and repels with weight :math:`1 - \lambda`:

    .. math:: L + w\, \bigl(\lambda\, L_{\text{attract}} + (1 - \lambda)\, L_{\text{repel}}\bigr)

    where the unchanged loss is called for the batch, for the mixtures as positives, and for the mixtures as negatives.
    In MultiSimilarityLoss, which sums exponentials, the weights of the labels are factors inside the sums, as in the
    paper. The gradient reaches the row and both ends of the mixture. Regularizers see the batch only. There is no
    state.

    Args:
        loss: ContrastiveLoss, SignalToNoiseRatioContrastiveLoss, MultiSimilarityLoss, or a loss that derives from one.
        weight: w, at least 0; or two numbers, for positive-negative and anchor-negative mixtures. 0 is the baseline
            loss.
        alpha: parameter of the Beta distribution, above 0. With a small one lambda is nearly 0 or 1, so that nothing is
            mixed and real pairs count more (a control).
        positives: "each" (the mixtures of each positive) or "first" (those of the first positive of a row, as often as
            the row has positives: the official code).
        kind: "random" (one of the two kinds in each call, by a fair coin; where the batch has no mixtures of that kind,
            the other one), "positive_negative" or "anchor_negative".

    Attributes:
        num_synthetic: number of mixtures that rows were compared with in the last call.
        mixing: lambda of the last call.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss whose two parts do not add up; in a call, `ref_emb`.
        TypeError: `loss` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss.

    Source: Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", ICLR 2022;
    github.com/billpsomas/Metrix_ICLR22 (train.py, mixup/), in its form on embeddings. That code is this wrapper around
    ContrastiveLoss(pos_margin=0, neg_margin=0.5) with `positives="first"` and `weight=(0.4, 0.3)`. Deviations by
    default: each positive is mixed, instead of the first one for all; one weight for both kinds; a batch that has no
    mixtures of the drawn kind, for which that code stops, gets those of the other kind, or none. The official code has
    no other loss; the form for MultiSimilarityLoss is that of the paper's formula, and no recorded numbers of it exist.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> loss = MetricMixup(ContrastiveLoss(neg_margin=0.5))
        >>> _ = loss(torch.randn(6, 4), torch.arange(6) // 2)
        >>> loss.num_synthetic  # six rows with one positive and four negatives
        24
    """

    wraps: ClassVar[tuple[type[LossWrapper], ...]] = ()
    needs: ClassVar[tuple[str, ...]] = (SIDES,)
    off: ClassVar[Mapping[str, Any]] = {"weight": 0.0}
    takes_ref_emb: ClassVar[bool] = False

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        weight: float | tuple[float, float] = 0.4,
        alpha: float = 2.0,
        positives: str = "each",
        kind: str = "random",
    ) -> None:
        super().__init__(loss)
        self.weight = weight
        self.alpha = alpha
        self.positives = positives
        self.kind = kind
        self._check_settings()
        self.add_to_recordable_attributes(name="alpha", is_stat=False)
        self.mixing = 0.0
        self.num_synthetic = 0
        self.add_to_recordable_attributes(list_of_names=["mixing", "num_synthetic"], is_stat=True)
        self.fix_attributes()

    def wrapped(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        lam: float | None = None,
        kind: str | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The wrapped loss of the batch and, weighted, of its mixtures.

        Args:
            batch: an `indices_tuple` is for the term of the batch; the mixtures are those of all pairs.
            generator: source of kind and lambda; with one on the CPU, no device is waited for. Torch's global one by
                default.
            lam: lambda, between 0 and 1, used instead of a random number.
            kind: "positive_negative" or "anchor_negative", used instead of a random one.
            random_inputs: not used, as the wrapped loss is no wrapper.
        """
        self.num_synthetic = 0
        if batch.ref_emb is not None:
            raise ValueError("MetricMixup takes no `ref_emb`: it mixes the rows of the batch")
        weights = self._check_settings()
        loss = self.loss
        terms: list[Term] = []
        shared: AbstractContextManager[Any] = nullcontext()  # one matrix of the rows for the batch and its mixtures
        if any(weights):
            pairs, weight = self._pairs(batch.labels, weights, self._drawn_kind(generator, kind))
            if lam is not None:
                check_number("lam", lam, minimum=0, maximum=1)
            self.mixing = draw_mixing(self.alpha, generator) if lam is None else lam
            if weight > 0:
                between_rows = loss.distance(batch.embeddings) if follow_from_rows(loss.distance) else None
                terms = self._compared(batch, pairs, weight, between_rows)
                if between_rows is not None:
                    shared = replaced_distance(loss, PrecomputedDistance(loss.distance, between_rows))
        # the batch comes last, so that the statistics that PML records are its
        with shared:
            value = loss(*batch, **random_inputs)
        return weighted_sum([Term("", 1, value), *terms])

    def _drawn_kind(self, generator: torch.Generator | None, kind: str | None) -> str:
        if kind is not None:
            check_choice("kind", kind, KINDS)
            return kind
        if self.kind != "random":
            return self.kind
        device = "cpu" if generator is None else generator.device
        return KINDS[int(torch.randint(2, (), generator=generator, device=device))]

    def _pairs(self, labels: Tensor, weights: tuple[float, float], kind: str) -> tuple[MixedPairs, float]:
        """The mixtures of the drawn kind, or of the other one if only there are some, and their weight."""
        same = labels[:, None] == labels
        has_positive = same.sum(dim=1) > 1
        is_possible = {"positive_negative": has_positive.any(), "anchor_negative": ~has_positive.all()}
        if self.kind == "random" and not is_possible[kind]:
            kind = next(other for other in KINDS if other != kind)
        if kind == "positive_negative":
            return positive_negative_pairs(labels, self.positives), weights[0]
        return anchor_negative_pairs(labels), weights[1]

    def _compared(self, batch: Batch, pairs: MixedPairs, weight: float, between_rows: Tensor | None) -> list[Term]:
        """The terms of the mixtures as positives and as negatives."""
        loss, lam = self.loss, float(self.mixing)
        row, column = (to_device(part, batch.embeddings.device) for part in pairs.entries())
        self.num_synthetic = len(row)
        if len(row) == 0:
            return []
        pairs = pairs.to(batch.embeddings.device)
        matrix = distances_to_mixtures(loss.distance, batch.embeddings, pairs, lam, between_rows)
        nothing, labels = row[:0], to_device(batch.labels, row.device)  # on the host each call would wait to send them
        sides = self.loss_facts.sides
        assert sides is not None  # refused otherwise
        terms = []
        for name, share, exponent, sign, tuples in (
            ("attracted", lam, sides.attracting, 1, (row, column, nothing, nothing)),
            ("repelled", 1 - lam, sides.repelling, -1, (nothing, nothing, row, column)),
        ):
            if share == 0:
                continue
            shifted, factor = matrix, share
            if exponent is not None:
                # share * exp(c d) = exp(c (d + log(share) / c)); similarities and repelling terms have -c
                sign = -sign if loss.distance.is_inverted else sign
                shifted, factor = matrix + sign * math.log(share) / getattr(loss, exponent), 1
            columns = batch.embeddings.new_zeros(1, 1).expand(matrix.shape[1], batch.embeddings.shape[1])
            with replaced_distance(loss, PrecomputedDistance(loss.distance, shifted)), without_regularizers(loss):
                value = loss(batch.embeddings, labels, tuples, columns, columns[:, 0].long())
            terms.append(Term(name, weight * factor, value))
        return terms

    def _check_settings(self) -> tuple[float, float]:
        """Check what may be assigned between calls; the weights of both kinds."""
        check_number("alpha", self.alpha, above=0)
        check_choice("positives", self.positives, POSITIVES)
        check_choice("kind", self.kind, ("random", *KINDS))
        given = self.weight if isinstance(self.weight, (tuple, list)) else (self.weight, self.weight)
        if len(given) != 2:
            raise ValueError(f"weight must be a number or two, one for each kind, but got {len(given)} numbers")
        for weight in given:
            check_number("weight", weight, minimum=0)
        return given[0], given[1]
