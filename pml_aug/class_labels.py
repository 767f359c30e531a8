"""The check that labels name classes that there are."""

from torch import Tensor


def check_class_labels(labels: Tensor, num_classes: int, of: str = "") -> None:
    """Raise a ValueError for labels outside of 0 .. C - 1, unless they lie on an accelerator: the host would wait.

    Args:
        labels: (N,), integers.
        num_classes: C.
        of: whose classes they are, for the message.

    Example:
        >>> import torch
        >>> check_class_labels(torch.tensor([0, 3]), num_classes=3)
        Traceback (most recent call last):
        ValueError: labels must be in 0 .. 2, but got 0 .. 3
    """
    if labels.device.type != "cpu" or len(labels) == 0:
        return
    smallest, largest = (int(label) for label in labels.aminmax())
    if smallest < 0 or largest >= num_classes:
        classes = f", the classes of {of}" if of else ""
        raise ValueError(f"labels must be in 0 .. {num_classes - 1}{classes}, but got {smallest} .. {largest}")
