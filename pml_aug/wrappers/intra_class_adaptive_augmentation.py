"""Intra-class Adaptive Augmentation around PML losses, with pairs or with proxies."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from pml_aug.distances.cosines import copied_cosines, is_plain_cosine
from pml_aug.distances.delegating import PrecomputedDistance, same_distance
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.patching import patched
from pml_aug.statistics import ClassStatistics, NeighborCorrection
from pml_aug.synthesis.class_gaussian_copies import NOISE_STDS, class_gaussian_copies
from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.to_device import to_device
from pml_aug.validation import check_choice, check_class_labels, check_flag, check_integer, check_number
from pml_aug.wrappers.base import Batch, IndicesTuple, LossWrapper, innermost
from pml_aug.wrappers.candidates import candidates_of, every_tuple, with_own_farthest, with_pairs_of_copies
from pml_aug.wrappers.embedding_expansion import EmbeddingExpansion
from pml_aug.wrappers.handover import Handover, check_batch, check_handover, handover_of, reads_pairs_only
from pml_aug.wrappers.own_copies import WithoutOwnCopies, mined
from pml_aug.wrappers.proxies import OnFirstRows

MANY_CLASSES = 1000  # above, classes have few samples each, and the official code corrects by neighbours
ROWS_AT_A_TIME = 4096  # of a training set


class IntraClassAdaptiveAugmentation(LossWrapper):
    r"""A PML loss on a batch with Gaussian copies, spread as each class's embeddings are.

    .. math::
        z^m_i = x_i + \sqrt\lambda\, \hat\sigma_{y_i} \odot \epsilon^m_i, \quad \epsilon \sim \mathcal N(0, I),
        \quad m = 1, \dots, M

    The variances are taken from the whole training set with :meth:`refresh`, before the first call of which, as with
    strength 0 or no copies, the bare loss is returned. They are constants to the gradient, which reaches every
    embedding through all its copies. Embeddings come as the network gives them; the wrapped loss normalises.

    Pair and triplet losses keep the batch as anchors and get the copies as further candidates (`ref_emb`). A row is
    never the positive of its own copies, and the miner does not see them; its negatives are all copies of other
    classes. HistogramLoss, ThresholdConsistentMarginLoss and TripletMarginLoss(swap=True) get the same pairs as an
    enlarged batch. Losses with proxies, FastAPLoss, PNPLoss, RankedListLoss and SmoothAPLoss get the copies as ordinary
    samples. EmbeddingExpansion and ProxySynthesis are treated as the loss inside them is, and EmbeddingExpansion
    expands the copies too.

    Args:
        loss: a PML loss, or EmbeddingExpansion or ProxySynthesis around one.
        num_classes: C; labels are 0 .. C - 1.
        embedding_size: D, width of the embeddings.
        miner: chooses among batch and copies; inside EmbeddingExpansion, give it to that.
        strength: :math:`\lambda`, at least 0; a schedule may set it between epochs.
        num_copies: M, at least 0.
        momentum: in [0, 1]; share of earlier statistics that :meth:`refresh` keeps at most. 0 is the paper.
        neighbor_correction: draw classes with few samples towards their neighbours; None does so for more than 1000
            classes. The official code never uses the corrected variances in training: False.
        num_neighbors, beta, gamma, tau, mask_before_minmax: of :class:`NeighborCorrection`. The official code is
            `tau=39, mask_before_minmax=False`.
        noise_std: "sqrt", or "repeated_sqrt" as in the official code, see :func:`class_gaussian_copies`.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer gives

    Raises:
        ValueError: an argument out of range; a loss or miner that IAA makes no sense around; in a call,
            `indices_tuple` without `ref_emb` or beside a miner, or a label outside 0 .. C - 1.
        TypeError: `loss` or `miner` is none of PML's.

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

    refusals: ClassVar[Mapping[type[nn.Module], str]] = {
        losses.InstanceLoss: "it makes every sample a class of its own, so a copy would belong to none",
        losses.ManifoldLoss: "it takes no labels, and its proxies belong to no class",
        losses.NPairsLoss: "it takes the first pair of each class out of the batch, in which no copy would ever be",
        losses.VICRegLoss: "it takes no labels, by which to tell what a copy may vary",
        miners.EmbeddingsAlreadyPackagedAsTriplets: "its triplets are rows of the batch in a fixed order, in which no "
        "copy would ever be",
    }

    corrected_variance: Tensor | None

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
    ) -> None:
        check_integer("num_copies", num_copies, minimum=0)
        check_choice("noise_std", noise_std, NOISE_STDS)
        if neighbor_correction is not None:
            check_flag("neighbor_correction", neighbor_correction)
        if neighbor_correction and num_classes < 2:
            raise ValueError(f"neighbor_correction=True needs num_classes to be at least 2, but got {num_classes}")
        super().__init__(loss, miner)
        check_handover(self)
        self.statistics = ClassStatistics(num_classes, embedding_size, momentum)
        corrects = num_classes > MANY_CLASSES if neighbor_correction is None else neighbor_correction
        correction = NeighborCorrection(num_neighbors, beta, gamma, tau, mask_before_minmax=mask_before_minmax)
        self.correction = correction if corrects else None
        self.register_buffer("corrected_variance", torch.zeros(num_classes, embedding_size) if corrects else None)
        self.num_copies = num_copies
        self.noise_std = noise_std
        self.strength = strength
        self.initial_strength = strength
        self.add_to_recordable_attributes(list_of_names=["strength", "num_copies"], is_stat=False)
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)

    @property
    def strength(self) -> float:
        """Lambda, by which the variance of the copies is multiplied; travels with the state dict."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        check_number("strength", value, minimum=0)
        self._strength = float(value)

    @property
    def variance(self) -> Tensor:
        """The variance of each class as the copies have it: (C, D)."""
        return self.statistics.variance if self.corrected_variance is None else self.corrected_variance

    def refresh(self, embeddings: Tensor, labels: Tensor) -> None:
        """Estimate the class statistics anew, from the embeddings of a whole training set.

        Args:
            embeddings: (T, D), as the network in training gives them.
            labels: (T,), in 0 .. C - 1.
        """
        seen = self.fresh_statistics()
        for rows, classes in zip(embeddings.split(ROWS_AT_A_TIME), labels.split(ROWS_AT_A_TIME), strict=True):
            seen.update(rows, classes)
        self.refresh_from(seen)

    def fresh_statistics(self) -> ClassStatistics:
        """Empty statistics in which a training set can be gathered batch by batch, for :meth:`refresh_from`."""
        own = self.statistics
        return ClassStatistics(own.num_classes, own.embedding_size, momentum=1.0).to(own.mean)

    @torch.no_grad()
    def refresh_from(self, seen: ClassStatistics) -> None:
        """What :meth:`refresh` does, with the statistics of the training set already gathered."""
        with torch.autocast(self.statistics.mean.device.type, enabled=False):
            if self.correction is None:
                self.statistics.merge(seen)
                return
            merged = copy.deepcopy(self.statistics)  # if the correction fails, the statistics keep their values
            merged.merge(seen, skip_singletons=True)
            corrected = self.correction(merged.mean, merged.variance, seen.count.to(merged.count))
            self.statistics.merge(seen, skip_singletons=True)
            self.variance.copy_(corrected)

    def get_extra_state(self) -> Tensor:
        """The strength, for `state_dict`: scalar, float64."""
        return torch.tensor(self.strength, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Set the strength, from `load_state_dict`."""
        self.strength = float(state)

    def wrapped(
        self, batch: Batch, noise: Tensor | None = None, generator: torch.Generator | None = None, **draws: Any
    ) -> Tensor:
        """The wrapped loss on the batch and its copies.

        Args:
            batch: with `ref_emb`, candidates are that and the copies of the batch. An `indices_tuple` then chooses
                among `ref_emb` only, as CrossBatchMemory does; every pair with a copy is added.
            noise: (M, N, D), to use instead of a draw.
            generator: source of all draws, on any device; torch's global one by default.
            draws: for the wrapped loss, where that is a wrapper too.
        """
        self._check_batch(batch)
        if isinstance(self.loss, LossWrapper):
            draws["generator"] = generator
        if self.statistics.is_empty or self.strength == 0 or self.num_copies == 0 or len(batch.labels) == 0:
            return self._bare(batch, draws)
        device = batch.embeddings.device
        if self.statistics.mean.device != device:
            self.statistics.to(device)
            self.corrected_variance = None if self.corrected_variance is None else self.corrected_variance.to(device)
        copies = class_gaussian_copies(
            batch.embeddings,
            to_device(batch.labels, device),
            self.variance,
            self.strength,
            self.num_copies,
            self.noise_std,
            noise,
            generator,
        )
        self.num_synthetic = len(copies.source)
        if handover_of(self.loss) is Handover.SAMPLES:
            return self._with_samples(batch, copies, draws)
        return self._with_candidates(batch, copies, generator, draws)

    def _bare(self, batch: Batch, draws: dict[str, Any]) -> Tensor:
        embeddings, labels, indices_tuple, ref_emb, ref_labels = batch
        if indices_tuple is None and self.miner is not None:
            indices_tuple = self.miner(embeddings, labels, ref_emb, ref_labels)
        return self.loss(embeddings, labels, indices_tuple, ref_emb, ref_labels, **draws)

    def _with_samples(self, batch: Batch, copies: Synthetic, draws: dict[str, Any]) -> Tensor:
        embeddings = torch.cat([batch.embeddings, copies.embeddings])
        labels = batch.labels.repeat(self.num_copies + 1)
        indices_tuple = None if self.miner is None else self.miner(embeddings, labels)
        loss = innermost(self.loss)
        with patched(loss, embedding_regularizer=_on_first_rows(loss, len(batch.labels))):
            return self.loss(embeddings, labels, indices_tuple, **draws)

    def _with_candidates(
        self, batch: Batch, copies: Synthetic, generator: torch.Generator | None, draws: dict[str, Any]
    ) -> Tensor:
        by_cosines = batch.ref_emb is None and reads_pairs_only(self.loss) and is_plain_cosine(self.loss.distance)
        candidates = candidates_of(batch, copies, unread=by_cosines and self.miner is None)
        if isinstance(self.loss, losses.NCALoss) and not candidates.matches().any():
            nothing = self.loss.zero_losses()  # PML's takes a mean over nothing
            self.loss.add_embedding_regularization_to_loss_dict(nothing, batch.embeddings)
            return self.loss.reducer(nothing, batch.embeddings, candidates.labels)
        anchored = handover_of(self.loss) is Handover.ANCHORED
        distance = self.loss.distance
        if by_cosines:
            distance = PrecomputedDistance(distance, copied_cosines(batch.embeddings, copies.embeddings))
        elif self._miner_measures_alike and not anchored:
            distance = PrecomputedDistance(distance, distance(candidates.embeddings, candidates.ref_emb))
        inner: dict[str, Any] = {"distance": distance}  # what the loss has exchanged for this call
        outer: dict[str, Any] = {}  # and a wrapper around it
        indices_tuple: IndicesTuple | None = None  # NCALoss without one weighs every row alike
        if batch.indices_tuple is not None:
            indices_tuple = with_pairs_of_copies(batch.indices_tuple, candidates, len(copies.source))
        elif self.miner is not None:
            indices_tuple = mined(self.miner, candidates, distance if self._miner_measures_alike else None)
        elif isinstance(self.loss, EmbeddingExpansion) and self.loss.miner is not None:
            outer["miner"] = WithoutOwnCopies(self.loss.miner, candidates)
        elif not isinstance(self.loss, losses.NCALoss):
            indices_tuple = every_tuple(innermost(self.loss), candidates, generator)
        if isinstance(self.loss, losses.NCALoss):  # its positives are all rows of the class, whatever the tuple
            inner["distance"] = with_own_farthest(distance, candidates)
        if anchored:
            inner["embedding_regularizer"] = _on_first_rows(innermost(self.loss), len(candidates.labels))
        with patched(innermost(self.loss), **inner), patched(self.loss, **outer):
            if anchored:
                return self.loss(candidates.ref_emb, candidates.ref_labels, indices_tuple, **draws)
            return self.loss(*candidates[:2], indices_tuple, *candidates[2:4], **draws)

    @property
    def _miner_measures_alike(self) -> bool:
        """Whether one matrix serves miner and loss."""
        if self.miner is None or isinstance(self.miner, ExpansionMiner):
            return False
        return same_distance(self.miner.distance, self.loss.distance)

    def _check_batch(self, batch: Batch) -> None:
        size = self.statistics.embedding_size
        if batch.embeddings.shape[1] != size:
            raise ValueError(
                f"`embeddings` must have {size} columns (embedding_size), but got {batch.embeddings.shape[1]}"
            )
        check_class_labels(batch.labels, self.statistics.num_classes, of=type(self).__name__)
        check_batch(self, batch)


def _on_first_rows(loss: losses.BaseMetricLossFunction, num_rows: int) -> nn.Module | None:
    regularizer = loss.embedding_regularizer
    return None if regularizer is None else OnFirstRows(regularizer, num_rows)
