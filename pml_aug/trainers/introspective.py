"""Trainer for metric learning on images and mixtures of images (IDML)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pytorch_metric_learning.trainers import MetricLossOnly
from pytorch_metric_learning.utils import common_functions as c_f
from torch import Tensor

from pml_aug.distances.introspective_base import check_introspective
from pml_aug.synthesis.mix_classes import draw_mixing
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_integer, check_number

COMBINE = ("sum", "mean")


class MixupDraw(NamedTuple):
    """The random inputs of one step."""

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
    r"""The loss of a batch plus the losses of its mixtures with the labels of each of the two images.

    .. math::
        L = \ell(f(x), y) + \lambda\, \ell(f(\tilde x), y) + (1 - \lambda)\, \ell(f(\tilde x), y_\pi), \quad
        \tilde x = \lambda x + (1 - \lambda) x_\pi

    Args:
        loss: any PML loss, or a function that mines and then calls one.
        embed: f; called twice.
        data: x, images of a floating-point dtype.
        labels: y, integers.
        mixing: :math:`\lambda`, in [0, 1].
        permutation: :math:`\pi`, (N,), integers: the row that each row is mixed with; :func:`draw_mixup` draws both.
        combine: "sum" as above and in the official code; "mean" halves it, so that the weights add up to 1.

    Shapes:
        (N, ...), (N,) -> the output of `loss`

    Raises:
        TypeError: `mixing` is not a number.
        ValueError: `mixing` or `combine` out of range; images of an integer dtype.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML (train.py).

    Example:
        >>> data, labels, swap = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), torch.tensor([1, 0])
        >>> def error(embeddings, labels):
        ...     return (embeddings.squeeze(1) - labels).abs().mean()
        >>> mixup_loss(error, lambda x: x, data, labels, mixing=0.5, permutation=swap).item()
        1.0
    """
    check_number("mixing", mixing, minimum=0, maximum=1)
    check_choice("combine", combine, COMBINE)
    if not data.is_floating_point():
        raise ValueError(f"mixup needs images as floating-point numbers, but got {data.dtype}")
    original = loss(embed(data), labels)
    mixed = embed(mixing * data + (1 - mixing) * data[to_device(permutation, data.device)])
    permuted_labels = labels[to_device(permutation, labels.device)]
    total = original + mixing * loss(mixed, labels) + (1 - mixing) * loss(mixed, permuted_labels)
    return total / 2 if combine == "mean" else total


def draw_mixup(batch_size: int, alpha: float = 1.0, generator: torch.Generator | None = None) -> MixupDraw:
    r"""The random inputs of :func:`mixup_loss` for one batch: :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, rows.

    Both are drawn on the CPU, so that no accelerator synchronises.

    Args:
        batch_size: N, number of images.
        alpha: above 0; 1 is the uniform distribution, smaller values draw mixtures closer to one of the two images.
        generator: source of the random numbers, on the CPU; by default torch's global generator.

    Raises:
        TypeError: an argument of another type.
        ValueError: `alpha` is not above 0.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML (train.py).

    Example:
        >>> mixing, permutation = draw_mixup(4)
        >>> 0 <= mixing <= 1, sorted(permutation.tolist())
        (True, [0, 1, 2, 3])
    """
    check_integer("batch_size", batch_size, minimum=0)
    return MixupDraw(draw_mixing(alpha, generator), torch.randperm(batch_size, generator=generator))


class IntrospectiveTrainer(MetricLossOnly):
    r"""PML's MetricLossOnly with mixup: it also trains on mixtures of the images of a batch, see :func:`mixup_loss`.

    Each step draws :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` and a permutation of the batch. The trunk runs
    twice, so a step takes about twice as long. The `tuple_miner` mines separately for each of the three terms. With an
    :class:`~pml_aug.heads.IntrospectiveHead` as embedder and an introspective distance this is IDML; with an ordinary
    head and loss it is the control of that comparison. For IDML without mixup use MetricLossOnly.

    Args:
        args: for MetricLossOnly.
        alpha: parameter of the Beta distribution, above 0; 1 is the uniform distribution, smaller values draw mixtures
            closer to one of the two images.
        mixup_combine: "sum" or "mean" of the terms.
        generator: source of the random numbers, on the CPU; by default torch's global generator.
        kwargs: for MetricLossOnly.

    Shapes:
        batches of images (N, ...) and labels (N,) -> `losses["metric_loss"]`, scalar

    Raises:
        TypeError: an argument of another type.
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
        check_number("alpha", alpha, above=0, hint="to train without mixup, use MetricLossOnly")
        check_choice("mixup_combine", mixup_combine, COMBINE)
        if generator is not None and generator.device.type != "cpu":
            raise ValueError(f"generator must be on the CPU, but is on {generator.device}")
        super().__init__(*args, **kwargs)
        for loss in self.loss_funcs.values():
            check_introspective(loss, self.mining_funcs.get("tuple_miner"), self.models.get("embedder"))
        self.alpha = alpha
        self.mixup_combine = mixup_combine
        self.generator = generator

    def calculate_loss(self, curr_batch: tuple[Tensor, Tensor], draw: MixupDraw | None = None) -> None:
        """Set `losses` from a batch; `draw` replaces the random draw."""
        data, labels = curr_batch
        data = c_f.to_device(data, device=self.data_device, dtype=self.dtype)
        mixing, permutation = self.draw(len(data)) if draw is None else draw
        self.losses["metric_loss"] = mixup_loss(
            self.mined_loss, self.compute_embeddings, data, labels, mixing, permutation, self.mixup_combine
        )

    def draw(self, batch_size: int) -> MixupDraw:
        """Random inputs for a batch of this size, drawn on the CPU so that no accelerator synchronises."""
        return draw_mixup(batch_size, self.alpha, self.generator)

    def mined_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The metric loss, with tuples that the miner, if any, finds for these labels."""
        return self.maybe_get_metric_loss(embeddings, labels, self.maybe_mine_embeddings(embeddings, labels))
