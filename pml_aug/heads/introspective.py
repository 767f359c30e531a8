"""Embedding head with a second output, the uncertainty of the embedding (IDML)."""

import warnings

import torch
from torch import Tensor, nn

from pml_aug.synthesis.pairs import random_circle
from pml_aug.validation import check_flag, check_integer

UNIT_EPS = 1e-12  # added to the squared length, as in the official network

_num_splits = 0  # how often an introspective distance has split rows that need a gradient


def count_split() -> None:
    """Record that an introspective distance split rows [semantic | uncertainty] that need a gradient."""
    global _num_splits
    _num_splits += 1


class IntrospectiveHead(nn.Module):
    r"""Rows [semantic | uncertainty] in training mode, the semantic embedding alone in evaluation mode.

    .. math:: m = \frac{W_e h + b_e}{|W_e h + b_e|}, \quad v = \frac{u}{\sqrt{D + |u|^2}}, \quad u = W_u h + b_u

    Use it as the `embedder` of PML's trainers. PML's testers switch it to evaluation mode and get embeddings of the
    usual width; only training uses the uncertainty, through an introspective distance.

    Args:
        in_features: width of the trunk's features, at least 1.
        embedding_size: D, width of each part, at least 1.
        normalize_uncertainty: normalise v to unit length: the official default, with which every row is equally
            uncertain and the uncertainty layer gets no gradient.
        normalize_semantic: normalise m to unit length.
        bound_uncertainty: keep v shorter than 1, as above. False uses v = u; if the scale of the features or D makes u
            long, every pair is so uncertain that the loss has no gradient. No effect with `normalize_uncertainty`.
        shuffle_uncertainty: give each row of a training batch the uncertainty of another one, by a random circle of all
            rows, drawn in every call from torch's global generator of their device. This is the control that shows what
            it adds that an uncertainty is that of its own image: lengths, directions and gradients of the uncertainties
            stay those of the batch.

    Shapes:
        (N, in_features) -> (N, 2 * D) in training, (N, D) in evaluation

    Raises:
        TypeError: an argument of another type.
        ValueError: a size below 1.

    Warns:
        UserWarning: once, if the rows get a gradient without having been split by an introspective distance.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML (net/resnet.py),
    where both parts are normalised or neither is (--l2-norm). Deviation: the bound; with D in it, initial lengths do
    not depend on the width.

    Example:
        >>> head = IntrospectiveHead(in_features=8, embedding_size=4)
        >>> head(torch.randn(2, 8)).shape, head.eval()(torch.randn(2, 8)).shape
        (torch.Size([2, 8]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        in_features: int,
        embedding_size: int,
        normalize_uncertainty: bool = False,
        normalize_semantic: bool = True,
        bound_uncertainty: bool = True,
        shuffle_uncertainty: bool = False,
    ) -> None:
        super().__init__()
        check_integer("in_features", in_features, minimum=1)
        check_integer("embedding_size", embedding_size, minimum=1)
        check_flag("normalize_uncertainty", normalize_uncertainty)
        check_flag("normalize_semantic", normalize_semantic)
        check_flag("bound_uncertainty", bound_uncertainty)
        check_flag("shuffle_uncertainty", shuffle_uncertainty)
        self._is_checked = False  # whether the rows were seen to reach an introspective distance
        self.embedding_size = embedding_size
        self.normalize_uncertainty = normalize_uncertainty
        self.normalize_semantic = normalize_semantic
        self.bound_uncertainty = bound_uncertainty
        self.shuffle_uncertainty = shuffle_uncertainty
        self.semantic_layer = nn.Linear(in_features, embedding_size)
        self.uncertainty_layer = nn.Linear(in_features, embedding_size)
        nn.init.kaiming_normal_(self.semantic_layer.weight, mode="fan_out")
        nn.init.zeros_(self.semantic_layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        semantic = self.semantic_layer(features)
        if self.normalize_semantic:
            semantic = self._shortened(semantic, UNIT_EPS)
        if not self.training:
            return semantic
        uncertainty = self.uncertainty(features)
        if self.shuffle_uncertainty:
            uncertainty = uncertainty.index_select(0, random_circle(len(features), device=features.device))
        rows = torch.cat([semantic, uncertainty], dim=1)
        if rows.requires_grad and not self._is_checked and not torch.compiler.is_compiling():
            self._check_in_backward(rows)
        return rows

    def _check_in_backward(self, rows: Tensor) -> None:
        """Warn once if these rows get a gradient before any introspective distance has split them."""
        before = _num_splits

        def check(gradient: Tensor) -> None:
            if self._is_checked or not gradient.any():  # a loss without pairs may not call its distance
                return
            self._is_checked = True
            if _num_splits == before:
                warnings.warn(
                    "IntrospectiveHead gave rows [semantic | uncertainty] to a loss without an introspective distance, "
                    "which treats the uncertainty as semantic content: pass distance=IntrospectiveSimilarity("
                    f"embedding_size={self.embedding_size}) or IntrospectiveDistance to the loss and its miner",
                    stacklevel=2,
                )

        rows.register_hook(check)

    def uncertainty(self, features: Tensor) -> Tensor:
        """The rows v, (N, in_features) -> (N, D); longer rows mean more uncertain embeddings."""
        uncertainty = self.uncertainty_layer(features)
        if self.normalize_uncertainty:
            return self._shortened(uncertainty, UNIT_EPS)
        return self._shortened(uncertainty, self.embedding_size) if self.bound_uncertainty else uncertainty

    def _shortened(self, rows: Tensor, below_root: float) -> Tensor:
        """Rows rescaled from length l to l / sqrt(l^2 + below_root), in the dtype of the weights."""
        with torch.autocast(rows.device.type, enabled=False):
            if rows.dtype in (torch.float16, torch.bfloat16):
                rows = rows.float()  # the squares overflow float16
            rows = rows * torch.rsqrt(rows.square().sum(dim=1, keepdim=True) + below_root)
        return rows.to(self.semantic_layer.weight.dtype)
