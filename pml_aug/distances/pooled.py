"""The distance matrix of Embedding Expansion: negatives as near as the points around both rows can bring them."""

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.expanded import Expanded
from pml_aug.distances.from_rows import follows_from_rows, hardest_from_rows
from pml_aug.distances.hardest import hardest_between


def pooled_matrix(distance: BaseDistance, query: Expanded, reference: Expanded) -> Tensor:
    r"""Plain distances where labels agree, elsewhere the hardest distance between the point sets of both rows.

    .. math::
        M_{ij} = \begin{cases} d(x_i, x_j) & y_i = y_j \\ \min_{p \in S(i),\, q \in S(j)} d(p, q) & \text{else}
        \end{cases}

    :math:`S(i)` holds the rows of the group of row i with the points of their pairs. For a similarity (inverted
    distance), max stands in place of min. The points of the pair (i, j) are those of (j, i), so each is compared
    once. The gradient is that of the chosen distances; where several are equally hard, one of them is chosen.

    Args:
        distance: any PML distance, asked once about all rows and points; of those that follow from inner products
            (exactly LpDistance with p = 2 and power 1 or 2, CosineSimilarity or DotProductSimilarity) only about the
            rows, see :func:`hardest_from_rows`.
        query: the rows of the matrix.
        reference: its columns; the same object as `query` compares a batch with itself.

    Shapes:
        N rows, R columns -> (N, R)

    Source: Ko and Gu, "Embedding Expansion", CVPR 2020, section 3.2 (groups are classes);
    github.com/clovaai/embedding-expansion, hphn_triplet.py (every row for itself). There a tie gives each entry the
    full gradient.
    """
    hardest_of = hardest_from_rows if follows_from_rows(distance, query, reference) else _hardest_of_all
    plain, hardest = hardest_of(distance, query, reference)
    for dim, groups in enumerate((query.groups, reference.groups)):
        if groups is not None:
            hardest = hardest.index_select(dim, groups.of_row)
    # rows of NaN stay NaN, which no search finds
    return torch.where((query.labels[:, None] == reference.labels) | plain.isnan(), plain, hardest)


def _hardest_of_all(distance: BaseDistance, query: Expanded, reference: Expanded) -> tuple[Tensor, Tensor]:
    """The distances of the rows, (N, R), and the hardest between their groups."""
    every_query = torch.cat([query.embeddings, query.points])
    every_reference = every_query if reference is query else torch.cat([reference.embeddings, reference.points])
    distances = distance(every_query, every_reference)
    hardness = distances.detach().to(torch.promote_types(distances.dtype, torch.float32))
    row, column = hardest_between((hardness if distance.is_inverted else -hardness).T, query, reference)
    chosen = row * distances.shape[1] + column
    hardest = distances.flatten().index_select(0, chosen.flatten()).view_as(chosen)
    return distances[: len(query.labels), : len(reference.labels)], hardest
