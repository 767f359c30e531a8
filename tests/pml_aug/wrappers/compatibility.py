"""Every loss of PML beside every wrapper and distance: what works, and why the rest is refused.

`python tests/pml_aug/wrappers/compatibility.py > docs/compatibility.md` writes the page that the tests hold to.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor

from pml_aug import distances, wrappers

CLASSES, PER_CLASS, SIZE = 4, 4, 8

Make = Callable[..., BaseMetricLossFunction]

LOSSES: dict[str, Make] = {
    "AngularLoss": losses.AngularLoss,
    "ArcFaceLoss": lambda **options: losses.ArcFaceLoss(num_classes=CLASSES, embedding_size=SIZE, **options),
    "CircleLoss": losses.CircleLoss,
    "ContrastiveLoss": losses.ContrastiveLoss,
    "CosFaceLoss": lambda **options: losses.CosFaceLoss(num_classes=CLASSES, embedding_size=SIZE, **options),
    "DynamicSoftMarginLoss": losses.DynamicSoftMarginLoss,
    "FastAPLoss": losses.FastAPLoss,
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "HistogramLoss": losses.HistogramLoss,
    "InstanceLoss": losses.InstanceLoss,
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LargeMarginSoftmaxLoss": lambda **options: losses.LargeMarginSoftmaxLoss(
        num_classes=CLASSES, embedding_size=SIZE, **options
    ),
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "ManifoldLoss": lambda **options: losses.ManifoldLoss(l=2 * SIZE if options else SIZE, K=CLASSES, **options),
    "MarginLoss": losses.MarginLoss,
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NCALoss": losses.NCALoss,
    "NPairsLoss": losses.NPairsLoss,
    "NTXentLoss": losses.NTXentLoss,
    "NormalizedSoftmaxLoss": lambda **options: losses.NormalizedSoftmaxLoss(
        num_classes=CLASSES, embedding_size=SIZE, **options
    ),
    "P2SGradLoss": lambda **options: losses.P2SGradLoss(descriptors_dim=SIZE, num_classes=CLASSES, **options),
    "PNPLoss": losses.PNPLoss,
    "ProxyAnchorLoss": lambda **options: losses.ProxyAnchorLoss(num_classes=CLASSES, embedding_size=SIZE, **options),
    "ProxyNCALoss": lambda **options: losses.ProxyNCALoss(num_classes=CLASSES, embedding_size=SIZE, **options),
    "RankedListLoss": lambda **options: losses.RankedListLoss(margin=0.4, Tn=1, **options),
    "SignalToNoiseRatioContrastiveLoss": losses.SignalToNoiseRatioContrastiveLoss,
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SoftTripleLoss": lambda **options: losses.SoftTripleLoss(num_classes=CLASSES, embedding_size=SIZE, **options),
    "SphereFaceLoss": lambda **options: losses.SphereFaceLoss(num_classes=CLASSES, embedding_size=SIZE, **options),
    "SubCenterArcFaceLoss": lambda **options: losses.SubCenterArcFaceLoss(
        num_classes=CLASSES, embedding_size=SIZE, **options
    ),
    "SupConLoss": losses.SupConLoss,
    "ThresholdConsistentMarginLoss": losses.ThresholdConsistentMarginLoss,
    "TripletMarginLoss": losses.TripletMarginLoss,
    "TupletMarginLoss": losses.TupletMarginLoss,
    "VICRegLoss": losses.VICRegLoss,
}


def _iaa(loss: BaseMetricLossFunction) -> BaseMetricLossFunction:
    wrapper = wrappers.IntraClassAdaptiveAugmentation(loss, num_classes=CLASSES, embedding_size=SIZE)
    rows, labels = batch()
    wrapper.refresh(rows, labels)
    return wrapper


def _with(distance: type[BaseDistance]) -> Callable[[Make], BaseMetricLossFunction]:
    return lambda make: make(distance=distance(embedding_size=SIZE))


PIECES: dict[str, Callable[[Make], torch.nn.Module]] = {
    "EmbeddingExpansion": lambda make: wrappers.EmbeddingExpansion(make()),
    "IntraClassAdaptiveAugmentation": lambda make: _iaa(make()),
    "ProxySynthesis": lambda make: wrappers.ProxySynthesis(make()),
    "CrossBatchMemory": lambda make: wrappers.CrossBatchMemory(make(), embedding_size=SIZE, memory_size=64),
    "IntrospectiveSimilarity": _with(distances.IntrospectiveSimilarity),
    "IntrospectiveDistance": _with(distances.IntrospectiveDistance),
}


def _expanded(**options: object) -> BaseMetricLossFunction:
    return wrappers.EmbeddingExpansion(losses.MultiSimilarityLoss(**options))


def _synthesised(**options: object) -> BaseMetricLossFunction:
    return wrappers.ProxySynthesis(LOSSES["ProxyAnchorLoss"](**options))


def _augmented(**options: object) -> BaseMetricLossFunction:
    return _iaa(losses.MultiSimilarityLoss(**options))


def _remembered(loss: BaseMetricLossFunction) -> torch.nn.Module:
    return wrappers.CrossBatchMemory(loss, embedding_size=SIZE, memory_size=64)


def _similarity() -> BaseDistance:
    return distances.IntrospectiveSimilarity(SIZE)


NESTINGS: dict[str, Callable[[], torch.nn.Module]] = {
    "IAA around EE around MultiSimilarityLoss": lambda: _iaa(_expanded()),
    "IAA around PS around ProxyAnchorLoss": lambda: _iaa(_synthesised()),
    "IAA around EE around PS around ProxyAnchorLoss": lambda: _iaa(wrappers.EmbeddingExpansion(_synthesised())),
    "EE around IAA": lambda: wrappers.EmbeddingExpansion(_augmented()),
    "EE around PS around ProxyAnchorLoss": lambda: wrappers.EmbeddingExpansion(_synthesised()),
    "PS around IAA": lambda: wrappers.ProxySynthesis(_augmented()),
    "PS around EE": lambda: wrappers.ProxySynthesis(_expanded()),
    "EE around EE": lambda: wrappers.EmbeddingExpansion(_expanded()),
    "EE around PS with IntrospectiveSimilarity": lambda: wrappers.EmbeddingExpansion(
        _synthesised(distance=_similarity())
    ),
    "EE with IntrospectiveSimilarity": lambda: _expanded(distance=_similarity()),
    "PS with IntrospectiveSimilarity": lambda: _synthesised(distance=_similarity()),
    "CrossBatchMemory around EE": lambda: _remembered(_expanded()),
    "CrossBatchMemory around IAA": lambda: _remembered(_augmented()),
    "CrossBatchMemory around IAA around EE": lambda: _remembered(_iaa(_expanded())),
    "CrossBatchMemory around PS": lambda: _remembered(_synthesised()),
    "MultipleLosses of EE and PS": lambda: losses.MultipleLosses({"ee": _expanded(), "ps": _synthesised()}),
    "EE around MultipleLosses": lambda: wrappers.EmbeddingExpansion(
        losses.MultipleLosses([losses.MultiSimilarityLoss()])
    ),
    "DistributedLossWrapper around IAA": lambda: wrappers.DistributedLossWrapper(_augmented()),
}


class Outcome(NamedTuple):
    """Of one combination."""

    works: bool
    reason: str  # the sentence of the refusal; empty where it works


def batch(width: int = SIZE) -> tuple[Tensor, Tensor]:
    """Four classes of four rows, one class after the other."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    return torch.randn(len(labels), width, generator=generator), labels


def outcome(name: str, build: Callable[[], torch.nn.Module]) -> Outcome:
    """Whether a combination works: built, called and differentiated, or refused by ValueError or TypeError."""
    try:
        combined = build()
    except (ValueError, TypeError) as refusal:
        return Outcome(False, str(refusal))
    rows, labels = batch(2 * SIZE if "Introspective" in name else SIZE)
    rows.requires_grad_()
    torch.default_generator.manual_seed(0)
    for _ in range(2):
        value = combined(rows) if isinstance(combined, losses.ManifoldLoss) else combined(rows, labels)
        (gradient,) = torch.autograd.grad(value, rows)
        if not (torch.isfinite(value).all() and torch.isfinite(gradient).all() and gradient.any()):
            raise ArithmeticError(f"{name}: value {value}, gradient {gradient}")
    return Outcome(True, "")


@cache
def outcomes() -> dict[tuple[str, str], Outcome]:
    """Of every loss with every piece."""
    return {
        (loss, piece): outcome(f"{piece} with {loss}", partial(PIECES[piece], make))
        for loss, make in LOSSES.items()
        for piece in PIECES
    }


def page() -> str:
    """The tables and the sentences, in markdown."""
    results = outcomes()
    counts = {piece: Counter(results[loss, piece].works for loss in LOSSES) for piece in PIECES}
    lines = [
        "# What goes with what",
        "",
        "Written by `python tests/pml_aug/wrappers/compatibility.py`; a test keeps it current. Where it says yes,",
        "both of two calls give finite numbers; where it says no, construction is refused with the sentence below.",
        "",
        "## Every loss of PML 2.9 with every wrapper and distance",
        "",
        "| loss | " + " | ".join(PIECES) + " |",
        "| --- |" + " --- |" * len(PIECES),
    ]
    for loss in LOSSES:
        lines.append(
            f"| {loss} | " + " | ".join("yes" if results[loss, piece].works else "no" for piece in PIECES) + " |"
        )
    totals = [f"**{counts[piece][True]} yes, {counts[piece][False]} no**" for piece in PIECES]
    lines += ["| **all** | " + " | ".join(totals) + " |", "", "## Why not", ""]
    reasons: dict[tuple[str, str], list[str]] = {}
    for (loss, piece), result in results.items():
        if not result.works:
            reasons.setdefault((piece, result.reason.split(": ", 1)[-1]), []).append(loss)
    for (piece, reason), refused in sorted(reasons.items()):
        lines.append(f"- {piece} with {', '.join(refused)}: {reason}")
    lines += ["", "## One around the other", "", "| combination | |", "| --- | --- |"]
    for name, build in NESTINGS.items():
        works, reason = outcome(name, build)
        lines.append(f"| {name} | {'yes' if works else 'no: ' + reason} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
