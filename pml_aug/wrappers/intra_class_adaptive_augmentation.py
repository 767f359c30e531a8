"""Intra-class Adaptive Augmentation around PML losses, with pairs or with proxies."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor

from pml_aug.host import COPIES, CopyMode
from pml_aug.statistics import (
    ClassStatistics,
    NeighborCorrection,
    isotropic_variance,
    shared_variance,
)
from pml_aug.synthesis.class_gaussian_copies import NOISE_STDS, class_gaussian_copies
from pml_aug.synthesis.pairs import random_circle
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_class_labels, check_flag, check_integer, check_number
from pml_aug.wrappers.base import Batch, LossWrapper, innermost
from pml_aug.wrappers.copies_wrapper import CopiesWrapper
from pml_aug.wrappers.misuse import warn_once
from pml_aug.wrappers.pooled_points_wrapper import PooledPointsWrapper
from pml_aug.wrappers.proxy_loss_wrapper import ProxyLossWrapper
from pml_aug.wrappers.spherical_embedding_expansion import SphericalEmbeddingExpansion

VARIANCES = ("class", "shared", "isotropic", "shuffled")
MANY_CLASSES = 1000  # with more, classes have few samples each, and the official code corrects by neighbours
CALLS_WITHOUT_REFRESH = 1000  # more than an epoch has in most trainings
ROWS_AT_A_TIME = 4096  # of a training set in `refresh`


class IntraClassAdaptiveAugmentation(CopiesWrapper):
    r"""A PML loss on a batch with Gaussian copies that have the variance of their class.

    .. math::
        z^m_i = x_i + \sqrt\lambda\, \hat\sigma_{y_i} \odot \epsilon^m_i, \quad \epsilon \sim \mathcal N(0, I),
        \quad m = 1, \dots, M

    :meth:`refresh` estimates the variances from the whole training set. Before its first call, with strength 0 or
    without copies, this is the baseline loss. The variances are constants to the gradient, which reaches each embedding
    through all of its copies. Pass embeddings as the network outputs them; the wrapped loss normalises.

    Pair and triplet losses get the copies as `ref_emb` after the batch, so that only rows of the batch are anchors. The
    self-copies of a row (itself and its copies) are not its positives, and the miner does not see them; copies of other
    classes are negatives. HistogramLoss, ThresholdConsistentMarginLoss and TripletMarginLoss(swap=True) get the same
    pairs in an enlarged batch. Losses with proxies, FastAPLoss, PNPLoss, RankedListLoss and SmoothAPLoss get the copies
    as ordinary rows. Around other wrappers, the loss inside them decides; EmbeddingExpansion and SymmetricalSynthesis
    make their points of the copies too, and wrappers around proxy losses take them for rows of the batch.

    Args:
        loss: a PML loss, or a wrapper around one: EmbeddingExpansion, SymmetricalSynthesis, or a wrapper around proxy
            losses.
        num_classes: C; labels are in 0 .. C - 1.
        embedding_size: D, width of the embeddings.
        miner: mines among batch and copies. Give it to an EmbeddingExpansion or SymmetricalSynthesis inside instead.
        strength: :math:`\lambda`, at least 0; may be set between epochs, for example by a schedule.
        num_copies: M, copies per row, at least 0.
        momentum: largest share of earlier statistics that :meth:`refresh` keeps, between 0 and 1; 0 is the paper.
        neighbor_correction: move the variances of classes with few samples towards those of similar classes; None
            does so for more than 1000 classes. The official code never uses the corrected variances in training: False.
        num_neighbors, beta, gamma, tau, mask_before_minmax: arguments of :class:`NeighborCorrection`. The official
            code is `tau=39, mask_before_minmax=False`.
        noise_std: "sqrt", or "repeated_sqrt" as in the official code, see :func:`class_gaussian_copies`.
        variances: of the copies of a class: "class" as above, or less of it, as controls that show what the class's own
            variance adds. "shuffled" is that of another class (one for each, drawn from torch's global generator at
            construction, as initial weights are), "shared" the mean over the classes, "isotropic" the mean over classes
            and dimensions. On average over the classes, the copies are as far from their rows with each of them.

    Attributes:
        num_synthetic: number of copies in the last call; 0 for the baseline loss, or if no row is compared with a copy.
        awaits_refresh: whether a refresh will come later, which suppresses a warning; set by
            :func:`refresh_statistics`. Set it to True in your own loop if its first epochs have no copies.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss or miner that IAA cannot be combined with; in a call,
            `indices_tuple` without `ref_emb` or beside a miner, or a label outside 0 .. C - 1.
        TypeError: `loss` or `miner` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss or miner.

    Source: Fu, Mao, Hu, Liu and Zhang, "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric
    Learning", TMM 2022. The official code is this wrapper with `noise_std="repeated_sqrt",
    neighbor_correction=False` around MultiSimilarityLoss(alpha=2, beta=40, base=0.5) with MultiSimilarityMiner, or
    around ContrastiveLoss(pos_margin=0.8, neg_margin=0.5, distance=CosineSimilarity(), reducer=SumReducer()) with
    its value divided by N.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> loss = IntraClassAdaptiveAugmentation(ContrastiveLoss(), num_classes=2, embedding_size=8)
        >>> loss.refresh(torch.randn(100, 8), torch.arange(100) % 2)
        >>> loss(torch.randn(8, 8), torch.arange(8) % 2).ndim
        0
    """

    needs: ClassVar[tuple[str, ...]] = (COPIES,)
    wraps: ClassVar[tuple[type[LossWrapper], ...]] = (
        PooledPointsWrapper,
        ProxyLossWrapper,
        SphericalEmbeddingExpansion,
    )
    off: ClassVar[Mapping[str, Any]] = {"num_copies": 0}

    variance_of_copies: Tensor | None  # where it is not that of the statistics
    others: Tensor | None  # (C,), long: the class whose variance each class gets, if they are shuffled

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_classes: int,
        embedding_size: int,
        miner: miners.BaseMiner | None = None,
        strength: float = 0.8,
        num_copies: int = 3,
        momentum: float = 0.2,
        neighbor_correction: bool | None = None,
        num_neighbors: int = 25,
        beta: float = 0.1,
        gamma: float = 0.1,
        tau: float = 40,
        noise_std: str = "sqrt",
        mask_before_minmax: bool = True,
        variances: str = "class",
    ) -> None:
        check_integer("num_copies", num_copies, minimum=0)
        check_choice("noise_std", noise_std, NOISE_STDS)
        check_choice("variances", variances, VARIANCES)
        if neighbor_correction is not None:
            check_flag("neighbor_correction", neighbor_correction)
        if neighbor_correction and num_classes < 2:
            raise ValueError(f"neighbor_correction=True needs num_classes to be at least 2, but got {num_classes}")
        super().__init__(loss, miner)
        self._check_parts()
        self.statistics = ClassStatistics(num_classes, embedding_size, momentum)
        corrects = num_classes > MANY_CLASSES if neighbor_correction is None else neighbor_correction
        correction = NeighborCorrection(num_neighbors, beta, gamma, tau, mask_before_minmax=mask_before_minmax)
        self.correction = correction if corrects else None
        self._variances = variances
        differs = corrects or variances != "class"
        self.register_buffer("variance_of_copies", torch.zeros(num_classes, embedding_size) if differs else None)
        self.register_buffer("others", random_circle(num_classes) if variances == "shuffled" else None)
        self.num_copies = num_copies
        self.noise_std = noise_std
        self.strength = strength
        self.initial_strength = strength
        self.add_to_recordable_attributes(list_of_names=["strength", "num_copies"], is_stat=False)
        self.awaits_refresh = False
        self._epochs_are_visible = False
        self.num_synthetic = 0
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)
        self.fix_attributes()

    @property
    def strength(self) -> float:
        """Lambda, the factor of the variance of the copies; part of the state dict."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        check_number("strength", value, minimum=0)
        self._strength = float(value)

    @property
    def variance(self) -> Tensor:
        """The variance of the copies of each class: (C, D)."""
        return self.statistics.variance if self.variance_of_copies is None else self.variance_of_copies

    def refresh(self, embeddings: Tensor, labels: Tensor) -> None:
        """Estimate the class statistics from the embeddings of a whole training set.

        Args:
            embeddings: (T, D), as the network outputs them in training.
            labels: (T,), in 0 .. C - 1.
        """
        seen = self.fresh_statistics()
        for rows, classes in zip(embeddings.split(ROWS_AT_A_TIME), labels.split(ROWS_AT_A_TIME), strict=True):
            seen.update(rows, classes)
        self.refresh_from(seen)

    def prepare(self, embeddings: Tensor, labels: Tensor) -> None:
        self.refresh(embeddings, labels)

    def fresh_statistics(self) -> ClassStatistics:
        """Empty statistics to gather a training set batch by batch, for :meth:`refresh_from`."""
        own = self.statistics
        return ClassStatistics(own.num_classes, own.embedding_size, momentum=1.0).to(own.mean)

    @torch.no_grad()
    def refresh_from(self, seen: ClassStatistics) -> None:
        """As :meth:`refresh`, from statistics of the training set that were gathered with :meth:`fresh_statistics`."""
        with torch.autocast(self.statistics.mean.device.type, enabled=False):
            corrected = None
            if self.correction is not None:
                merged = copy.deepcopy(self.statistics)  # if the correction fails, the statistics keep their values
                merged.merge(seen, skip_singletons=True)
                corrected = self.correction(merged.mean, merged.variance, seen.count.to(merged.count))
            self.statistics.merge(seen, skip_singletons=corrected is not None)
            if self.variance_of_copies is not None:
                own = self.statistics.variance if corrected is None else corrected
                self.variance_of_copies.copy_(self._chosen(own))

    def _chosen(self, variance: Tensor) -> Tensor:
        """The variances of the copies, from those of the classes: (C, D) -> (C, D)."""
        if self.others is not None:
            return variance[to_device(self.others, variance.device)]
        if self._variances == "class":
            return variance
        choose = shared_variance if self._variances == "shared" else isotropic_variance
        return choose(variance, self.statistics.count > 0)

    def train(self, mode: bool = True) -> "IntraClassAdaptiveAugmentation":
        """Set the mode. PML's trainers do so at the start of each epoch, which is when a missing refresh shows."""
        if mode and self.training:
            self._epochs_are_visible = True
            self._warn_without_refresh(after=1)
        super().train(mode)
        return self

    def _warn_without_refresh(self, after: int) -> None:
        """Warn if the loss has been the baseline loss in `after` training calls and no refresh is announced."""
        if self._num_training_calls >= after and self.statistics.is_empty and not self.awaits_refresh:
            warn_once(
                "IntraClassAdaptiveAugmentation has been called in training without statistics, so that it was the "
                "baseline loss: call `refresh` with the embeddings of the training set or "
                "pml_aug.hooks.refresh_from_loader, or use refresh_statistics in PML's trainers"
            )

    def get_extra_state(self) -> Tensor:
        """The strength, for `state_dict`: scalar, float64."""
        return torch.tensor(self.strength, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Set the strength, from `load_state_dict`."""
        self.strength = float(state)

    def wrapped(
        self, batch: Batch, noise: Tensor | None = None, generator: torch.Generator | None = None, **random_inputs: Any
    ) -> Tensor:
        """The wrapped loss on the batch and its copies.

        Args:
            batch: if it has a `ref_emb`, rows are compared with that and the copies of the batch. An `indices_tuple`
                then refers to `ref_emb` only, as in CrossBatchMemory; all pairs with copies are added.
            noise: (M, N, D), used instead of random numbers.
            generator: source of all random numbers, on any device; torch's global one by default.
            random_inputs: for a wrapper inside.
        """
        self.num_synthetic = 0
        self._check_batch(batch)
        if isinstance(self.loss, LossWrapper):
            random_inputs["generator"] = generator
        statistics = self.statistics
        if statistics.is_empty and not self._epochs_are_visible:
            self._warn_without_refresh(after=CALLS_WITHOUT_REFRESH)
        if statistics.is_empty or self.strength == 0 or self.num_copies == 0 or len(batch.labels) == 0:
            return self._baseline(batch, random_inputs)
        device = batch.embeddings.device
        if statistics.mean.device != device:
            statistics.to(device)
            self.variance_of_copies = None if self.variance_of_copies is None else self.variance_of_copies.to(device)
        if batch.labels.device != device:
            batch = batch._replace(labels=to_device(batch.labels, device))
        copies = class_gaussian_copies(
            batch.embeddings,
            batch.labels,
            self.variance,
            self.strength,
            self.num_copies,
            self.noise_std,
            noise,
            generator,
        )
        if self.loss_facts.copies is CopyMode.IN_BATCH:
            self.num_synthetic = len(copies.source)
            return self.with_copies_in_batch(batch, copies, random_inputs)
        self.num_synthetic = len(copies.source) if len(batch.labels) > 1 else 0  # a row has no pairs with its copies
        return self.with_copies_beside_batch(batch, copies, generator, random_inputs)

    def _baseline(self, batch: Batch, random_inputs: dict[str, Any]) -> Tensor:
        """The wrapped loss on the batch alone."""
        embeddings, labels, indices_tuple, ref_emb, ref_labels = batch
        if indices_tuple is None and self.miner is not None:
            indices_tuple = self.miner(embeddings, labels, ref_emb, ref_labels)
        return self.loss(embeddings, labels, indices_tuple, ref_emb, ref_labels, **random_inputs)

    def _check_parts(self) -> None:
        """Raise a ValueError if the parts, each accepted by itself, cannot be combined."""
        self.check_miner()
        name, loss, outer = type(self).__name__, innermost(self.loss), type(self.loss).__name__
        if isinstance(self.loss, LossWrapper) and self.miner is not None:
            raise ValueError(
                f"{name} takes no `miner` around {outer}: wrappers that pool distances mine by their own matrix, so "
                "give the miner to it, and the others take none"
            )
        if isinstance(self.loss, LossWrapper) and self.loss_facts.compares_all:
            raise ValueError(
                f"{name} cannot wrap {type(loss).__name__} in {outer}: its positives are all rows of the class, "
                f"self-copies included, and {outer} gives it their distances"
            )
        if self.loss_facts.copies is not CopyMode.IN_BATCH:
            self.check_square()

    def _check_batch(self, batch: Batch) -> None:
        """Raise a ValueError if a batch does not fit the statistics or the wrapped loss."""
        name, statistics = type(self).__name__, self.statistics
        size = statistics.embedding_size
        if batch.embeddings.shape[1] != size:
            raise ValueError(
                f"`embeddings` must have {size} columns (embedding_size), but got {batch.embeddings.shape[1]}"
            )
        check_class_labels(batch.labels, statistics.num_classes, of=name)
        if batch.ref_emb is not None and not self.loss_facts.reads_ref_emb:
            reason = self.loss_facts.reason_of("CrossBatchMemory")
            raise ValueError(f"{name} takes no `ref_emb` around {type(innermost(self.loss)).__name__}: {reason}")
        if batch.indices_tuple is None:
            return
        if batch.ref_emb is None:
            raise ValueError(
                f"{name} takes no `indices_tuple` of the batch, which was mined without the copies: give the miner to "
                "the wrapper instead of the trainer"
            )
        if self.miner is not None or getattr(self.loss, "miner", None) is not None:
            raise ValueError(
                f"{name} takes no `indices_tuple` beside its own miner, which would leave it unused: give the miner to "
                "the caller, such as CrossBatchMemory, or leave `indices_tuple` out"
            )
