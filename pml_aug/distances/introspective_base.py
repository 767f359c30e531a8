"""Base of the introspective distances on rows [semantic | uncertainty] (IDML), and checks of their owners."""

import warnings
from functools import cache
from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner, EmbeddingsAlreadyPackagedAsTriplets
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from pml_aug.distances.delegating import unwrap
from pml_aug.heads.introspective import IntrospectiveHead, count_split
from pml_aug.host import refuse
from pml_aug.validation import check_flag, check_integer, check_number

REGULARIZERS = ("embedding_regularizer", "weight_regularizer")


def trust(distance: Tensor, uncertainty: Tensor | float, tau: float, offset: float) -> Tensor:
    r"""The factor by which a dissimilarity shrinks: near 0 for near or uncertain pairs, at most 1.

    .. math:: \exp\Bigl(-\frac{\text{uncertainty} + \text{offset}}{\tau \cdot \text{distance}}\Bigr)

    At distance 0 (or below, by rounding) value and gradient are those at a floor of the dtype's rounding step.

    Args:
        distance: between the semantic parts, (N, R).
        uncertainty: of the pair, broadcastable to (N, R).
        tau: above 0; larger values shrink less.
        offset: at least 0.

    Example:
        >>> trust(torch.tensor([0.0, 1.0]), 0.0, tau=1.0, offset=0.0).tolist()
        [1.0, 1.0]
        >>> trust(torch.tensor([0.0]), 1.0, tau=1.0, offset=0.0).item()
        0.0
    """
    return torch.exp((uncertainty + offset) / -tau / distance.clamp_min(torch.finfo(distance.dtype).eps))


class IntrospectiveBase(BaseDistance):
    """Base of both introspective distances: rows of two parts, of which only the semantic part has a direction.

    Norms, normalisation and recorded statistics are the semantic part's.

    The first introspective distance of a process registers a check of module assignments: a loss or miner that would
    take the uncertainty for semantic content is refused when it gets the distance, and its regularizers see the
    semantic part alone. Without introspective distances nothing is registered.

    Args:
        embedding_size: D, width of the semantic part.
        tau: above 0, infinity included; larger values shrink less, infinity not at all.
        offset: uncertainty of every pair, at least 0.
        squared: use squared lengths in the exponent.
        kwargs: for the distance of PML.

    Raises:
        ValueError: an argument out of range; rows neither D nor 2 D wide; a loss or miner that cannot use it.
    """

    def __init__(self, embedding_size: int, tau: float, offset: float, squared: bool, **kwargs: Any) -> None:
        check_integer("embedding_size", embedding_size, minimum=1)
        check_number("tau", tau, above=0, finite=False)
        check_number("offset", offset, minimum=0)
        check_flag("squared", squared)
        _watch_assignments()
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        self.tau = tau
        self.offset = offset
        self.squared = squared
        self._has_warned = False
        self.add_to_recordable_attributes(list_of_names=["tau", "offset"], is_stat=False)

    def split(self, embeddings: Tensor, dim: int = -1) -> tuple[Tensor, Tensor | None]:
        """The semantic part and the uncertainty of rows; None for an uncertainty of zero.

        Shapes:
            (N, 2 * D) -> (N, D), (N, D)
            (N, D) -> (N, D), None
        """
        width = embeddings.shape[dim]
        if width == self.embedding_size:
            return embeddings, None
        if width != 2 * self.embedding_size:
            raise ValueError(
                f"{type(self).__name__}(embedding_size={self.embedding_size}) takes rows as wide as the semantic part "
                f"({self.embedding_size}), or twice as wide ({2 * self.embedding_size}: semantic, then uncertainty), "
                f"but got {width}"
            )
        if embeddings.requires_grad:
            count_split()
        semantic, uncertainty = embeddings.split(self.embedding_size, dim)
        return semantic, uncertainty

    def normalize(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        """Rows whose semantic part has unit length; the uncertainty is unchanged."""
        semantic, uncertainty = self.split(embeddings, dim)
        semantic = super().normalize(semantic, dim, **kwargs)
        return semantic if uncertainty is None else torch.cat([semantic, uncertainty], dim)

    def get_norm(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        """Length of the semantic part."""
        return super().get_norm(self.split(embeddings, dim)[0], dim, **kwargs)

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        """The distance matrix: (N, D or 2 D), (R, D or 2 D) -> (N, R).

        Rows in half precision are compared in float32, and autocast is off inside: the exponent amplifies rounding.
        """
        if self.training and query_emb.requires_grad and not self._has_warned:
            self._warn_without_uncertainty(query_emb, ref_emb)
        with torch.autocast(query_emb.device.type, enabled=False):
            ref_emb = None if ref_emb is None or ref_emb is query_emb else _at_least_float32(ref_emb)
            return super().forward(_at_least_float32(query_emb), ref_emb).to(query_emb.dtype)

    def _warn_without_uncertainty(self, query_emb: Tensor, ref_emb: Tensor | None) -> None:
        widths = {rows.shape[-1] for rows in (query_emb, ref_emb) if rows is not None}
        if widths == {self.embedding_size}:
            self._has_warned = True
            warnings.warn(
                f"{type(self).__name__}(embedding_size={self.embedding_size}) got rows of width {self.embedding_size} "
                "in training: they have no uncertainty. Use heads.IntrospectiveHead in training mode as the embedder",
                stacklevel=3,
            )


def _at_least_float32(rows: Tensor) -> Tensor:
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows


class SemanticRegularizer(nn.Module):
    """A PML regularizer that sees the semantic part of rows [semantic | uncertainty].

    Args:
        regularizer: any PML regularizer.
        embedding_size: D; rows of another width than 2 D are passed unchanged.

    Example:
        >>> from pytorch_metric_learning.regularizers import LpRegularizer
        >>> float(SemanticRegularizer(LpRegularizer(p=1), 1)(torch.tensor([[1.0, 9.0], [2.0, 9.0]])))
        1.5
    """

    def __init__(self, regularizer: nn.Module, embedding_size: int) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.embedding_size = embedding_size

    def forward(self, rows: Tensor) -> Tensor:
        return self.regularizer(rows[:, : self.embedding_size] if rows.shape[1] == 2 * self.embedding_size else rows)


def check_introspective(loss: nn.Module, miner: nn.Module | None = None, embedder: nn.Module | None = None) -> None:
    """Raise a ValueError if uncertainties would be treated as semantic content by a loss, its miner or its wrappers.

    Args:
        loss: a loss of PML or pml_aug, or a module that contains losses.
        miner: the miner of the trainer, if there is one.
        embedder: the embedder whose rows the loss gets.

    Raises:
        ValueError: a loss or miner that cannot use its introspective distance; a miner with an introspective distance
            beside a loss without one, or the reverse; an IntrospectiveHead as embedder for such a loss.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> check_introspective(ContrastiveLoss(), embedder=IntrospectiveHead(8, 4))
        Traceback (most recent call last):
        ValueError: ContrastiveLoss has no introspective distance, but IntrospectiveHead gives it rows [semantic |
        uncertainty]: pass distance=IntrospectiveSimilarity(embedding_size) or IntrospectiveDistance
    """
    for module in (*loss.modules(), *(() if miner is None else miner.modules())):
        distance = _introspective_distance(module)
        if distance is not None:
            _check_owner(module, distance)
    pairs: list[tuple[Any, Any]] = [
        (module.loss, module.miner) for module in loss.modules() if hasattr(module, "loss") and hasattr(module, "miner")
    ]
    for owner, its_miner in [*pairs, (loss, miner)]:
        if its_miner is None or isinstance(its_miner, EmbeddingsAlreadyPackagedAsTriplets):
            continue
        if _is_introspective(owner) != _is_introspective(its_miner):
            with_it, without = (owner, its_miner) if _is_introspective(owner) else (its_miner, owner)
            raise ValueError(
                f"{type(with_it).__name__} has an introspective distance and {type(without).__name__} has not, which "
                "would treat the uncertainty as semantic content: give both the same distance"
            )
    heads = [] if embedder is None else [part for part in embedder.modules() if isinstance(part, IntrospectiveHead)]
    for part in loss.modules() if heads else ():
        if isinstance(part, BaseMetricLossFunction) and not _is_introspective(part):
            raise ValueError(
                f"{type(part).__name__} has no introspective distance, but IntrospectiveHead gives it rows [semantic | "
                "uncertainty]: pass distance=IntrospectiveSimilarity(embedding_size) or IntrospectiveDistance"
            )


def _is_introspective(part: nn.Module) -> bool:
    return any(isinstance(module, IntrospectiveBase) for module in part.modules())


def _introspective_distance(owner: nn.Module) -> IntrospectiveBase | None:
    distance = owner._modules.get("distance")
    distance = unwrap(distance) if isinstance(distance, BaseDistance) else None
    return distance if isinstance(distance, IntrospectiveBase) else None


def _check_owner(owner: nn.Module, distance: IntrospectiveBase) -> None:
    if isinstance(owner, (BaseMetricLossFunction, BaseMiner)):
        refuse(owner, distance, f"{type(owner).__name__} cannot use {type(distance).__name__}")


@cache
def _watch_assignments() -> None:
    """Check modules that get an introspective distance, from the first such distance on.

    A distance cannot see which loss owns it, and some losses measure rows without calling it. So the check has to be
    made where the loss gets it, in torch's hook for assignments of modules.
    """
    register_module_module_registration_hook(_check_assignment)  # type: ignore[arg-type]  # may return a replacement


def _check_assignment(owner: nn.Module, name: str, part: nn.Module | None) -> nn.Module | None:
    if isinstance(part, IntrospectiveBase):
        _check_owner(owner, part)
        for regularizer in REGULARIZERS:
            if isinstance(getattr(owner, regularizer, None), nn.Module):
                setattr(owner, regularizer, _of_semantic_part(getattr(owner, regularizer), part))
    elif name in REGULARIZERS and part is not None:
        distance = _introspective_distance(owner)
        return None if distance is None else _of_semantic_part(part, distance)
    return None


def _of_semantic_part(regularizer: nn.Module, distance: IntrospectiveBase) -> nn.Module:
    """The regularizer itself if it splits the rows already."""
    if isinstance(regularizer, SemanticRegularizer) or _introspective_distance(regularizer) is not None:
        return regularizer
    return SemanticRegularizer(regularizer, distance.embedding_size)
