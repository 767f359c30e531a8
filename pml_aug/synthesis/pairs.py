"""Pairs of rows of a batch: pairs of one class to expand, pairs of different classes to mix."""

from typing import NamedTuple

import torch
from torch import Tensor

from pml_aug.to_device import to_device
from pml_aug.validation import check_integer


class Pairs(NamedTuple):
    """Pairs of row indices."""

    start: Tensor  # (P,), long
    end: Tensor  # (P,), long


def adjacent_pairs(labels: Tensor) -> Pairs:
    """Rows (0, 1), (2, 3), ... whatever their labels, as in the official code of Embedding Expansion.

    Shapes:
        (N,) -> two of (N / 2,)

    Raises:
        ValueError: when N is odd.

    Example:
        >>> adjacent_pairs(torch.tensor([7, 7, 8, 8])).end.tolist()
        [1, 3]
    """
    if len(labels) % 2:
        raise ValueError(
            f'pairing="adjacent" needs an even batch, but got {len(labels)} rows: use pairing="within_class"'
        )
    rows = torch.arange(len(labels), device=labels.device)
    return Pairs(rows[0::2], rows[1::2])


def within_class_pairs(labels: Tensor) -> Pairs:
    """Disjoint pairs of rows with equal labels, in the order of the batch; an odd class leaves one row unpaired.

    Shapes:
        (N,) -> two of (P,), P at most N / 2

    Example:
        >>> pairs = within_class_pairs(torch.tensor([7, 8, 7, 8, 7]))
        >>> pairs.start.tolist(), pairs.end.tolist()
        ([0, 1], [2, 3])
    """
    ordered, order = torch.sort(labels, stable=True)
    place = torch.arange(len(labels), device=labels.device) - torch.searchsorted(ordered, ordered)  # within the class
    second = torch.nonzero(place % 2).squeeze(1)
    return Pairs(order[second - 1], order[second])


def all_positive_pairs(labels: Tensor) -> Pairs:
    """Every pair of different rows with equal labels, once.

    Shapes:
        (N,) -> two of (P,)

    Example:
        >>> all_positive_pairs(torch.tensor([7, 7, 7])).end.tolist()
        [1, 2, 2]
    """
    start, end = torch.nonzero(torch.triu(labels[:, None] == labels, diagonal=1), as_tuple=True)
    return Pairs(start, end)


def different_class_pairs(labels: Tensor, generator: torch.Generator | None = None) -> Pairs:
    r"""Each row paired with a row of another class, with the classes in random order; no pairs if there is one class.

    The rows are arranged in a circle, class after class in random order, with the m rows of the largest class at
    0 .. m - 1 of N. The partner of the row at p is m places further, which is always in another class. If the largest
    class has more than half of the rows, its rows share the other rows:

    .. math:: p \mapsto \begin{cases} m + p \bmod (N - m) & p < m \\ (p + m) \bmod N & \text{else} \end{cases}

    Nothing synchronises with an accelerator. Therefore, with labels on an accelerator, a batch of one class is not
    detected, and all of its rows are paired with one row of the same class.

    Args:
        labels: (N,), class of each row.
        generator: source of the order, which is drawn on its device; by default torch's global generator.

    Shapes:
        (N,) -> two of (N,), or of (0,)

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1, 2])
        >>> pairs = different_class_pairs(labels)
        >>> sorted(pairs.start.tolist()), bool((labels[pairs.start] != labels[pairs.end]).all())
        ([0, 1, 2, 3, 4], True)
    """
    rows = torch.arange(len(labels), device=labels.device)
    if len(labels) < 2:
        return Pairs(rows[:0], rows[:0])
    ordered, by_class = labels.sort()
    rank = torch.zeros_like(ordered)  # of the class among those of the batch
    torch.cumsum(ordered[1:] != ordered[:-1], dim=0, out=rank[1:])
    size, largest = torch.zeros_like(rank).index_add_(0, rank, torch.ones_like(rank)).max(dim=0)
    if labels.device.type == "cpu" and size == len(labels):
        return Pairs(rows[:0], rows[:0])
    drawn_on = labels.device if generator is None else generator.device
    turn = torch.randperm(len(labels), generator=generator, device=drawn_on)
    turn = turn if turn.device == labels.device else to_device(turn, labels.device)
    start = by_class[turn.index_fill_(0, largest, -1)[rank].argsort(stable=True)]
    others = (len(labels) - size).clamp_min(1)
    partner = torch.where(rows < size, size + rows % others, rows + size) % len(labels)
    return Pairs(start, start[partner])


def rolled_pairs(labels: Tensor) -> Pairs:
    """Each row with the row before it, cyclically, whatever their labels, as in the official Proxy Synthesis.

    Shapes:
        (N,) -> two of (N,)

    Example:
        >>> rolled_pairs(torch.tensor([0, 1, 2])).end.tolist()
        [2, 0, 1]
    """
    rows = torch.arange(len(labels), device=labels.device)
    return Pairs(rows, rows.roll(1))


def order_without_equal_neighbors(labels: Tensor, max_passes: int = 50) -> Tensor:
    """A permutation after which (cyclic) neighbours differ in class, if the official search finds one.

    The search of the training loop of Proxy Synthesis makes at most `max_passes` passes over the batch. If a label
    equals the next one, the next two rows are swapped; a pass without a swap ends the search. It is slow and may fail
    silently, unlike :func:`different_class_pairs`.

    Args:
        labels: class of each row.
        max_passes: at least 0.

    Shapes:
        (N,) -> (N,), `labels[order]` is the new sequence

    Raises:
        TypeError: `max_passes` is not an integer.
        ValueError: `max_passes` is negative.

    Source: Gu et al., "Proxy Synthesis", AAAI 2021; github.com/navervision/proxy-synthesis, main.py.

    Example:
        >>> order_without_equal_neighbors(torch.tensor([0, 0, 1, 1])).tolist()
        [0, 2, 1, 3]
    """
    check_integer("max_passes", max_passes, minimum=0)
    sequence = labels.tolist()
    order = list(range(len(sequence)))
    for _ in range(max_passes):
        swapped = False
        for now in range(len(sequence)):
            following, after = (now + 1) % len(sequence), (now + 2) % len(sequence)
            if sequence[now] == sequence[following]:
                sequence[following], sequence[after] = sequence[after], sequence[following]
                order[following], order[after] = order[after], order[following]
                swapped = True
        if not swapped:
            break
    return torch.tensor(order, dtype=torch.long, device=labels.device)


def random_circle(
    count: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
) -> Tensor:
    """For each of `count` things another one, each once: their successors in a random circle of all.

    Args:
        count: at least 0; a single thing gets itself.
        generator: source of the order, which is drawn on its device; by default torch's global generator.
        device: of the result; by default that of the generator, or the CPU.

    Shapes:
        -> (count,), long

    Example:
        >>> others = random_circle(3)
        >>> sorted(others.tolist()), bool((others == torch.arange(3)).any())
        ([0, 1, 2], False)
    """
    circle = torch.randperm(count, generator=generator, device=device if generator is None else generator.device)
    others = torch.empty_like(circle).index_copy_(0, circle, circle.roll(1))
    return others if device is None else to_device(others, torch.device(device))
