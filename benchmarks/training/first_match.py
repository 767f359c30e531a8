"""The rank of the nearest image of a query's class, however far down it is."""

import torch
from torch import Tensor

from .neighbors import GRID, full_float32

AT_ONCE = 2**23  # distances that are computed at a time: 32 MiB


def first_match_ranks(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor, own: Tensor | None = None
) -> Tensor:
    """Ranks of the nearest images of the queries' classes by Euclidean distance; 1 is the nearest image of all.

    It counts the images that are nearer, which takes one pass over the distances, while a list of the 1,000 nearest
    images takes several times as long.

    Args:
        query: (Q, D), each with an image of its class in the reference.
        query_labels: (Q,).
        reference: searched images, (R, D).
        reference_labels: (R,).
        own: (Q,), the place of each query in the reference, which it does not find; None: it is in none.

    Shapes:
        -> (Q,), long

    Example:
        >>> line = torch.tensor([0.0, 4.0, 1.5, 2.0])[:, None]
        >>> first_match_ranks(line, torch.tensor([0, 0, 1, 1]), line, torch.tensor([0, 0, 1, 1]), torch.arange(4))
        tensor([3, 3, 1, 1])
    """
    origin = (reference.float().mean(dim=0) * GRID).round() / GRID  # as the search of neighbours, for the same reasons
    rows = reference.float() - origin
    squares = rows.square().sum(dim=1)
    places = torch.arange(len(rows), device=rows.device)
    ranks = []
    parts = torch.arange(len(query), device=rows.device).split(max(1, AT_ONCE // len(rows)))
    with torch.no_grad(), full_float32(query.device.type):
        for part in parts:
            distances = squares - 2 * (query[part].float() - origin) @ rows.T  # less |x|^2, the same in all columns
            matches = query_labels[part, None] == reference_labels
            if own is not None:
                distances.scatter_(1, own[part, None], torch.inf)
                matches.scatter_(1, own[part, None], False)
            nearest = distances.masked_fill(~matches, torch.inf).amin(dim=1, keepdim=True)
            tied = distances == nearest
            first = (tied & matches).byte().argmax(dim=1, keepdim=True)  # of several, the first, as in the search
            ranks.append(1 + ((distances < nearest) | (tied & (places < first))).sum(dim=1))
    return torch.cat(ranks) if ranks else places[:0]
