"""Embedding Expansion around any PML loss that compares embeddings with each other, or with proxies of classes."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pytorch_metric_learning import losses, miners

from pml_aug.expansion.arcs import Arcs, check_measures_arcs
from pml_aug.expansion.points import Expansion
from pml_aug.expansion.pooling import SELECTIONS
from pml_aug.host import MATRIX
from pml_aug.validation import check_choice
from pml_aug.wrappers.base import LossWrapper, innermost
from pml_aug.wrappers.pooled_points_wrapper import PooledPointsWrapper
from pml_aug.wrappers.proxy_synthesis import ProxySynthesis


class EmbeddingExpansion(PooledPointsWrapper):
    r"""A PML loss whose negatives are as near as the points between same-class embeddings can be.

    Between the two embeddings of every pair, `num_points` interior points divide the segment into equal parts. The
    loss and its miner then see, instead of their distances,

    .. math::
        M_{ij} = d(x_i, x_j) \text{ if } y_i = y_j, \text{ else } \min_{p \in S(i),\, q \in S(j)} d(p, q)

    where S(i) holds the points around row i (max for similarities). Positives remain the original pairs. Where the
    loss compares embeddings with proxies, the columns are proxies and S(j) is the proxy alone; this includes the
    synthetic proxies of a ProxySynthesis inside. There is no state and, by default, no randomness; the gradient of each
    distance reaches both ends of the segments that its points lie on.

    Args:
        loss: a PML loss that uses the distance matrix of the batch, or of batch and proxies; or ProxySynthesis around
            such a loss.
        num_points: interior points per pair, an integer of at least 0; 0 is the baseline loss. "all" is the whole arc
            between both rows on the unit sphere (LoOp), ends included: the nearest points of each two arcs are found in
            closed form, for cosine, dot product and Euclidean distance of normalised rows.
        miner: mines on the same matrix of the batch. PML's proxy losses weight rows by what it finds. Give it to this
            wrapper instead of the trainer.
        normalize: normalise embeddings and points, as the official network head and code do; with an introspective
            distance, the semantic part of each.
        pairing: "within_class" (disjoint pairs of equal labels in the order of the batch), "adjacent" (rows 0 and 1,
            2 and 3, ..., regardless of their labels: the official code) or "all_pairs" (every positive pair: the
            paper's formula, and the slowest).
        anchor_points: "class" (S(i) has the points of the whole class: the paper) or "own" (the points of row i's own
            pairs: the official code).
        select: "hardest" as above, or "random": a random pair of S(i) x S(j), rows included, each equally likely; drawn
            once per call for each two groups of rows that share their points (with `anchor_points="class"`, classes).
            This is the control that shows what the choice of the hardest adds.

    Attributes:
        num_synthetic: number of points that took part in the last call; 0 where no class has two rows, or where the
            batch has a single class.
        synthetic_share: the share of the distances between classes in the last call that were those of a point rather
            than of two rows, from 0 to 1; a scalar tensor, so that no call waits for a device.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss or miner that EE cannot act on; in a call, a label without a
            proxy, or `indices_tuple` beside a miner of the wrapper.
        TypeError: `loss` or `miner` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss or miner.

    Source: Ko and Gu, "Embedding Expansion: Augmentation in Embedding Space for Deep Metric Learning", CVPR 2020;
    github.com/clovaai/embedding-expansion (embedding_aug.py, hphn_triplet.py). That code is this wrapper around
    TripletMarginLoss with BatchHardMiner, `pairing="adjacent"`, `anchor_points="own"`. Deviations by default: pairs
    are found by label and pooled over the class, as in the paper; PML's miner skips anchors without a positive or a
    negative, which contribute a constant there; of tied distances a single one gets the gradient. The paper has no
    proxies. `num_points="all"`: Vasudeva et al., "LoOp: Looking for Optimal Hard Negative Embeddings for Deep Metric
    Learning", ICCV 2021, whose idea this is; the solution is by singular values instead of ten cases.

    Example:
        >>> import torch
        >>> from pytorch_metric_learning.losses import TripletMarginLoss
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [0.1, -1.0]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> bool(EmbeddingExpansion(TripletMarginLoss(margin=1.0))(x, y) > TripletMarginLoss(margin=1.0)(x, y))
        True
    """

    needs: ClassVar[tuple[str, ...]] = (MATRIX,)
    wraps: ClassVar[tuple[type[LossWrapper], ...]] = (ProxySynthesis,)
    off: ClassVar[Mapping[str, Any]] = {"num_points": 0}

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_points: int | str = 2,
        miner: miners.BaseMiner | None = None,
        normalize: bool = True,
        pairing: str = "within_class",
        anchor_points: str = "class",
        select: str = "hardest",
    ) -> None:
        check_choice("select", select, SELECTIONS)
        if isinstance(num_points, str):
            check_choice("num_points", num_points, ("all",))
            expansion: Expansion = Arcs(1, normalize, pairing, anchor_points)
        else:
            expansion = Expansion(num_points, normalize, pairing, anchor_points)
        super().__init__(loss, miner, expansion, select)
        self._check_inside()
        self.add_to_recordable_attributes(name="num_points", is_stat=False)
        self.fix_attributes()

    @property
    def num_points(self) -> int | str:
        """Interior points per pair."""
        return "all" if isinstance(self.expansion, Arcs) else self.expansion.num_points

    def _check_inside(self) -> None:
        """Raise a ValueError for parts that do not go together."""
        self.check_miner()
        if isinstance(self.expansion, Arcs):
            if self._select == "random":
                raise ValueError(
                    'EmbeddingExpansion takes select="random" with a number of points, but got num_points="all"'
                )
            for part in (innermost(self.loss), self.miner):
                if part is not None:
                    check_measures_arcs(part.distance)
        if self.miner is not None and isinstance(self.loss, LossWrapper):
            raise ValueError(
                "EmbeddingExpansion takes no `miner` around ProxySynthesis, which reads no index tuples: leave it out"
            )
        if isinstance(self.loss, ProxySynthesis) and not self.loss.synthetic_proxies:
            raise ValueError(
                "EmbeddingExpansion cannot wrap ProxySynthesis(synthetic_proxies=False): mixtures of two classes have "
                "no distance to proxies of other classes that could be replaced; use synthetic_proxies=True"
            )
