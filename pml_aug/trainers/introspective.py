"""Metric learning on images and on mixtures of them (IDML's training)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pytorch_metric_learning.trainers import MetricLossOnly
from pytorch_metric_learning.utils import common_functions as c_f
from torch import Tensor

from pml_aug.distances.introspective_base import check_introspective
from pml_aug.synthesis.mix_classes import draw_mixing
from pml_aug.to_device import to_device

COMBINE = ("sum", "mean")


class MixupDraw(NamedTuple):
    """What is random in one step."""

    mixing: float  # lambda, in [0, 1]
    permutation: Tensor  # (N,), long: row i is mixed with row permutation[i]


def mixup_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    embed: Callable[[Tensor], Tensor],
    data: Tensor,
    labels: Tensor,
    mixing: float,
    permutation: Tensor,
    combine: str = "sum",
) -> Tensor:
    r"""The loss of a batch, and of its mixtures under either image's labels.

    .. math::
        L = \ell(f(x), y) + \lambda\, \ell(f(\tilde x), y) + (1 - \lambda)\, \ell(f(\tilde x), y_\pi), \quad
        \tilde x = \lambda x + (1 - \lambda) x_\pi

    Args:
        loss: any PML loss, or a function that mines before it asks one.
        embed: f; runs twice.
        data: x, images as floating-point numbers.
        labels: y.
        mixing: :math:`\lambda` in [0, 1].
        permutation: :math:`\pi`, the row that each row is mixed with.
        combine: "sum" as above, as the official code; "mean" halves it, so that the weights add up to 1.

    Shapes:
        (N, ...), (N,) -> what `loss` gives

    Raises:
        ValueError: `combine` is neither; integers in place of images.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML (train.py).

    Example:
        >>> data, labels, turned = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), torch.tensor([1, 0])
        >>> def error(embeddings, labels):
        ...     return (embeddings.squeeze(1) - labels).abs().mean()
        >>> mixup_loss(error, lambda x: x, data, labels, mixing=0.5, permutation=turned).item()
        1.0
    """
    if combine not in COMBINE:
        raise ValueError(f"Expected argument `combine` to be one of {COMBINE} but got {combine!r}")
    if not data.is_floating_point():
        raise ValueError(f"mixup needs images as floating-point numbers, but got {data.dtype}")
    original = loss(embed(data), labels)
    mixed = embed(mixing * data + (1 - mixing) * data[to_device(permutation, data.device)])
    permuted_labels = labels[to_device(permutation, labels.device)]
    total = original + mixing * loss(mixed, labels) + (1 - mixing) * loss(mixed, permuted_labels)
    return total / 2 if combine == "mean" else total


class IntrospectiveTrainer(MetricLossOnly):
    r"""PML's MetricLossOnly that also trains on mixtures of the batch's images, see :func:`mixup_loss`.

    Each step draws :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` and a permutation of the batch. The trunk runs
    twice, so that a step takes about twice as long. The `tuple_miner` mines for each of the three terms anew. With an
    :class:`~pml_aug.heads.IntrospectiveHead` as embedder and an introspective distance this is IDML; with an ordinary
    head and loss it is the control that the comparison with IDML needs. IDML without mixup is PML's own trainer.

    Args:
        args: of MetricLossOnly.
        alpha: of the Beta distribution, above 0; 1 draws every mixture equally often.
        mixup_combine: "sum" or "mean" of the terms.
        generator: of the draws, on the CPU; torch's global one by default.
        kwargs: of MetricLossOnly.

    Raises:
        ValueError: `alpha` or `mixup_combine` out of range; an IntrospectiveHead or miner that does not go together
            with the loss, see :func:`pml_aug.distances.check_introspective`.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML (train.py). There
    all gradients are clipped to [-10, 10] (`gradient_clippers`), and in the first epochs the semantic layer and the
    loss train alone.

    Example:
        >>> from pytorch_metric_learning.losses import ProxyAnchorLoss
        >>> from pml_aug import distances, heads
        >>> images, labels = torch.randn(8, 6), torch.arange(8) % 2
        >>> models = {"trunk": torch.nn.Identity(), "embedder": heads.IntrospectiveHead(6, 4)}
        >>> loss = ProxyAnchorLoss(2, 4, distance=distances.IntrospectiveSimilarity(4))
        >>> trainer = IntrospectiveTrainer(
        ...     models=models,
        ...     optimizers={
        ...         "embedder_optimizer": torch.optim.SGD(models["embedder"].parameters(), lr=0.1),
        ...         "metric_loss_optimizer": torch.optim.SGD(loss.parameters(), lr=0.1),
        ...     },
        ...     batch_size=4,
        ...     loss_funcs={"metric_loss": loss},
        ...     dataset=torch.utils.data.TensorDataset(images, labels),
        ...     dataloader_num_workers=0,
        ... )
        >>> trainer.train(num_epochs=1)
    """

    def __init__(
        self,
        *args: Any,
        alpha: float = 1.0,
        mixup_combine: str = "sum",
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, but got {alpha}; to train without mixup, use MetricLossOnly")
        if mixup_combine not in COMBINE:
            raise ValueError(f"Expected argument `mixup_combine` to be one of {COMBINE} but got {mixup_combine!r}")
        super().__init__(*args, **kwargs)
        for loss in self.loss_funcs.values():
            check_introspective(loss, self.mining_funcs.get("tuple_miner"), self.models.get("embedder"))
        self.alpha = alpha
        self.mixup_combine = mixup_combine
        self.generator = generator

    def calculate_loss(self, curr_batch: tuple[Tensor, Tensor], draw: MixupDraw | None = None) -> None:
        """Sets `losses`; a `draw` handed in takes the place of a random one."""
        data, labels = curr_batch
        data = c_f.to_device(data, device=self.data_device, dtype=self.dtype)
        mixing, permutation = self.draw(len(data)) if draw is None else draw
        self.losses["metric_loss"] = mixup_loss(
            self.mined_loss, self.compute_embeddings, data, labels, mixing, permutation, self.mixup_combine
        )

    def draw(self, batch_size: int) -> MixupDraw:
        """A random mixture for a batch of this size, drawn on the CPU so that no device waits."""
        return MixupDraw(draw_mixing(self.alpha, self.generator), torch.randperm(batch_size, generator=self.generator))

    def mined_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The metric loss on the tuples that the miner, if there is one, finds under these labels."""
        return self.maybe_get_metric_loss(embeddings, labels, self.maybe_mine_embeddings(embeddings, labels))
