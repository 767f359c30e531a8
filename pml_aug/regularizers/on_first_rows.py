"""A regularizer that leaves out rows at the end."""

from torch import Tensor, nn


class OnFirstRows(nn.Module):
    """A PML regularizer of the first rows of what it gets, so that synthetic rows are not regularized.

    Args:
        regularizer: any PML regularizer.
        num_rows: number of rows that the regularizer gets.

    Example:
        >>> import torch
        >>> from pytorch_metric_learning.regularizers import LpRegularizer
        >>> float(OnFirstRows(LpRegularizer(p=1), 1)(torch.tensor([[1.0, 2.0], [9.0, 9.0]])))
        3.0
    """

    def __init__(self, regularizer: nn.Module, num_rows: int) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.num_rows = num_rows

    def forward(self, rows: Tensor) -> Tensor:
        return self.regularizer(rows[: self.num_rows])
