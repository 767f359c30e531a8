"""Symmetrical Synthesis around any PML loss that compares embeddings with each other, or with proxies of classes."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor

from pml_aug.distances.delegating import replaced_distance
from pml_aug.distances.introspective_base import IntrospectiveBase
from pml_aug.expansion.mirrored import MirroredPairDistance, Mirroring
from pml_aug.host import MATRIX
from pml_aug.validation import check_choice, check_flag
from pml_aug.wrappers.base import Batch, LossWrapper
from pml_aug.wrappers.pooled_points_wrapper import PooledPointsWrapper

POSITIVES = ("original", "hardest")
PAIRINGS = ("within_class", "adjacent")
POINTS = ("mirrors", "rows", "none")


class SymmetricalSynthesis(PooledPointsWrapper):
    r"""A PML loss whose negatives are as near as the rows of two pairs and their mirrors can be.

    The rows of a class are paired. Each row of a pair is reflected at the other one,

    .. math:: S(p; a) = 2 \frac{\langle p, a \rangle}{|a|^2} a - p

    which keeps lengths and the inner product with the axis. The loss and its miner see, instead of their distances,

    .. math::
        M_{ij} = d(x_i, x_j) \text{ if } y_i = y_j, \text{ else } \min_{p \in S(i),\, q \in S(j)} d(p, q)

    where S(i) holds row i, its partner and both mirrors of the pair, or row i alone if it has no partner (max for
    similarities). Where the loss compares embeddings with proxies, S(j) is the proxy alone. NPairsLoss, the official
    case, gets the hardest of six distances between each two pairs, see :class:`MirroredPairDistance`. There is no
    randomness and no state; the gradient of each distance reaches both rows of the pairs that its points come from.

    Args:
        loss: a PML loss that uses the distance matrix of the batch, or of batch and proxies; or NPairsLoss.
        miner: mines on the same matrix of the batch. Give it to this wrapper instead of the trainer.
        positives: "original", or with NPairsLoss "hardest": also the distance within a pair is the hardest of the six,
            as in the official code.
        pairing: "within_class" (disjoint pairs of equal labels in the order of the batch) or "adjacent" (rows 0 and 1,
            2 and 3, ...); NPairsLoss chooses its pairs by itself.
        normalize: normalise the rows first. The official N-pair loss does not.
        points: "mirrors"; "rows" pools the rows of a pair without mirrors, a control that shows what the mirrors add;
            "none" is the baseline loss.
        scale_to_axis: give each mirror the length of its axis; it has that of its row otherwise.

    Attributes:
        num_synthetic: number of mirrors that took part in the last call, or of the rows in their place with
            `points="rows"`; 0 where no class has two rows, or where the batch has a single class.
        synthetic_share: the share of the distances between classes in the last call that were those of a mirror, from
            0 to 1; a scalar tensor, so that no call waits for a device.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss or miner that mirrors do not reach; in a call, a label without a
            proxy, or `indices_tuple` beside a miner of the wrapper.
        TypeError: `loss` or `miner` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss or miner.

    Source: Gu and Ko, "Symmetrical Synthesis for Deep Metric Learning", AAAI 2020;
    github.com/clovaai/symmetrical-synthesis. Its N-pair loss is this wrapper with `positives="hardest",
    normalize=False` around NPairsLoss(distance=DotProductSimilarity(normalize_embeddings=False),
    embedding_regularizer=LpRegularizer(p=2, power=2), embedding_reg_weight=0.001). Deviations: pairs are found by
    label; a zero row has the mirror -p, NaN there. The paper has no proxies.

    Example:
        >>> from pytorch_metric_learning.losses import TripletMarginLoss
        >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.4], [0.0, 1.0], [0.4, 0.9]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> bool(SymmetricalSynthesis(TripletMarginLoss(margin=1.0))(x, y) > TripletMarginLoss(margin=1.0)(x, y))
        True
    """

    needs: ClassVar[tuple[str, ...]] = (MATRIX,)
    wraps: ClassVar[tuple[type[LossWrapper], ...]] = ()
    off: ClassVar[Mapping[str, Any]] = {"points": "none"}

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        miner: miners.BaseMiner | None = None,
        positives: str = "original",
        pairing: str = "within_class",
        normalize: bool = True,
        points: str = "mirrors",
        scale_to_axis: bool = False,
    ) -> None:
        check_choice("positives", positives, POSITIVES)
        check_choice("pairing", pairing, PAIRINGS)
        check_choice("points", points, POINTS)
        check_flag("scale_to_axis", scale_to_axis)
        number = 2 if points == "mirrors" else 0
        expansion = Mirroring(number, normalize, pairing, pools=points != "none", scale_to_axis=scale_to_axis)
        super().__init__(loss, miner, expansion)
        self.check_miner()
        self._takes_pairs = isinstance(loss, losses.NPairsLoss)
        self._hardest_positives = positives == "hardest"
        if self._hardest_positives and not self._takes_pairs:
            raise ValueError(
                'SymmetricalSynthesis takes positives="hardest" around NPairsLoss only, but got '
                f'{type(loss).__name__}: use positives="original"'
            )
        if self._takes_pairs and miner is not None:
            raise ValueError(
                "SymmetricalSynthesis takes no `miner` around NPairsLoss, which takes one pair of a class: leave it out"
            )
        if any(isinstance(module, IntrospectiveBase) for module in self.modules()):
            raise ValueError(
                f"SymmetricalSynthesis cannot wrap {type(loss).__name__} with an introspective distance: an "
                "uncertainty has no mirror image"
            )
        self.fix_attributes()

    def _among_rows(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        if not self._takes_pairs:
            return super()._among_rows(batch, generator)
        loss, expansion = self.loss, self.expansion
        if not expansion.num_points:
            return loss(*batch)
        assert isinstance(expansion, Mirroring)
        mirrored = MirroredPairDistance(
            loss.distance, expansion.normalize, self._hardest_positives, expansion.scale_to_axis
        )
        with replaced_distance(loss, mirrored) as distance:
            value = loss(*batch)
        self.num_synthetic = distance.num_synthetic if distance.num_synthetic > 2 else 0
        self.synthetic_share = distance.synthetic_share
        return value
