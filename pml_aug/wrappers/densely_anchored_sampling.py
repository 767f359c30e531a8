"""Densely-Anchored Sampling around PML losses, with pairs or with proxies."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.introspective_base import IntrospectiveBase
from pml_aug.host import COPIES, CopyMode
from pml_aug.statistics.channel_counts import ChannelCounts
from pml_aug.statistics.difference_bank import DifferenceBank
from pml_aug.synthesis.scaled_and_shifted import scaled_and_shifted
from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_class_labels, check_flag, check_integer, check_number
from pml_aug.wrappers.base import Batch, LossWrapper
from pml_aug.wrappers.copies_wrapper import CopiesWrapper
from pml_aug.wrappers.terms import Term, weighted_sum, without_regularizers

ANCHORS = ("all", "originals")


class DenselyAnchoredSampling(CopiesWrapper):
    r"""A PML loss on a batch with copies that are scaled in the channels of their class and shifted within it.

    A call in training mode, with rows v of unit length and labels y, does three things in this order:

    1. counts the K largest channels of each row for its class (:class:`ChannelCounts`);
    2. stores the differences between rows of one class (:class:`DifferenceBank`, Q per class);
    3. makes T copies of each row,

    .. math:: v'^t_i = n(s^t_i \odot v_i + r\, \tau^t_i)

    with :math:`s^t_i` drawn from U[lo, hi) in the K most frequent channels of class y and 1 elsewhere, and
    :math:`\tau^t_i` one of the stored differences of the class, each equally likely (0 if there is none).

    The wrapped loss runs unchanged on the batch followed by its copies, all of which are anchors, positives and
    negatives; the copies of a row are its positives. With `anchors="originals"` only the rows of the batch are anchors,
    and their own copies are not their positives; with three copies, these are a quarter of the pairs. Each copy has the
    length of its row, which only a loss that does not normalise sees. Statistics are constants to the gradient, and
    with `detach=True` the copies are, too. Regularizers see the batch only. In evaluation mode, and without copies,
    this is the baseline loss and the state does not change.

    Args:
        loss: a PML loss of rows with labels.
        num_classes: C; labels are in 0 .. C - 1.
        embedding_size: D, width of the embeddings.
        miner: mines among batch and copies.
        num_copies: T, copies per row, at least 0.
        num_channels: K, scaled channels, between 1 and D.
        scale_range: lo and hi of the factors. The official code has (0.5, 2.0) for SOP and by default.
        bank_size: Q, differences per class, at least 1.
        shift: r, factor of the differences, at least 0.
        normalize: rows and copies are brought to unit length, as by the official backbones; False leaves out both.
        detach: copies are constants; False lets the gradient reach each row through its copies.
        original_weight: the loss of the batch alone is added with this weight, at least 0.
        anchors: "all" as above, or "originals", for pair and triplet losses.

    Attributes:
        num_synthetic: number of copies in the last call; 0 if no row is compared with a copy.
        counts: the :class:`ChannelCounts`.
        bank: the :class:`DifferenceBank`.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss or miner that DAS cannot be combined with; in a call,
            `indices_tuple`, `ref_emb`, or a label outside 0 .. C - 1.
        TypeError: `loss` or `miner` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss or miner.

    Source: Liu et al., "DAS: Densely-Anchored Sampling for Deep Metric Learning", ECCV 2022;
    github.com/lizhaoliu-Lec/DAS. That code is this wrapper around MultiSimilarityLoss(2, 40, 0.5,
    reducer=AvgNonZeroReducer()) with MultiSimilarityMiner(0.1), with the options of its scripts; its `aux_loss` with
    weight w is w times this loss with `original_weight=1 / w`. Deviations: of equally frequent channels the lowest come
    first, an arbitrary choice there; a batch without pairs gives zero, an error there.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> loss = DenselyAnchoredSampling(ContrastiveLoss(), num_classes=2, embedding_size=8)
        >>> loss(torch.randn(8, 8), torch.arange(8) % 2).ndim, loss.num_synthetic
        (0, 24)
    """

    needs: ClassVar[tuple[str, ...]] = (COPIES,)
    wraps: ClassVar[tuple[type[LossWrapper], ...]] = ()
    off: ClassVar[Mapping[str, Any]] = {"num_copies": 0}
    takes_ref_emb: ClassVar[bool] = False

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_classes: int,
        embedding_size: int,
        miner: miners.BaseMiner | None = None,
        num_copies: int = 3,
        num_channels: int = 4,
        scale_range: Sequence[float] = (0.99, 1.01),
        bank_size: int = 10,
        shift: float = 0.01,
        normalize: bool = True,
        detach: bool = True,
        original_weight: float = 0.0,
        anchors: str = "all",
    ) -> None:
        check_integer("num_copies", num_copies, minimum=0)
        check_integer("num_channels", num_channels, minimum=1)
        check_number("shift", shift, minimum=0)
        check_number("original_weight", original_weight, minimum=0)
        check_flag("normalize", normalize)
        check_flag("detach", detach)
        check_choice("anchors", anchors, ANCHORS)
        if len(scale_range) != 2:
            raise ValueError(f"scale_range must be two numbers, lowest and highest factor, but got {scale_range!r}")
        lowest, highest = scale_range
        check_number("scale_range[0]", lowest)
        check_number("scale_range[1]", highest, minimum=lowest)
        super().__init__(loss, miner)
        self.check_miner()
        if anchors == "originals":
            self._check_other_anchors()
        if any(isinstance(module, IntrospectiveBase) for module in self.modules()):
            raise ValueError(
                f"DenselyAnchoredSampling cannot wrap {type(loss).__name__} with an introspective distance: the "
                "channels of an uncertainty are not comparable with those of the embedding"
            )
        self.counts = ChannelCounts(num_classes, embedding_size)
        self.bank = DifferenceBank(num_classes, embedding_size, bank_size)
        if num_channels > embedding_size:
            raise ValueError(f"num_channels must be at most embedding_size ({embedding_size}), but got {num_channels}")
        self.num_copies = num_copies
        self.num_channels = num_channels
        self.scale_range = (float(lowest), float(highest))
        self.shift = float(shift)
        self.original_weight = float(original_weight)
        self._to_unit, self._detach, self._anchors = normalize, detach, anchors
        self.add_to_recordable_attributes(list_of_names=["num_copies", "num_channels", "shift"], is_stat=False)
        self.num_synthetic = 0
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)
        self.fix_attributes()

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.counts.count)

    def wrapped(
        self,
        batch: Batch,
        scale: Tensor | None = None,
        channels: Tensor | None = None,
        choice: Tensor | None = None,
        generator: torch.Generator | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The wrapped loss on the batch and its copies.

        Args:
            batch: labels are in 0 .. C - 1.
            scale: (T, N, K), the factors, used instead of random numbers.
            channels: (T, N, K), long, the scaled channels, used instead of the most frequent ones.
            choice: (T, N), long, the place of the difference in the bank of the row's class, used instead of random
                numbers; 0 where the bank is empty.
            generator: source of all random numbers, on any device; torch's global one by default.
            random_inputs: not used, as the wrapped loss is no wrapper.
        """
        self.num_synthetic = 0
        self._check_batch(batch)
        embeddings, labels = batch[:2]
        if not self.training or self.num_copies == 0 or len(labels) == 0:
            return self.loss(embeddings, labels, self._mined(embeddings, labels))
        shape = (self.num_copies, len(labels), self.num_channels)
        shapes = {"scale": shape, "channels": shape, "choice": shape[:2]}
        for (name, expected), given in zip(shapes.items(), (scale, channels, choice), strict=True):
            if given is not None and given.shape != expected:
                raise ValueError(f"`{name}` must be of shape {expected}, but got {tuple(given.shape)}")
        copies = self._copies(embeddings, labels, scale, channels, choice, generator)
        there = batch._replace(labels=to_device(labels, embeddings.device))
        if self._anchors == "originals":
            self.num_synthetic = len(copies.source) if len(labels) > 1 else 0  # a row has no pairs with its copies
            value = self.with_copies_beside_batch(there, copies, generator)
        else:
            self.num_synthetic = len(copies.source)
            value = self.with_copies_in_batch(there, copies)
        if self.original_weight == 0:
            return value
        with without_regularizers(self.loss):
            original = self.loss(embeddings, labels, self._mined(embeddings, labels))
        return weighted_sum([Term("", 1, value), Term("original", self.original_weight, original)])

    def _copies(
        self,
        embeddings: Tensor,
        labels: Tensor,
        scale: Tensor | None,
        channels: Tensor | None,
        choice: Tensor | None,
        generator: torch.Generator | None,
    ) -> Synthetic:
        """The copies, after the statistics have taken in the batch."""
        device = embeddings.device
        if (self.bank.differences.device, self.bank.differences.dtype) != (device, embeddings.dtype):
            self.bank.to(embeddings)
            self.counts.to(device)
        there = labels if labels.device == device else to_device(labels, device)
        rows = normalize(embeddings) if self._to_unit else embeddings
        self.counts.update(rows, there, self.num_channels)
        self.bank.update(rows.detach(), labels)

        if self._detach:
            rows, embeddings = rows.detach(), embeddings.detach()
        shape = (self.num_copies, len(labels), self.num_channels)
        drawn_on = device if generator is None else generator.device
        if scale is None:
            lowest, highest = self.scale_range
            scale = torch.empty(shape, device=drawn_on, dtype=rows.dtype).uniform_(lowest, highest, generator=generator)
        if channels is None:
            channels = self.counts.most_frequent(there, self.num_channels).expand(shape)
        if choice is None:
            share = to_device(torch.rand(shape[:2], device=drawn_on, generator=generator), device)
            choice = (share * self.bank.number_of(there)).long()
        shift = self.bank.choose(there, to_device(choice, device)).mul_(self.shift)
        channels, scale = to_device(channels, device), to_device(scale, device)
        copies = scaled_and_shifted(rows, there, channels, scale, shift, self._to_unit)
        if not self._to_unit:
            return copies
        lengths = embeddings.norm(dim=1, keepdim=True).repeat(self.num_copies, 1)
        return copies._replace(embeddings=copies.embeddings.mul_(lengths))

    def _mined(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, ...] | None:
        return None if self.miner is None else self.miner(embeddings, labels)

    def _check_other_anchors(self) -> None:
        """Raise a ValueError if the loss has no anchors beside which copies could be."""
        if self.loss_facts.copies is CopyMode.IN_BATCH:
            compared = "each other" if self.loss_facts.proxies is None else "proxies"
            raise ValueError(
                f'DenselyAnchoredSampling takes no anchors="originals" around {type(self.loss).__name__}, which '
                f'compares all of its rows with {compared}: use anchors="all"'
            )
        self.check_square()

    def _check_batch(self, batch: Batch) -> None:
        """Raise a ValueError for a batch that does not fit the statistics, or that was mined without the copies."""
        num_classes, size = self.counts.count.shape
        if batch.indices_tuple is not None:
            raise ValueError(
                "DenselyAnchoredSampling takes no `indices_tuple`, which was mined without the copies: give the miner "
                "to the wrapper instead of the trainer"
            )
        if batch.ref_emb is not None:
            raise ValueError(
                "DenselyAnchoredSampling takes no `ref_emb`: it compares batch and copies with each other; leave it out"
            )
        if batch.embeddings.shape[1] != size:
            raise ValueError(
                f"`embeddings` must have {size} columns (embedding_size), but got {batch.embeddings.shape[1]}"
            )
        check_class_labels(batch.labels, num_classes, of=type(self).__name__)
