"""How often each channel was among the largest of the embeddings of each class."""

import torch
from torch import Tensor, nn

from pml_aug.validation import check_integer


class ChannelCounts(nn.Module):
    r"""The number of embeddings of each class in which each channel was among the K largest.

    .. math:: P_{c,k} \leftarrow P_{c,k} + |\{i : y_i = c,\ k \in \mathrm{top}_K(v_i)\}|

    Largest by value, so that negative channels count only if there are no others. Nothing is forgotten.

    Args:
        num_classes: C, at least 1; labels are 0 .. C - 1.
        embedding_size: D, at least 1.

    Attributes:
        count: (C, D) buffer, long.

    Shapes:
        update: (N, D), (N,) -> None; most_frequent: (N,) -> (N, K)

    Raises:
        TypeError: a size that is not an integer.
        ValueError: a size below 1.

    Source: Liu et al., "DAS: Densely-Anchored Sampling for Deep Metric Learning", ECCV 2022, section 3.2;
    github.com/lizhaoliu-Lec/DAS. There, equally frequent channels are in an arbitrary order.

    Example:
        >>> counts = ChannelCounts(num_classes=2, embedding_size=3)
        >>> counts.update(torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), torch.tensor([1, 1]), num_channels=2)
        >>> counts.count[1].tolist(), counts.most_frequent(torch.tensor([1]), num_channels=2).tolist()
        ([1, 1, 2], [[2, 0]])
    """

    count: Tensor

    def __init__(self, num_classes: int, embedding_size: int) -> None:
        super().__init__()
        check_integer("num_classes", num_classes, minimum=1)
        check_integer("embedding_size", embedding_size, minimum=1)
        self.register_buffer("count", torch.zeros(num_classes, embedding_size, dtype=torch.long))

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Tensor, num_channels: int) -> None:
        """Count the K largest channels of each row.

        Args:
            embeddings: (N, D).
            labels: (N,), long, on the device of the embeddings.
            num_channels: K, at most D.
        """
        channels = embeddings.topk(num_channels, dim=1).indices
        places = (labels[:, None] * self.count.shape[1] + channels).flatten()
        self.count.view(-1).index_add_(0, places, torch.ones_like(places))

    def most_frequent(self, labels: Tensor, num_channels: int) -> Tensor:
        """The K most frequent channels of each row's class, the most frequent first; of equals the lowest channel.

        Args:
            labels: (N,), long, on the device of the counts.
            num_channels: K, at most D.
        """
        of_class = self.count.index_select(0, labels)
        size = of_class.shape[1]
        order = torch.arange(size - 1, -1, -1, device=of_class.device)  # makes each rank unique
        return (of_class * size + order).topk(num_channels, dim=1).indices
