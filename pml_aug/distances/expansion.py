"""How Embedding Expansion makes points of a batch and measures with them; its wrapper and its miner share this."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.expanded import Expanded, Groups
from pml_aug.distances.introspective_rows import IntrospectiveRows
from pml_aug.distances.pooled import pooled_matrix
from pml_aug.patching import patched
from pml_aug.synthesis.interpolate import to_unit_length
from pml_aug.synthesis.pairs import Pairs, adjacent_pairs, all_positive_pairs, within_class_pairs
from pml_aug.to_device import to_device

PAIRINGS: Mapping[str, Callable[[Tensor], Pairs]] = {
    "within_class": within_class_pairs,
    "adjacent": adjacent_pairs,
    "all_pairs": all_positive_pairs,
}
ANCHOR_POINTS = ("class", "own")


@dataclass(frozen=True)
class Expansion:
    """The settings of Embedding Expansion, and what follows from them.

    Args:
        num_points: interior points a pair, at least 0.
        normalize: bring embeddings and points to unit length; of rows [semantic | uncertainty], the semantic part.
        pairing: "within_class", "adjacent" or "all_pairs".
        anchor_points: "class" or "own".

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> import torch
        >>> expanded = Expansion(num_points=3).expand(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        >>> expanded.points.shape  # three on each of two segments
        torch.Size([6, 4])
    """

    num_points: int
    normalize: bool = True
    pairing: str = "within_class"
    anchor_points: str = "class"

    def __post_init__(self) -> None:
        if self.num_points < 0:
            raise ValueError(f"num_points must be at least 0, but got {self.num_points}")
        if self.pairing not in PAIRINGS:
            raise ValueError(f"Expected argument `pairing` to be one of {list(PAIRINGS)} but got {self.pairing!r}")
        if self.anchor_points not in ANCHOR_POINTS:
            raise ValueError(
                f"Expected argument `anchor_points` to be one of {ANCHOR_POINTS} but got {self.anchor_points!r}"
            )

    def expand(
        self,
        embeddings: Tensor,
        labels: Tensor,
        distance: BaseDistance | None = None,
        num_paired: int | None = None,
    ) -> Expanded:
        """The rows and the points between them: (N, D), (N,) -> Expanded of N rows and n points a pair.

        Args:
            embeddings: (N, D).
            labels: (N,).
            distance: what they will be measured by. An introspective one knows which part of a row has a length.
            num_paired: how many rows, from the first, have partners; None for all.
        """
        of_two_parts = distance if isinstance(distance, IntrospectiveRows) else None
        rows, to_unit = embeddings, None
        if self.normalize:
            rows = normalize(rows) if of_two_parts is None else of_two_parts.normalize(rows)
            to_unit = to_unit_length if of_two_parts is None else of_two_parts.normalize
        # worked out on the host, which has to know how many there are: an accelerator is waited for once, or not at all
        on_host = labels.cpu()
        pairs = Pairs(*(to_device(ends, rows.device) for ends in PAIRINGS[self.pairing](on_host[:num_paired])))
        groups = None
        if self.anchor_points == "class":
            classes, of_row = torch.unique(on_host, return_inverse=True)
            groups = Groups(to_device(of_row, rows.device), len(classes), hold_pairs=self.pairing != "adjacent")
        return Expanded(rows, to_device(labels, rows.device), pairs, self.num_points, to_unit, groups)

    def expand_both(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
        distance: BaseDistance | None = None,
    ) -> tuple[Expanded, Expanded]:
        """The batch and what it is compared with; one object twice where that is the batch itself."""
        query = self.expand(embeddings, labels, distance)
        if ref_emb is None or ref_labels is None or (ref_emb is embeddings and ref_labels is labels):
            return query, query
        return query, self.expand(ref_emb, ref_labels, distance)

    def pool(self, distance: BaseDistance, query: Expanded, reference: Expanded) -> Tensor:
        """The matrix of :func:`pooled_matrix` by any PML distance: N rows, R columns -> (N, R)."""
        already_unit = self.normalize and distance.p == 2
        with patched(distance, normalize_embeddings=distance.normalize_embeddings and not already_unit):
            return pooled_matrix(distance, query, reference)
