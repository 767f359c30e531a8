"""Memory-based virtual classes (MemVir) around any PML loss with proxies of its classes."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.delegating import PrecomputedDistance
from pml_aug.synthesis.earlier_steps import EarlierSteps, Step
from pml_aug.validation import check_flag
from pml_aug.wrappers.base import Batch
from pml_aug.wrappers.proxy_loss_wrapper import ProxyLossWrapper


class MemoryBasedVirtualClasses(ProxyLossWrapper):
    r"""A proxy loss in which the classes of earlier steps are classes of their own.

    Of the steps before this one, t, every (M + 1)-th is chosen, at most N of them: :math:`s_1, \dots, s_K`, newest
    first. The wrapped loss runs unchanged on

    .. math::
        \text{rows } [x_t; x_{s_1}; \dots; x_{s_K}], \quad
        \text{labels } [y_t; y_{s_1} + C; \dots; y_{s_K} + K C], \quad
        \text{proxies } [P_t; P_{s_1}; \dots; P_{s_K}]

    with (1 + K) C classes. The positives of an earlier row are the proxies of its own step; the present proxies of the
    same class are negatives. The gradient reaches the present rows and, from all rows, the present proxies; what is
    remembered is constant. A reducer that takes the mean over all rows, as PML's do by default, gives the present ones
    the weight 1 / (1 + K). Regularizers see the present rows and proxies only.

    A call in training mode ends with storing its step, unless it fails. In evaluation mode this is the baseline loss
    and nothing is stored. N (M + 1) steps are stored with `store="every_step"`, each with B rows and all proxies:
    N (M + 1) (C + B) D numbers, for example 229 MB for N = 45, M = 10, C = 98, B = 128, D = 512, and 11.8 GB for N = 5,
    M = 100, C = 11,318. The memory is part of the state dict.

    Args:
        loss: a PML loss with proxies of its classes.
        num_steps: N, earlier steps at a time, an integer of at least 0; 0 is the baseline loss.
        step_gap: M, steps between two of them, an integer of at least 0.
        store: "every_step" (the official code) or "strided" (N steps are stored instead of N (M + 1), by which the
            k-th of the chosen steps is up to M steps younger, see :class:`EarlierSteps`).
        active: False stores and chooses nothing: the baseline loss. :func:`start_virtual_classes` sets it to True
            after the first epochs, as the official code does.

    Attributes:
        num_synthetic: virtual classes of the last call, K C.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss without proxies of its classes; in a call, `indices_tuple` or
            `ref_emb`, or a label outside 0 .. C - 1.
        TypeError: `loss` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss.

    Source: Ko, Gu and Kim, "Learning with Memory-based Virtual Classes for Deep Metric Learning", ICCV 2021;
    github.com/navervision/MemVir. That code is this wrapper around NormalizedSoftmaxLoss(temperature=1 / scale) or
    ProxyNCALoss(softmax_scale=scale). Deviations: the memory is part of the state dict, where the official checkpoint
    starts again; num_steps=-1, the default of the official command, which never returns, is refused.

    Example:
        >>> from pytorch_metric_learning.losses import ProxyAnchorLoss
        >>> loss = MemoryBasedVirtualClasses(ProxyAnchorLoss(num_classes=4, embedding_size=2), num_steps=2, step_gap=0)
        >>> for step in range(3):
        ...     value = loss(torch.randn(8, 2), torch.arange(8) % 4)
        ...     print(loss.num_synthetic)
        0
        4
        8
    """

    off: ClassVar[Mapping[str, Any]] = {"num_steps": 0}

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_steps: int = 5,
        step_gap: int = 100,
        store: str = "every_step",
        active: bool = True,
    ) -> None:
        check_flag("active", active)
        super().__init__(loss)
        self.memory = EarlierSteps(num_steps, step_gap, store)
        self.active = active
        self.add_to_recordable_attributes(list_of_names=["num_steps", "step_gap"], is_stat=False)
        self.num_synthetic = 0
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)
        self.fix_attributes()

    @property
    def num_steps(self) -> int:
        """Earlier steps at a time."""
        return self.memory.num_steps

    @property
    def step_gap(self) -> int:
        """Steps between two of them."""
        return self.memory.step_gap

    def prepare(self, embeddings: Tensor, labels: Tensor) -> None:
        self.active = True
        self.memory.fill(embeddings, labels, self.layout.rows(self.loss))

    def get_extra_state(self) -> Tensor:
        """Whether it is active, for `state_dict`: scalar, bool."""
        return torch.tensor(self.active)

    def set_extra_state(self, state: Tensor) -> None:
        """Set whether it is active, from `load_state_dict`."""
        self.active = bool(state)

    def wrapped(self, batch: Batch, **random_inputs: Any) -> Tensor:
        self.num_synthetic = 0
        self.check_batch(batch)
        if not (self.active and self.training and self.num_steps):
            return self.loss(*batch[:2])
        device = batch.embeddings.device
        if any(step.proxies.device != device for step in self.memory.steps[-1:]):
            self.memory.to(device)
        batch = batch._replace(labels=self.labels_on(device, batch.labels))
        earlier = self.memory.chosen()
        value = self._with_virtual_classes(batch, earlier) if earlier else self.loss(*batch[:2])
        self.memory.append(*batch[:2], self.layout.rows(self.loss))
        self.num_synthetic = len(earlier) * self.num_classes
        return value

    def _with_virtual_classes(self, batch: Batch, earlier: list[Step]) -> Tensor:
        self.layout.normalize_in_place(self.loss)  # by itself the loss would normalise the enlarged copy only
        present = Step(batch.embeddings, batch.labels, self.layout.rows(self.loss).to(batch.embeddings))
        steps = [present, *earlier]
        rows, proxies = (torch.cat([step[part].to(present.embeddings) for step in steps]) for part in (0, 2))
        labels = torch.cat([step.labels + number * self.num_classes for number, step in enumerate(steps)])
        distance = None
        if self.compares_by_cosine:
            distance = PrecomputedDistance(self.loss.distance, _cosines(present, rows, proxies))
        return self.enlarged_loss(rows, labels, proxies, len(present.labels), distance)


def _cosines(present: Step, rows: Tensor, proxies: Tensor) -> Tensor:
    """The cosines of all rows with all proxies, where the block of earlier rows and proxies takes no part in backward.

    With K earlier steps, this saves two of three products in K^2 of (1 + K)^2 blocks.
    """
    num_rows, num_proxies = len(present.labels), len(present.proxies)
    rows_now, proxies_now = normalize(present.embeddings), normalize(present.proxies)
    rows_then, proxies_then = normalize(rows[num_rows:].detach()), normalize(proxies[num_proxies:].detach())
    above = torch.cat([rows_now @ proxies_now.T, rows_now @ proxies_then.T], dim=1)
    below = torch.cat([rows_then @ proxies_now.T, rows_then @ proxies_then.T], dim=1)
    return torch.cat([above, below])
