"""Distances between rows [semantic | uncertainty] in which uncertain pairs are less dissimilar (IDML)."""

from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from torch import Tensor

from pml_aug.distances.delegating import defined_by_settings
from pml_aug.distances.introspective_base import IntrospectiveBase, trust
from pml_aug.validation import check_flag


@defined_by_settings
class IntrospectiveSimilarity(IntrospectiveBase, CosineSimilarity):
    r"""Cosine similarity whose dissimilarity shrinks where the pair is uncertain or near (the official code's form).

    .. math::
        s_{ij} = 1 - (1 - \cos(m_i, m_j)) \exp\Bigl(-\frac{|v_i + v_j|^2 + \text{offset}}{\tau |m_i - m_j|^2}\Bigr)

    Row i is [:math:`m_i` | :math:`v_i`], semantic part and uncertainty. A row of D numbers, such as a proxy, has
    uncertainty zero; proxies of 2 D numbers learn theirs. It is a CosineSimilarity, so PML's losses and miners that
    require one accept it. Give miners the same distance: PML's own would treat the uncertainty as semantic content.
    Without uncertainty and offset, or with infinite tau, it is the cosine; without uncertainty alone it is the cosine
    with dissimilarities shrunk by :math:`\exp(-\text{offset} / (\tau |m_i - m_j|^2))`.

    Args:
        embedding_size: D.
        tau: above 0, infinity included; larger values shrink dissimilarities less.
        offset: uncertainty of every pair, at least 0; 4 is the code's, 0 the paper's.
        squared: squared lengths in the exponent, as in the code; False takes the lengths, as in the paper.
        normalize_in_distance: take :math:`|m_i - m_j|` between unit vectors; False takes rows and proxies with the
            lengths that they come with, as the code does.
        kwargs: `power` and `collect_stats`, as of every PML distance.

    Shapes:
        (N, D or 2 D), (R, D or 2 D) -> (N, R)

    Raises:
        ValueError: an argument out of range; rows neither D nor 2 D wide; a loss or miner that cannot use it.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML (losses.py). With
    ProxyAnchorLoss it is that code's loss. The code has uncertainty on one side only; :math:`|v_i + v_j|` is the
    paper's level for two. Deviations: a floor keeps the gradient at coincident points finite, where the code's is
    NaN; two classes are right.

    Example:
        >>> similarity = IntrospectiveSimilarity(embedding_size=2, offset=0.0)
        >>> rows = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 9.0, 9.0]])
        >>> similarity(rows, torch.tensor([[0.0, 1.0], [1.0, 0.0]])).round(decimals=3).tolist()
        [[0.0, 1.0], [1.0, 1.0]]
    """

    def __init__(
        self,
        embedding_size: int,
        tau: float = 5.0,
        offset: float = 4.0,
        squared: bool = True,
        normalize_in_distance: bool = False,
        **kwargs: Any,
    ) -> None:
        check_flag("normalize_in_distance", normalize_in_distance)
        super().__init__(embedding_size, tau, offset, squared, **kwargs)
        self.normalize_in_distance = normalize_in_distance

    def maybe_normalize(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        """The rows as they are: `compute_mat` needs their lengths, and normalises for the cosine itself."""
        return embeddings

    def set_default_stats(self, query_emb: Tensor, ref_emb: Tensor, *normalized: Tensor) -> None:
        if self.collect_stats:
            super().set_default_stats(query_emb, ref_emb, self.normalize(query_emb), self.normalize(ref_emb))

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        semantic, uncertainty = own = self.split(query_emb)
        ref_semantic, ref_uncertainty = own if ref_emb is query_emb else self.split(ref_emb)
        squares, ref_squares = _squares(semantic).unsqueeze(-1), _squares(ref_semantic).unsqueeze(-2)
        levels = _all_squared_levels(uncertainty, ref_uncertainty)
        return self._similarity(semantic @ ref_semantic.mT, squares, ref_squares, levels)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        (semantic, uncertainty), (ref_semantic, ref_uncertainty) = self.split(query_emb), self.split(ref_emb)
        product = (semantic * ref_semantic).sum(dim=-1)
        levels = _pair_squared_levels(uncertainty, ref_uncertainty)
        return self._similarity(product, _squares(semantic), _squares(ref_semantic), levels)

    def _similarity(self, product: Tensor, squares: Tensor, ref_squares: Tensor, levels: Tensor) -> Tensor:
        """One product serves the cosine and the distance; `squares` and `levels` are squared lengths."""
        cosine = product * _inverse_root(squares) * _inverse_root(ref_squares)
        distance = 2 - 2 * cosine if self.normalize_in_distance else torch.sub(squares + ref_squares, product, alpha=2)
        if not self.squared:
            distance, levels = _root(distance), _root(levels)
        return 1 + (cosine - 1) * trust(distance, levels, self.tau, self.offset)


@defined_by_settings
class IntrospectiveDistance(IntrospectiveBase, LpDistance):
    r"""Euclidean distance that shrinks where the pair is uncertain or near (the paper's form).

    .. math::
        D_{ij} = \alpha_{ij} \exp\Bigl(-\frac{\beta_{ij} + \text{offset}}{\tau \alpha_{ij}}\Bigr), \quad
        \alpha_{ij} = |m_i - m_j|, \quad \beta_{ij} = |v_i + v_j|

    Row i is [:math:`m_i` | :math:`v_i`], semantic part and uncertainty. A row of D numbers, such as a proxy, has
    uncertainty zero; proxies of 2 D numbers learn theirs. It is an LpDistance with p = 2, so PML's losses and miners
    that require one accept it. Give miners the same distance: PML's own would treat the uncertainty as semantic
    content. Without uncertainty and offset, or with infinite tau, it is PML's LpDistance.

    Args:
        embedding_size: D.
        tau: above 0, infinity included; larger values shrink dissimilarities less.
        offset: uncertainty of every pair, at least 0; 0 is the paper's, 4 the code's (with `squared`).
        squared: squared lengths in the exponent, as in the code; False takes the lengths, as in the paper.
        kwargs: `normalize_embeddings` (of the semantic part alone), `power` and `collect_stats`, as of PML's
            LpDistance.

    Shapes:
        (N, D or 2 D), (R, D or 2 D) -> (N, R)

    Raises:
        ValueError: an argument out of range, p other than 2 among them; rows neither D nor 2 D wide; a loss or miner
            that cannot use it.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023. The official code has this form nowhere:
    its pair-based losses take no uncertainty.

    Example:
        >>> distance = IntrospectiveDistance(embedding_size=2, tau=1.0, normalize_embeddings=False)
        >>> rows = torch.tensor([[0.0, 0.0, 0.0, 3.0], [2.0, 0.0, 4.0, 0.0]])  # alpha 2, beta 5
        >>> bool(torch.isclose(distance(rows)[0, 1], 2 * torch.exp(torch.tensor(-5 / 2))))
        True
    """

    def __init__(
        self, embedding_size: int, tau: float = 5.0, offset: float = 0.0, squared: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(embedding_size, tau, offset, squared, **kwargs)
        if self.p != 2:
            raise ValueError(f"p must be 2: the paper's distance is Euclidean, but got {self.p}")

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        semantic, uncertainty = own = self.split(query_emb)
        ref_semantic, ref_uncertainty = own if ref_emb is query_emb else self.split(ref_emb)
        distance = super().compute_mat(semantic, ref_semantic)
        return self._shrunk(distance, _all_squared_levels(uncertainty, ref_uncertainty))

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        (semantic, uncertainty), (ref_semantic, ref_uncertainty) = self.split(query_emb), self.split(ref_emb)
        distance = super().pairwise_distance(semantic, ref_semantic)
        return self._shrunk(distance, _pair_squared_levels(uncertainty, ref_uncertainty))

    def _shrunk(self, distance: Tensor, levels: Tensor) -> Tensor:
        if self.squared:
            return distance * trust(distance.square(), levels, self.tau, self.offset)
        return distance * trust(distance, _root(levels), self.tau, self.offset)


def _all_squared_levels(uncertainty: Tensor | None, ref_uncertainty: Tensor | None) -> Tensor:
    """:math:`|v_i + v_j|^2` of every row with every row: (N, D), (R, D) -> (N, R), (N, 1), (1, R) or ()."""
    if uncertainty is None:
        return torch.zeros(()) if ref_uncertainty is None else _squares(ref_uncertainty).unsqueeze(-2)
    own = _squares(uncertainty).unsqueeze(-1)
    if ref_uncertainty is None:
        return own
    both = own + _squares(ref_uncertainty).unsqueeze(-2)
    levels = torch.add(both, uncertainty @ ref_uncertainty.mT, alpha=2)
    return levels.clamp_min(0)  # where the two cancel, rounding can fall below 0


def _pair_squared_levels(uncertainty: Tensor | None, ref_uncertainty: Tensor | None) -> Tensor:
    """:math:`|v_i + v_i'|^2` row by row: (N, D), (N, D) -> (N,) or ()."""
    parts = [part for part in (uncertainty, ref_uncertainty) if part is not None]
    return _squares(sum(parts[1:], parts[0])) if parts else torch.zeros(())


def _squares(rows: Tensor) -> Tensor:
    return rows.square().sum(dim=-1)


def _inverse_root(squares: Tensor) -> Tensor:
    return squares.clamp_min(1e-24).rsqrt()  # as torch's normalize, which PML uses, has it: lengths from 1e-12


def _root(squares: Tensor) -> Tensor:
    return squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()  # its slope at 0 would be infinite
