"""The latest differences between embeddings of each class."""

import torch
from torch import Tensor, nn

from pml_aug.to_device import to_device
from pml_aug.validation import check_integer


class DifferenceBank(nn.Module):
    r"""A ring of Q places per class for the differences :math:`v_a - v_b` of its rows in a batch.

    The differences of a class come in the order of a, then b, as rows in the batch; those that are exactly zero (a = b,
    and equal embeddings) are left out. With m of them and the next place p:

    - m > Q: the last Q fill all places in order, and p stays;
    - otherwise they go to the places p, p + 1, ..., after Q - 1 to 0, 1, ...; p is then the place after the last one,
      Q if that was the last of all.

    No gradient flows. The cost of a call does not depend on the number of classes, and nothing synchronises with an
    accelerator if the labels are on the host.

    Args:
        num_classes: C, at least 1; labels are 0 .. C - 1.
        embedding_size: D, at least 1.
        size: Q, at least 1.

    Attributes:
        differences: (C, Q, D) buffer; 0 at places that are not filled.
        place: (C,) buffer, long: p, in 0 .. Q.
        filled: (C,) buffer, long: how many places are filled, which are the first ones.

    Shapes:
        update: (N, D), (N,) -> None; choose: (N,), (T, N) -> (T, N, D)

    Raises:
        TypeError: a size that is not an integer.
        ValueError: a size below 1.

    Source: Liu et al., "DAS: Densely-Anchored Sampling for Deep Metric Learning", ECCV 2022, section 3.3;
    github.com/lizhaoliu-Lec/DAS. The paper has a plain queue, in which p moves in the first case too.

    Example:
        >>> bank = DifferenceBank(num_classes=1, embedding_size=1, size=4)
        >>> bank.update(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]))
        >>> bank.differences.flatten().tolist(), bank.place.tolist(), bank.filled.tolist()
        ([-2.0, 2.0, 0.0, 0.0], [2], [2])
    """

    differences: Tensor
    place: Tensor
    filled: Tensor

    def __init__(self, num_classes: int, embedding_size: int, size: int = 10) -> None:
        super().__init__()
        check_integer("num_classes", num_classes, minimum=1)
        check_integer("embedding_size", embedding_size, minimum=1)
        check_integer("bank_size", size, minimum=1)
        self.register_buffer("differences", torch.zeros(num_classes, size, embedding_size))
        self.register_buffer("place", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("filled", torch.zeros(num_classes, dtype=torch.long))

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """Store the differences between rows of one class.

        Args:
            embeddings: (N, D), in the dtype and on the device of the buffers.
            labels: (N,), long, on any device.
        """
        first, second, of_pair, classes = (to_device(part, embeddings.device) for part in _pairs_by_class(labels.cpu()))
        found = embeddings.index_select(0, first).sub_(embeddings.index_select(0, second))
        differs = found.abs().amax(dim=1) != 0
        # 0, 1, ... among the differences of the class
        before = differs.cumsum(0) - differs.long()
        number = torch.zeros_like(classes).index_add_(0, of_pair, differs.long())
        rank = before - (number.cumsum(0) - number).index_select(0, of_pair)
        size = self.differences.shape[1]
        place = self.place.index_select(0, classes)
        replaces_all = number > size
        skipped = torch.where(replaces_all, number - size, 0).index_select(0, of_pair)
        start = torch.where(replaces_all, 0, place).index_select(0, of_pair)
        target = (start + rank - skipped) % size
        target = torch.where(differs & (rank >= skipped), target, size)  # one more place, for what is left out
        stored = self.differences.new_empty(len(classes), size + 1, self.differences.shape[2])
        stored[:, :size] = self.differences.index_select(0, classes)
        stored.index_put_((of_pair, target), found)
        after = torch.where(place + number > size, place + number - size, place + number)
        self.differences.index_copy_(0, classes, stored[:, :size])
        self.place.index_copy_(0, classes, torch.where(replaces_all, place, after))
        filled = self.filled.index_select(0, classes) + number
        self.filled.index_copy_(0, classes, filled.clamp_max(size))

    def number_of(self, labels: Tensor) -> Tensor:
        """How many differences the class of each row has: (N,) -> (N,)."""
        return self.filled.index_select(0, labels)

    def choose(self, labels: Tensor, choice: Tensor) -> Tensor:
        """The differences at given places of each row's class, zero where nothing is stored.

        Args:
            labels: (N,), long, on the device of the buffers.
            choice: (T, N), long, below :meth:`number_of`; 0 where that is 0.
        """
        size = self.differences.shape[1]
        places = labels * size + choice
        return self.differences.flatten(0, 1).index_select(0, places.flatten()).unflatten(0, choice.shape)


def _pairs_by_class(labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All ordered pairs of different rows with equal labels, class by class; the class of each pair, and its label."""
    classes, of_row = torch.unique(labels, return_inverse=True)
    order = of_row.argsort(stable=True)
    first, second = torch.nonzero(of_row[order, None] == of_row[order], as_tuple=True)
    is_pair = first != second
    first, second = order[first[is_pair]], order[second[is_pair]]
    return first, second, of_row[first], classes
