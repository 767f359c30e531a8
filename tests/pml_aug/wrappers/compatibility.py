"""Every loss of PML with every wrapper and distance: what works, and why the rest is refused.

`PYTHONPATH=.:tests/helpers python tests/pml_aug/wrappers/compatibility.py > docs/compatibility.md` writes the page.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from host_losses import KINDS, make_loss, reason_against
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor
from wrapper_cases import WRAPPERS, wrapped

from pml_aug import distances, wrappers
from pml_aug.distances.introspective_base import IntrospectiveBase

CLASSES, PER_CLASS, SIZE = 4, 4, 8


DISTANCES = [
    kind
    for kind in (getattr(distances, name) for name in distances.__all__)
    if isinstance(kind, type) and issubclass(kind, IntrospectiveBase)
]
PARTS = {kind.__name__: kind for kind in (*WRAPPERS, wrappers.CrossBatchMemory, *DISTANCES)}


def combined(loss: str, part: str) -> torch.nn.Module:
    """A loss with a wrapper around it, or with a distance in it."""
    if PARTS[part] in DISTANCES:
        width = {"l": 2 * SIZE} if loss == "ManifoldLoss" else {}
        return make_loss(loss, CLASSES, SIZE, distance=PARTS[part](embedding_size=SIZE), **width)
    return wrapped(PARTS[part], make_loss(loss, CLASSES, SIZE), CLASSES, SIZE)


def _adaptive(loss: BaseMetricLossFunction) -> BaseMetricLossFunction:
    return wrapped(wrappers.IntraClassAdaptiveAugmentation, loss, CLASSES, SIZE)


def _expanded(**options: object) -> BaseMetricLossFunction:
    return wrappers.EmbeddingExpansion(losses.MultiSimilarityLoss(**options))


def _synthesised(**options: object) -> BaseMetricLossFunction:
    return wrappers.ProxySynthesis(make_loss("ProxyAnchorLoss", CLASSES, SIZE, **options))


def _augmented(**options: object) -> BaseMetricLossFunction:
    return _adaptive(losses.MultiSimilarityLoss(**options))


def _wrapped(name: str, loss: str = "MultiSimilarityLoss") -> BaseMetricLossFunction:
    return wrapped(getattr(wrappers, name), make_loss(loss, CLASSES, SIZE), CLASSES, SIZE)


def _remembered(loss: BaseMetricLossFunction) -> torch.nn.Module:
    return wrappers.CrossBatchMemory(loss, embedding_size=SIZE, memory_size=64)


def _similarity() -> BaseDistance:
    return distances.IntrospectiveSimilarity(SIZE)


NESTINGS: dict[str, Callable[[], torch.nn.Module]] = {
    "IAA around EE around MultiSimilarityLoss": lambda: _adaptive(_expanded()),
    "IAA around PS around ProxyAnchorLoss": lambda: _adaptive(_synthesised()),
    "IAA around EE around PS around ProxyAnchorLoss": lambda: _adaptive(wrappers.EmbeddingExpansion(_synthesised())),
    "IAA around SymmetricalSynthesis around MultiSimilarityLoss": lambda: _adaptive(_wrapped("SymmetricalSynthesis")),
    "IAA around MemVir around ProxyAnchorLoss": lambda: _adaptive(
        _wrapped("MemoryBasedVirtualClasses", "ProxyAnchorLoss")
    ),
    "IAA around SEE around ProxyAnchorLoss": lambda: _adaptive(
        _wrapped("SphericalEmbeddingExpansion", "ProxyAnchorLoss")
    ),
    "IAA around DAS": lambda: _adaptive(_wrapped("DenselyAnchoredSampling")),
    "IAA around MetricMixup": lambda: _adaptive(_wrapped("MetricMixup")),
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
    "CrossBatchMemory around IAA around EE": lambda: _remembered(_adaptive(_expanded())),
    "CrossBatchMemory around SymmetricalSynthesis": lambda: _remembered(_wrapped("SymmetricalSynthesis")),
    "CrossBatchMemory around DAS": lambda: _remembered(_wrapped("DenselyAnchoredSampling")),
    "CrossBatchMemory around MetricMixup": lambda: _remembered(_wrapped("MetricMixup")),
    "CrossBatchMemory around PS": lambda: _remembered(_synthesised()),
    "BatchAndMemory around EE": lambda: wrappers.BatchAndMemory(_expanded(), SIZE, 64, warm_up=1),
    "BatchAndMemory around IAA": lambda: wrappers.BatchAndMemory(_augmented(), SIZE, 64, warm_up=1),
    "MultipleLosses of EE and PS": lambda: losses.MultipleLosses({"ee": _expanded(), "ps": _synthesised()}),
    "EE around MultipleLosses": lambda: wrappers.EmbeddingExpansion(
        losses.MultipleLosses([losses.MultiSimilarityLoss()])
    ),
    "DistributedLossWrapper around IAA": lambda: wrappers.DistributedLossWrapper(_augmented()),
}


class Outcome(NamedTuple):
    """The result of one combination."""

    works: bool
    reason: str  # the message of the refusal; empty if it works


def batch(width: int = SIZE) -> tuple[Tensor, Tensor]:
    """Four classes of four rows, one class after the other."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    return torch.randn(len(labels), width, generator=generator), labels


def outcome(name: str, build: Callable[[], torch.nn.Module]) -> Outcome:
    """Whether a combination works: built, called and differentiated, or refused by ValueError or TypeError."""
    try:
        module = build()
    except (ValueError, TypeError) as refusal:
        return Outcome(False, str(refusal))
    rows, labels = batch(2 * SIZE if "Introspective" in name else SIZE)
    rows.requires_grad_()
    torch.default_generator.manual_seed(0)
    for _ in range(2):
        value = module(rows) if isinstance(module, losses.ManifoldLoss) else module(rows, labels)
        (gradient,) = torch.autograd.grad(value, rows)
        if not (torch.isfinite(value).all() and torch.isfinite(gradient).all() and gradient.any()):
            raise ArithmeticError(f"{name}: value {value}, gradient {gradient}")
    return Outcome(True, "")


def page() -> str:
    """The tables and the reasons, in markdown."""
    names = sorted(KINDS)
    lines = [
        "# Compatibility",
        "",
        "Which wrapper and which distance goes with which loss of PML, and which wrappers nest. A test constructs",
        "every combination and calls it twice: where the table says yes, values and gradients are finite; where it",
        "says no, the constructor raises a ValueError with the reason below.",
        "",
        "(Written by `PYTHONPATH=.:tests/helpers python tests/pml_aug/wrappers/compatibility.py` from",
        "`pml_aug/host/losses.py`.)",
        "",
        "## Losses of PML 2.9 with wrappers and distances",
        "",
        "| loss | " + " | ".join(PARTS) + " |",
        "| --- |" + " --- |" * len(PARTS),
    ]
    for loss in names:
        lines.append(
            f"| {loss} | " + " | ".join("no" if reason_against(loss, part) else "yes" for part in PARTS) + " |"
        )
    counts = {part: sum(reason_against(loss, part) is None for loss in names) for part in PARTS}
    totals = [f"**{count} yes, {len(names) - count} no**" for count in counts.values()]
    lines += ["| **all** | " + " | ".join(totals) + " |", "", "## Reasons", ""]
    refused: dict[tuple[str, str], list[str]] = {}
    for loss in names:
        for part in PARTS:
            if text := reason_against(loss, part):
                refused.setdefault((part, text), []).append(loss)
    for (part, text), of_losses in sorted(refused.items()):
        lines.append(f"- {part} with {', '.join(of_losses)}: {text}")
    lines += ["", "## Wrappers around wrappers", "", "| combination | |", "| --- | --- |"]
    for name, build in NESTINGS.items():
        works, message = outcome(name, build)
        lines.append(f"| {name} | {'yes' if works else 'no: ' + message} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
