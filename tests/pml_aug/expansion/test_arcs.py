"""Whole arcs between rows of unit length: their nearest points against a dense grid, by hand, and as a loss."""

import math

import pytest
import torch
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners
from torch.nn.functional import normalize

from pml_aug.expansion import pool
from pml_aug.expansion.arcs import Arcs
from pml_aug.wrappers import EmbeddingExpansion

GRID = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
LABELS = torch.tensor([0, 0, 1, 1])


def on_grid(rows):
    """The largest cosine between points of the arcs of rows 0 and 1 and of rows 2 and 3."""
    a, b, c, d = normalize(rows)
    first, second = (normalize(torch.lerp(*ends, GRID)) for ends in ((a, b), (c, d)))
    return (first @ second.T).max()


@pytest.mark.parametrize(
    "distance", [distances.CosineSimilarity(), distances.LpDistance(), distances.LpDistance(power=2)]
)
def test_the_nearest_points_of_two_arcs_are_those_of_a_dense_grid(distance):
    generator = torch.Generator().manual_seed(0)
    inner = 0
    for trial in range(60):
        rows = torch.randn(4, 2 + trial % 4, dtype=torch.float64, generator=generator)
        if trial % 3 == 0:  # short arcs
            rows[1::2] = rows[::2] + 0.3 * rows[1::2]
        batch = Arcs().expand(rows, LABELS)
        pooled = pool(distance, batch, batch)
        found = pooled.matrix[0, 2]
        cosine = found if distance.is_inverted else 1 - found ** (2 / distance.power) / 2
        expected = on_grid(rows)
        # a step of the grid of an arc of at most pi misses the cosine by less than (pi / 1000)^2
        assert expected - 1e-9 <= cosine <= expected + 1e-5
        inner += int((pooled.row[0, 1] >= 4) & (pooled.column[0, 1] >= 4))
    assert 3 < inner < 55  # both kinds of solutions were met


def test_by_hand_two_crossing_arcs_meet_and_a_row_meets_the_middle_of_an_arc():
    quarter = torch.tensor([[1.0, 0.0, 0.2], [1.0, 0.0, -0.2], [1.0, 0.2, 0.0], [1.0, -0.2, 0.0]], requires_grad=True)
    batch = Arcs().expand(quarter, LABELS)
    torch.testing.assert_close(pool(distances.CosineSimilarity(), batch, batch).matrix[0, 2].item(), 1.0)
    right_angle = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, math.sqrt(6.0)]])
    batch = Arcs().expand(right_angle, torch.tensor([0, 0, 1]))
    matrix = pool(distances.CosineSimilarity(), batch, batch).matrix
    # the middle of the arc is at 60 degrees from the row, whose ends are farther away
    torch.testing.assert_close(matrix[0, 2].item(), 0.5)
    torch.testing.assert_close(matrix[0, 1].item(), 0.0)  # positives stay rows


@pytest.mark.parametrize("pairing", ["within_class", "all_pairs"])
def test_infinitely_many_points_are_what_many_points_come_near_to(pairing):
    rows, labels = torch.randn(9, 5, dtype=torch.float64), torch.arange(9) // 3
    values = [
        EmbeddingExpansion(losses.MultiSimilarityLoss(), num_points=number, pairing=pairing)(rows, labels).item()
        for number in ("all", 300)
    ]
    # the best of 300 points on an arc is within its hundredth part, and the distance is stationary there
    assert values[0] >= values[1] - 1e-12 and values[0] == pytest.approx(values[1], abs=1e-3)


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize("make", [lambda: losses.TripletMarginLoss(margin=1), lambda: losses.ProxyAnchorLoss(3, 5)])
def test_gradient_is_the_derivative_of_the_value_though_the_points_move(make, anchor_points):
    torch.manual_seed(1)
    loss = make().double()
    rows, labels = torch.randn(8, 5, dtype=torch.float64, requires_grad=True), torch.arange(8) // 3
    wrapper = EmbeddingExpansion(loss, num_points="all", anchor_points=anchor_points)
    assert torch.autograd.gradcheck(lambda rows: wrapper(rows, labels), rows)
    assert wrapper.num_synthetic > 0 and wrapper.synthetic_share > 0 and wrapper.num_points == "all"


def test_equal_and_opposite_rows_of_a_pair_leave_value_and_gradient_finite():
    rows = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(margin=2), "all", miner=miners.BatchHardMiner())
    value, gradient = value_and_gradient(wrapper, rows, LABELS)
    baseline = losses.TripletMarginLoss(margin=2)
    assert value.isfinite() and gradient.isfinite().all()
    # there is no arc, so that all distances are those of rows
    torch.testing.assert_close(value, baseline(rows, LABELS, miners.BatchHardMiner()(rows, LABELS)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": False}, "num_points=.all. needs normalize=True"),
        ({"select": "random"}, 'select="random" with a number of points'),
        ({"pairing": "all_pairs", "anchor_points": "own"}, 'pairing="all_pairs" with anchor_points="class" only'),
        (
            {"miner": miners.BatchHardMiner(distance=distances.LpDistance(p=1))},
            "PML's cosine, dot product or Euclidean",
        ),
    ],
)
def test_what_arcs_do_not_go_with_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingExpansion(losses.ContrastiveLoss(), "all", **options)


def test_rows_that_the_distance_compares_with_proxies_of_other_lengths_are_refused():
    loss = losses.ProxyNCALoss(2, 5, distance=distances.LpDistance(normalize_embeddings=False))
    with pytest.raises(ValueError, match="num_points=.all. compares rows of unit length only"):
        EmbeddingExpansion(loss, "all")(torch.randn(4, 5), LABELS)
