"""Facts about the losses and miners of pytorch-metric-learning. A new release of it means editing this file alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from pytorch_metric_learning import losses, miners
from torch import nn

from pml_aug.host.proxies import Proxies

MATRIX, COPIES, PROXIES = "distance matrix", "copies", "proxies"  # what a wrapper may need of a loss, in its `needs`
ONE_PROXY, SIDES = "one proxy per class", "two sides"
EXPANSION = "EmbeddingExpansion"
MEMORY, EXPANSION_MINER = "CrossBatchMemory", "ExpansionMiner"
SIMILARITY, DISTANCE = "IntrospectiveSimilarity", "IntrospectiveDistance"


class CopyMode(Enum):
    """How a loss gets synthetic copies of the rows of its batch."""

    REFERENCES = "as `ref_emb`, after the rows of the batch: only the batch has anchors"
    INDEXED = "as further rows of the batch, with index tuples in which only the rows of the batch are anchors"
    IN_BATCH = "as further rows of the batch, like all others"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What cannot be combined with a loss or miner.

    Args:
        refused_by: name of a class of pml_aug, or something that it needs -> why it cannot be combined with this loss
            or miner.
    """

    refused_by: Mapping[str, str] = field(default_factory=dict)

    def reason_against(self, user: type[nn.Module]) -> str | None:
        """Why a class of pml_aug cannot be combined with the loss or miner; None if it can.

        The names of the class and of those that it derives from count, and what it names in an attribute `needs`.
        """
        names = [*(kind.__name__ for kind in user.__mro__), *getattr(user, "needs", ())]
        return next((reason for name in names if (reason := self.reason_of(name)) is not None), None)

    def reason_of(self, name: str) -> str | None:
        """The reason under one name alone."""
        return self.refused_by.get(name)


class Sides(NamedTuple):
    """The two parts of a loss that is their sum, and how the label of a pair can be a number between 0 and 1.

    A label weight multiplies the part, or, in a part that sums exponentials, each of them.
    """

    attracting: str | None = None  # attribute with the factor in the exponents of the attracting part, if it has some
    repelling: str | None = None  # likewise, of the repelling part


@dataclass(frozen=True, kw_only=True)
class LossFacts(Facts):
    """How a loss reads its batch.

    Args:
        proxies: where the proxies of its classes are; None if it has none.
        copies: how it gets copies of rows.
        forms_triplets: whether it makes triplets if it gets no index tuples; else pairs.
        reads_tuples: whether `indices_tuple` has an effect.
        reads_ref_emb: whether it compares the batch with `ref_emb`, for any rows and labels.
        compares_all: whether each row is compared with all others, and tuples only weight the rows.
        sides: its two parts, if it is the sum of one that attracts and one that repels; else None.

    Example:
        >>> facts_of(losses.NormalizedSoftmaxLoss(num_classes=2, embedding_size=4)).copies.name
        'IN_BATCH'
    """

    proxies: Proxies | None = None
    copies: CopyMode = CopyMode.REFERENCES
    forms_triplets: bool = False
    reads_tuples: bool = True
    reads_ref_emb: bool = True
    compares_all: bool = False
    sides: Sides | None = None

    def reason_of(self, name: str) -> str | None:
        if name in self.refused_by:
            return self.refused_by[name]
        if name == PROXIES and self.proxies is None:
            return (
                "it has no proxies of its classes to synthesise from; use EmbeddingExpansion, or a proxy loss such as "
                "ProxyAnchorLoss"
            )
        if name == ONE_PROXY and self.proxies is not None and self.proxies.per_class is not None:
            return "it has several proxies per class, and a row has no single one to spread points around"
        if name == SIDES and self.sides is None:
            if self.proxies is not None:
                return "it compares embeddings with proxies, of which a mixture has none; use ProxySynthesis"
            return (
                "it is no sum of an attracting and a repelling part, by which a mixture could count in parts; use "
                "ContrastiveLoss or MultiSimilarityLoss"
            )
        if name == MEMORY and self.proxies is not None:
            return _ONLY_PROXIES
        if name == MEMORY and not self.reads_ref_emb:
            return "it compares the rows of one batch with each other and takes no others"
        return None


_ONLY_PROXIES = "it compares embeddings with proxies, not with other embeddings"
_OWN_LOGITS = "it compares embeddings with its classes by itself, so the points would not reach it"
_NO_MATRIX = "it never uses the distance matrix of the batch, so the harder negatives would not reach it"
_WANTS_SIMILARITY = {DISTANCE: "it needs a similarity; use IntrospectiveSimilarity"}
_WANTS_DISTANCE = {SIMILARITY: "it needs an LpDistance; use IntrospectiveDistance"}


def _no_introspection(reason: str) -> dict[str, str]:
    return {SIMILARITY: reason, DISTANCE: reason}


_WHOLE_ROWS = _no_introspection(
    "it computes on whole rows itself, so the uncertainty would be treated as semantic content"
)


def _with_proxies(
    proxies: Proxies, refused_by: Mapping[str, str] | None = None, reads_tuples: bool = True
) -> LossFacts:
    return LossFacts(
        proxies=proxies,
        copies=CopyMode.IN_BATCH,
        reads_tuples=reads_tuples,
        reads_ref_emb=False,
        refused_by=refused_by or {},
    )


def _ranking(refused_by: Mapping[str, str], reads_tuples: bool = True) -> LossFacts:
    """Losses that rank all rows of a batch, and have no anchors beside other rows."""
    return LossFacts(copies=CopyMode.IN_BATCH, reads_tuples=reads_tuples, reads_ref_emb=False, refused_by=refused_by)


_W = Proxies("W", dim=1)
_TRIPLETS = LossFacts(forms_triplets=True)

LOSSES: Mapping[type[nn.Module], LossFacts] = {
    losses.AngularLoss: LossFacts(refused_by={MATRIX: _NO_MATRIX, **_WHOLE_ROWS}),
    losses.ArcFaceLoss: _with_proxies(_W._replace(only_in_distance=True), _WANTS_SIMILARITY),
    losses.CircleLoss: LossFacts(refused_by=_WANTS_SIMILARITY),
    losses.ContrastiveLoss: LossFacts(sides=Sides()),
    losses.CosFaceLoss: _with_proxies(_W._replace(only_in_distance=True), _WANTS_SIMILARITY),
    losses.DynamicSoftMarginLoss: LossFacts(
        forms_triplets=True,
        refused_by=_no_introspection(
            "its histogram keeps the graph of earlier calls, so that a second backward pass fails"
        ),
    ),
    losses.FastAPLoss: _ranking(_WANTS_DISTANCE),
    losses.GeneralizedLiftedStructureLoss: LossFacts(),
    losses.HistogramLoss: LossFacts(
        copies=CopyMode.INDEXED, forms_triplets=True, reads_ref_emb=False, refused_by=_WANTS_SIMILARITY
    ),
    losses.InstanceLoss: LossFacts(
        reads_tuples=False,
        reads_ref_emb=False,
        refused_by={
            MATRIX: "it makes every sample a class of its own, so no two embeddings share one",
            COPIES: "it makes every sample a class of its own, so a copy would belong to none",
            **_WANTS_SIMILARITY,
        },
    ),
    losses.IntraPairVarianceLoss: LossFacts(),
    losses.LargeMarginSoftmaxLoss: _with_proxies(_W, _WANTS_SIMILARITY),
    losses.LiftedStructureLoss: LossFacts(
        reads_ref_emb=False,
        refused_by={
            MEMORY: "it takes positions in `ref_emb` for rows of the batch when it collects the negatives of a "
            "positive; use GeneralizedLiftedStructureLoss or SoftLiftedStructureLoss"
        },
    ),
    losses.ManifoldLoss: LossFacts(
        reads_ref_emb=False,
        refused_by={
            MATRIX: "it takes no labels, so there are no same-class embeddings to expand",
            COPIES: "it takes no labels, and its proxies belong to no class",
            PROXIES: "its proxies belong to no class",
            MEMORY: _ONLY_PROXIES,
            **_WANTS_SIMILARITY,
        },
    ),
    losses.MarginLoss: _TRIPLETS,
    losses.MultiSimilarityLoss: LossFacts(sides=Sides("alpha", "beta")),
    losses.NCALoss: LossFacts(
        compares_all=True,
        refused_by={
            MEMORY: "it compares with all of the memory whatever the pairs, and the nearest positive is the row "
            "itself, which is in the memory; use NTXentLoss or SupConLoss"
        },
    ),
    losses.NPairsLoss: LossFacts(
        reads_ref_emb=False,
        refused_by={
            EXPANSION: "it takes one pair per class out of the batch before it computes distances",
            COPIES: "it takes the first pair of each class out of the batch, in which no copy would ever be",
        },
    ),
    losses.NTXentLoss: LossFacts(),
    losses.NormalizedSoftmaxLoss: _with_proxies(_W._replace(only_in_distance=True)),
    losses.P2SGradLoss: _with_proxies(
        Proxies("weight", dim=1, to_unit=True), {MATRIX: _OWN_LOGITS, **_WHOLE_ROWS}, reads_tuples=False
    ),
    losses.PNPLoss: _ranking(_WANTS_SIMILARITY, reads_tuples=False),
    losses.ProxyAnchorLoss: _with_proxies(Proxies("proxies", dim=0, only_in_distance=True)),
    losses.ProxyNCALoss: _with_proxies(Proxies("proxies", dim=0, only_in_distance=True)),
    losses.RankedListLoss: _ranking(_WANTS_DISTANCE, reads_tuples=False),
    losses.SignalToNoiseRatioContrastiveLoss: LossFacts(
        sides=Sides(), refused_by=_no_introspection("it is defined by the SNRDistance")
    ),
    losses.SmoothAPLoss: _ranking(_WANTS_SIMILARITY),
    losses.SoftTripleLoss: _with_proxies(
        Proxies("fc", dim=1, per_class="centers_per_class", only_in_distance=True), _WANTS_SIMILARITY
    ),
    losses.SphereFaceLoss: _with_proxies(_W, _WHOLE_ROWS),
    losses.SubCenterArcFaceLoss: _with_proxies(
        Proxies("W", dim=1, per_class="sub_centers", only_in_distance=True), _WANTS_SIMILARITY
    ),
    losses.SupConLoss: LossFacts(),
    losses.ThresholdConsistentMarginLoss: LossFacts(
        copies=CopyMode.INDEXED,
        reads_ref_emb=False,
        refused_by={
            MATRIX: _NO_MATRIX,
            MEMORY: "it looks up positives and negatives in the batch, wherever they are",
            **_WHOLE_ROWS,
        },
    ),
    losses.TripletMarginLoss: _TRIPLETS,
    losses.TupletMarginLoss: LossFacts(refused_by=_WANTS_SIMILARITY),
    losses.VICRegLoss: LossFacts(
        reads_ref_emb=False,
        refused_by={
            MATRIX: "it has no distance and no negatives",
            COPIES: "it takes no labels, by which to tell what a copy may vary",
            MEMORY: "it compares two views row by row and knows no labels",
            **_no_introspection("VICRegLoss cannot use a distance function"),  # PML's sentence
        },
    ),
}
_SWAPPED_TRIPLETS = replace(
    _TRIPLETS,
    copies=CopyMode.INDEXED,
    reads_ref_emb=False,
    refused_by={
        MEMORY: "with swap=True it looks up distances between positives and negatives where those of the batch are"
    },
)

MINERS: Mapping[type[nn.Module], Facts] = {
    miners.AngularMiner: Facts(
        refused_by={
            MATRIX: "it measures angles in triplets of embeddings and never uses the distance matrix",
            EXPANSION_MINER: "it measures angles in triplets of embeddings and never uses the matrix",
            **_WANTS_DISTANCE,
        }
    ),
    miners.DistanceWeightedMiner: Facts(refused_by=_WANTS_DISTANCE),
    miners.EmbeddingsAlreadyPackagedAsTriplets: Facts(
        refused_by={
            COPIES: "its triplets are rows of the batch in a fixed order, in which no copy would ever be",
            EXPANSION_MINER: "its triplets are rows of the batch in a fixed order",
        }
    ),
}
_ALL: Mapping[type[nn.Module], Facts] = {**LOSSES, **MINERS}


def facts_of(loss: nn.Module) -> LossFacts:
    """The facts of the nearest class of a loss that is in the table or has an attribute `facts` of its own.

    Of a loss that nothing is known of, these are the facts of PML's pair losses.

    Example:
        >>> class Own(losses.ContrastiveLoss):
        ...     facts = LossFacts(reads_tuples=False)
        >>> facts_of(Own()).reads_tuples, facts_of(losses.ContrastiveLoss()).reads_tuples
        (False, True)
    """
    if isinstance(loss, losses.TripletMarginLoss) and getattr(loss, "swap", False):
        return _SWAPPED_TRIPLETS
    facts = _facts_of(loss)
    return facts if isinstance(facts, LossFacts) else LossFacts()


def _facts_of(part: nn.Module) -> Facts:
    found = (vars(kind).get("facts", _ALL.get(kind)) for kind in type(part).__mro__)
    return next((facts for facts in found if facts is not None), Facts())


def refuse(part: nn.Module, user: nn.Module, claim: str) -> None:
    """Raise a ValueError if a loss or miner cannot be combined with `user`, with the reason from the table.

    Args:
        part: a loss or miner.
        user: a wrapper, distance, memory or miner of pml_aug.
        claim: first part of the message, before the reason.

    Example:
        >>> from pml_aug.distances import IntrospectiveSimilarity
        >>> refuse(losses.AngularLoss(), IntrospectiveSimilarity(4), "AngularLoss cannot use it")
        Traceback (most recent call last):
        ValueError: AngularLoss cannot use it: it computes on whole rows itself, so the uncertainty would be treated as
        semantic content
    """
    facts = facts_of(part) if isinstance(part, losses.BaseMetricLossFunction) else _facts_of(part)
    reason = facts.reason_against(type(user))
    if reason is not None:
        raise ValueError(f"{claim}: {reason}")
