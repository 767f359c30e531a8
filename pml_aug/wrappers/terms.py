"""Sums of several calls of one loss, as a number or as the losses that a reducer left alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn

from pml_aug.patching import patched


class Term(NamedTuple):
    """One call of a loss in a sum."""

    name: str  # before the names of its losses where nothing is reduced; "" for the loss of the batch
    weight: float
    value: Any  # a tensor; or, with PML's DoNothingReducer, a dictionary of losses


def weighted_sum(terms: list[Term]) -> Any:
    """The sum of the terms, each times its weight; where nothing is reduced, all of their losses in one dictionary.

    In the dictionary the losses of a term are called "term.loss", and have an entry "weight" that a later sum has to
    use. Those of the term "" keep their names.

    Example:
        >>> weighted_sum([Term("", 1, 3.0), Term("synthetic", 0.5, 4.0)])
        5.0
        >>> weighted_sum([Term("", 1, {"loss": {}}), Term("synthetic", 0.5, {"loss": {}})])
        {'loss': {'weight': 1}, 'synthetic.loss': {'weight': 0.5}}
    """
    if isinstance(terms[0].value, dict):
        return {
            f"{term.name}.{name}".lstrip("."): {**losses, "weight": term.weight}
            for term in terms
            for name, losses in term.value.items()
        }
    first, *others = (term.value if term.weight == 1 else term.weight * term.value for term in terms)
    return sum(others, first)


@contextmanager
def without_regularizers(loss: nn.Module) -> Iterator[None]:
    """Let `loss` regularize nothing inside the block, so that a further call does not count its regularizers twice.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> from pytorch_metric_learning.regularizers import LpRegularizer
        >>> loss = ContrastiveLoss(embedding_regularizer=LpRegularizer())
        >>> with without_regularizers(loss):
        ...     loss.embedding_regularizer is None
        True
    """
    with patched(loss, embedding_regularizer=None, weight_regularizer=None):
        yield
