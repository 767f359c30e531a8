"""Rows [semantic | uncertainty], as the introspective distances take them (IDML)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook


def trust(distance: Tensor, uncertainty: Tensor | float, tau: float, offset: float) -> Tensor:
    r"""The share of a dissimilarity that remains once it is doubted: near 0 for near or uncertain pairs, at most 1.

    .. math:: \exp\Bigl(-\frac{\text{uncertainty} + \text{offset}}{\tau \cdot \text{distance}}\Bigr)

    At distance 0 (or below, by rounding) value and gradient are those at a floor of the dtype's rounding step.

    Args:
        distance: between the semantic parts, (N, R).
        uncertainty: of the pair, anything that spreads to (N, R).
        tau: above 0; larger doubts less.
        offset: at least 0.

    Example:
        >>> trust(torch.tensor([0.0, 1.0]), 0.0, tau=1.0, offset=0.0).tolist()
        [1.0, 1.0]
        >>> trust(torch.tensor([0.0]), 1.0, tau=1.0, offset=0.0).item()
        0.0
    """
    return torch.exp((uncertainty + offset) / -tau / distance.clamp_min(torch.finfo(distance.dtype).eps))


class IntrospectiveBase(BaseDistance):
    """What both introspective distances share: rows of two parts, of which only the semantic one has a direction.

    Norms, normalisation and recorded statistics are the semantic part's.

    Args:
        embedding_size: D, width of the semantic part.
        tau: above 0; larger trusts uncertain dissimilarities more, infinity wholly.
        offset: uncertainty that every pair has, at least 0.
        squared: squared lengths in the exponent.
        kwargs: for the distance of PML.

    Raises:
        ValueError: an argument out of range; rows neither D nor 2 D wide; a loss or miner that cannot use it.
    """

    refusals: ClassVar[Mapping[type[nn.Module], str]] = {}

    def __init__(self, embedding_size: int, tau: float, offset: float, squared: bool, **kwargs: Any) -> None:
        if embedding_size < 1:
            raise ValueError(f"embedding_size must be at least 1, but got {embedding_size}")
        if not tau > 0:
            raise ValueError(f"tau must be above 0, but got {tau}")
        if not offset >= 0:
            raise ValueError(f"offset must be at least 0, but got {offset}")
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        self.tau = tau
        self.offset = offset
        self.squared = squared
        self.add_to_recordable_attributes(list_of_names=["tau", "offset"], is_stat=False)

    def split(self, embeddings: Tensor, dim: int = -1) -> tuple[Tensor, Tensor | None]:
        """The semantic part and the uncertainty of rows; None stands for an uncertainty of zero.

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
        semantic, uncertainty = embeddings.split(self.embedding_size, dim)
        return semantic, uncertainty

    def normalize(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        """Rows with the semantic part brought to unit length, the uncertainty as it is."""
        semantic, uncertainty = self.split(embeddings, dim)
        semantic = super().normalize(semantic, dim, **kwargs)
        return semantic if uncertainty is None else torch.cat([semantic, uncertainty], dim)

    def get_norm(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        """Length of the semantic part."""
        return super().get_norm(self.split(embeddings, dim)[0], dim, **kwargs)

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        """The matrix of the power that the distance was made with: (N, D or 2 D), (R, D or 2 D) -> (N, R).

        Rows in half precision are compared in float32, and autocast is off inside: the exponent amplifies rounding.
        """
        with torch.autocast(query_emb.device.type, enabled=False):
            ref_emb = None if ref_emb is None or ref_emb is query_emb else _at_least_float32(ref_emb)
            return super().forward(_at_least_float32(query_emb), ref_emb).to(query_emb.dtype)


def _at_least_float32(rows: Tensor) -> Tensor:
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows


def _refuse(owner: nn.Module, name: str, part: nn.Module | None) -> None:
    """Stop an introspective distance on its way into a loss or miner that would misuse it.

    Two of PML's losses would silently give a wrong number, and a distance is never told who asks it; so this looks
    whenever a module is put into another one.
    """
    if isinstance(part, IntrospectiveBase):
        reason = next((part.refusals[kind] for kind in type(owner).__mro__ if kind in part.refusals), None)
        if reason is not None:
            raise ValueError(f"{type(owner).__name__} cannot use {type(part).__name__}: {reason}")


register_module_module_registration_hook(_refuse)
