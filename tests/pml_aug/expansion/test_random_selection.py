"""Random instead of hardest points: how they are drawn, when they change nothing, and how often points are chosen."""

import pytest
import torch
from expansion_cases import OF_PROXIES, C, D, batch
from pytorch_metric_learning import distances, losses, miners

from pml_aug.expansion import Expansion, pool
from pml_aug.expansion.pooling import random_hardness, share_at_points
from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis

TRIPLETS = {"margin": 1.0, "distance": distances.LpDistance(normalize_embeddings=False)}


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.slow
def test_every_pair_of_points_is_chosen_equally_often():
    labels = torch.tensor([0, 0, 1, 1])
    points = Expansion(num_points=1, normalize=False).expand(torch.randn(4, 2), labels)
    distance, generator = distances.LpDistance(normalize_embeddings=False), seeded()
    counts = torch.zeros(6, 6)
    for _ in range(3600):
        chosen = pool(distance, points, points, random_hardness(points, points, generator))
        counts[chosen.row[0, 1], chosen.column[0, 1]] += 1
    of_both = counts[[0, 1, 4]][:, [2, 3, 5]]  # the rows of a class and the point between them
    assert of_both.sum() == counts.sum()
    # of 9 pairs each is expected 400 times with a standard deviation of 19
    assert (of_both - 400).abs().max() < 5 * 19


def test_a_batch_with_itself_has_symmetric_distances_and_its_own_positives():
    rows, labels = batch()
    points = Expansion(num_points=2).expand(rows, labels)
    matrix = pool(distances.LpDistance(), points, points, random_hardness(points, points, seeded())).matrix
    torch.testing.assert_close(matrix, matrix.T)
    same_class = labels[:, None] == labels
    plain = distances.LpDistance()(rows)
    torch.testing.assert_close(matrix[same_class], plain[same_class])


@pytest.mark.parametrize("anchor_points", ["class", "own"])
def test_rows_without_a_second_one_of_their_class_keep_their_distances(anchor_points):
    rows, labels = torch.randn(5, D), torch.arange(5)
    wrapper = EmbeddingExpansion(losses.ContrastiveLoss(), anchor_points=anchor_points, select="random")
    assert wrapper(rows, labels) == EmbeddingExpansion(losses.ContrastiveLoss(), anchor_points=anchor_points)(
        rows, labels
    )
    assert wrapper.num_synthetic == 0 and wrapper.synthetic_share == 0


def test_the_negatives_are_no_harder_than_the_hardest():
    rows, labels = batch()
    loss = losses.TripletMarginLoss(margin=10.0, distance=distances.LpDistance())  # no triplet is left out
    hardest = EmbeddingExpansion(loss)(rows, labels)
    values = [EmbeddingExpansion(loss, select="random")(rows, labels, generator=seeded(i)) for i in range(20)]
    assert max(values) <= hardest and len(set(map(float, values))) > 10


@pytest.mark.parametrize("name", ["TripletMarginLoss", *OF_PROXIES])
def test_draws_come_from_the_generator_alone(name):
    loss = losses.TripletMarginLoss() if name == "TripletMarginLoss" else OF_PROXIES[name]()
    wrapper, (rows, labels) = EmbeddingExpansion(loss, select="random"), batch()
    before = torch.get_rng_state()
    first, again, other = (wrapper(rows, labels, generator=seeded(number)) for number in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_a_miner_with_another_distance_sees_the_points_that_the_loss_sees():
    class Own(distances.LpDistance):
        """Not known to be equal to the loss's, so its matrix is computed apart."""

    rows, labels = batch()
    values = [
        EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.BatchHardMiner(distance=kind()), select="random")(
            rows, labels, generator=seeded()
        )
        for kind in (distances.LpDistance, Own)
    ]
    torch.testing.assert_close(*values)


def test_draws_pass_through_to_a_wrapper_inside():
    inner = ProxySynthesis(losses.ProxyAnchorLoss(C, D))
    wrapper, (rows, labels) = EmbeddingExpansion(inner, select="random"), batch()
    assert wrapper(rows, labels, generator=seeded()) == wrapper(rows, labels, generator=seeded())


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize("make", [lambda: losses.MultiSimilarityLoss(), lambda: losses.ProxyAnchorLoss(C, D).double()])
def test_gradient_is_that_of_the_drawn_distances(make, anchor_points):
    wrapper = EmbeddingExpansion(make(), anchor_points=anchor_points, select="random")
    rows, labels = batch(dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda rows: wrapper(rows, labels, generator=seeded()), rows.requires_grad_(), atol=1e-4
    )


# ---- how often points are chosen


def test_the_share_of_points_by_hand():
    # the points are (1, 0) and (1, 2.5); of 8 pairs of rows, 0-3, 1-2, 1-3, 1-4 and 3-4 are nearest at a point
    rows = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 3.0], [-9.0, 0.0]])
    wrapper = EmbeddingExpansion(
        losses.TripletMarginLoss(**TRIPLETS), num_points=1, normalize=False, anchor_points="own"
    )
    wrapper(rows, torch.tensor([0, 0, 1, 1, 2]))
    assert wrapper.synthetic_share == 5 / 8


def test_of_classes_that_meet_at_their_points_every_distance_is_that_of_a_point():
    rows, labels = torch.tensor([[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]), torch.tensor([0, 1, 1, 0])
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(**TRIPLETS), num_points=1, normalize=False)
    wrapper(rows, labels)  # the two diagonals cross
    assert wrapper.synthetic_share == 1


def test_classes_of_which_only_rows_are_near_choose_no_point():
    rows, labels = torch.tensor([[0.0, 0.0], [-5.0, 0.0], [1.0, 0.0], [6.0, 0.0]]), torch.tensor([0, 0, 1, 1])
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(**TRIPLETS), num_points=3, normalize=False)
    wrapper(rows, labels)
    assert wrapper.num_synthetic == 6 and wrapper.synthetic_share == 0


def test_one_class_alone_has_no_share():
    points = Expansion(num_points=1).expand(torch.randn(4, 2), torch.zeros(4, dtype=torch.long))
    assert share_at_points(pool(distances.LpDistance(), points, points), points, points) == 0


def test_random_points_are_chosen_as_often_as_there_are_points():
    rows, labels = torch.randn(40, D), torch.arange(40) // 4
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(), num_points=2, select="random")
    shares = []
    for number in range(40):
        wrapper(rows, labels, generator=seeded(number))
        shares.append(float(wrapper.synthetic_share))
    # 4 of the 8 entries of a class are points: in 1 - 1/4 of the pairs at least one of the two is
    assert sum(shares) / len(shares) == pytest.approx(0.75, abs=0.05)


def test_another_selection_is_refused_by_name():
    with pytest.raises(ValueError, match="select"):
        EmbeddingExpansion(losses.TripletMarginLoss(), select="easiest")
