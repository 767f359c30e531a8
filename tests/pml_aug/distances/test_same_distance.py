"""One matrix serves two distances only where both are known to be equal."""

import pytest
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import BatchedDistance, CosineSimilarity, LpDistance, SNRDistance

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.delegating import same_distance
from pml_aug.wrappers import EmbeddingExpansion


class Weighted(LpDistance):
    def __init__(self, weight):
        super().__init__()
        self._weight = weight

    def compute_mat(self, query_emb, ref_emb):
        return super().compute_mat(query_emb * self._weight, ref_emb * self._weight)


@pytest.mark.parametrize(
    ("make", "others"),
    [
        (LpDistance, [LpDistance(p=1), LpDistance(power=2), LpDistance(normalize_embeddings=False), SNRDistance()]),
        (CosineSimilarity, [CosineSimilarity(power=2), CosineSimilarity(collect_stats=True)]),
        (lambda: IntrospectiveSimilarity(2), [IntrospectiveSimilarity(4), IntrospectiveSimilarity(2, tau=1.0)]),
        (lambda: IntrospectiveDistance(2), [IntrospectiveDistance(2, squared=True)]),
    ],
)
def test_known_distances_are_told_by_their_settings(make, others):
    assert same_distance(make(), make())
    assert not any(same_distance(make(), other) for other in others)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Weighted(torch.tensor([1.0, 0.0])), Weighted(torch.tensor([0.0, 1.0]))),
        (BatchedDistance(LpDistance(p=1)), BatchedDistance(LpDistance(p=2))),
    ],
)
def test_of_other_classes_only_one_object_measures_as_itself(first, second):
    assert same_distance(first, first) and not same_distance(first, second)


def test_an_expansion_mines_by_the_miner_s_distance():
    loss = losses.TripletMarginLoss(margin=1.0, distance=Weighted(torch.tensor([1.0, 0.0])))
    miner = miners.BatchHardMiner(distance=Weighted(torch.tensor([0.0, 1.0])))
    # both rows of a class are one point, between which lies no other
    rows, labels = torch.randn(4, 2).repeat_interleave(2, dim=0), torch.arange(8) // 2
    value = EmbeddingExpansion(loss, miner=miner, normalize=False)(rows, labels)
    torch.testing.assert_close(value, loss(rows, labels, miner(rows, labels)))
