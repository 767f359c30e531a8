"""The distance matrix of Embedding Expansion: recorded numbers, a naive reference, ties, copies."""

import pytest
import torch
from pytorch_metric_learning import distances
from torch.nn.functional import softplus

from pml_aug.distances import Expanded, PrecomputedDistance, pooled_matrix
from pml_aug.synthesis import Pairs, adjacent_pairs, interpolate, within_class_pairs

FLOOR = 1e-6  # of every recorded distance; ours reach 0
RECORDED = [f"ee_{number:02d}" for number in range(10)]


def relative_error(actual, expected):
    return float((actual.detach() - expected).abs().max() / expected.abs().max())


def expand(embeddings, labels, pairs, num_points, normalize=True):
    return Expanded(
        embeddings, labels, pairs, interpolate(embeddings[pairs.start], embeddings[pairs.end], num_points, normalize)
    )


def recorded_batch(file, embeddings):
    meta = file.meta
    return expand(embeddings, file.labels, adjacent_pairs(file.labels), meta["n_inner_pts"], meta["l2_norm"])


def hardest(matrix, labels):
    """Distance to the hardest positive (the row itself is one) and to the hardest negative."""
    same_class = labels[:, None] == labels
    positive = torch.where(same_class, matrix, 0.0).amax(dim=1)
    negative = torch.where(same_class, torch.inf, matrix).amin(dim=1)
    return positive.clamp(min=FLOOR), negative.clamp(min=FLOOR)


def recorded_form(file, matrix):
    """One loss an anchor, lone anchors included, as the official block returns them."""
    positive, negative = hardest(matrix, file.labels)
    if file.meta["soft_margin"]:
        return softplus(positive - negative)
    return torch.relu(positive - negative + file.meta["margin"])


@pytest.mark.parametrize("name", RECORDED)
def test_hardest_distances_and_losses_of_all_anchors_are_the_recorded_ones(golden, name):
    file = golden(name)
    batch = recorded_batch(file, file.embeddings)
    matrix = pooled_matrix(distances.LpDistance(normalize_embeddings=False), batch, batch, over_class=False)
    positive, negative = hardest(matrix, file.labels)
    assert relative_error(positive, file.dist_ap) < 1e-10
    assert relative_error(negative, file.dist_an) < 1e-10
    assert relative_error(recorded_form(file, matrix), file.loss_per_anchor) < 1e-10


@pytest.mark.parametrize("name", RECORDED)
def test_gradient_is_the_recorded_one_with_ties_shared(golden, name):
    file = golden(name)
    embeddings = file.embeddings.requires_grad_()
    batch = recorded_batch(file, embeddings)
    matrix = pooled_matrix(distances.LpDistance(normalize_embeddings=False), batch, batch, over_class=False)
    recorded_form(file, matrix).sum().backward()
    assert relative_error(embeddings.grad, file.grad_embeddings_split) < 1e-10


def naive_matrix(distance, query, reference, over_class):
    """The definition, entry by entry."""

    def points_around(side, row):
        rows = [k for k in range(len(side.labels)) if side.labels[k] == side.labels[row]] if over_class else [row]
        found = [side.embeddings[k] for k in rows]
        num_pairs = len(side.pairs.start)
        for place, point in enumerate(side.points):
            ends = {int(side.pairs.start[place % num_pairs]), int(side.pairs.end[place % num_pairs])}
            if ends & set(rows):
                found.append(point)
        return torch.stack(found)

    matrix = torch.empty(len(query.labels), len(reference.labels), dtype=query.embeddings.dtype)
    for i in range(len(query.labels)):
        for j in range(len(reference.labels)):
            if query.labels[i] == reference.labels[j]:
                matrix[i, j] = distance(query.embeddings[i : i + 1], reference.embeddings[j : j + 1])[0, 0]
            else:
                between = distance(points_around(query, i), points_around(reference, j))
                matrix[i, j] = between.max() if distance.is_inverted else between.min()
    return matrix


@pytest.mark.parametrize("over_class", [False, True])
@pytest.mark.parametrize(
    "distance",
    [
        distances.LpDistance(),
        distances.LpDistance(p=1, power=2, normalize_embeddings=False),
        distances.CosineSimilarity(),
        distances.DotProductSimilarity(normalize_embeddings=False),
        distances.SNRDistance(),
    ],
    ids=lambda distance: type(distance).__name__,
)
def test_every_entry_is_its_definition(distance, over_class):
    labels, reference_labels = torch.tensor([0, 0, 1, 1, 1, 2, 0, 0]), torch.tensor([2, 1, 0, 1, 2])
    query = expand(torch.randn(8, 4, dtype=torch.float64), labels, within_class_pairs(labels), 3)
    reference = expand(
        torch.randn(5, 4, dtype=torch.float64), reference_labels, within_class_pairs(reference_labels), 3
    )
    for columns in (query, reference):
        expected = naive_matrix(distance, query, columns, over_class)
        torch.testing.assert_close(pooled_matrix(distance, query, columns, over_class), expected, rtol=1e-9, atol=1e-9)


def test_over_class_reaches_points_that_a_row_does_not_own():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 0, 1])
    batch = expand(embeddings, labels, Pairs(torch.tensor([0]), torch.tensor([1])), num_points=1, normalize=False)
    distance = distances.LpDistance(normalize_embeddings=False)
    own = pooled_matrix(distance, batch, batch, over_class=False)
    joined = pooled_matrix(distance, batch, batch, over_class=True)
    # the point between rows 0 and 1 is (1/2, 1/2): sqrt(5/2) from row 2; row 1 itself is sqrt(2) from it
    torch.testing.assert_close(own[:2, 2], torch.tensor([2.5, 2.0]).sqrt())
    torch.testing.assert_close(joined[:2, 2], torch.tensor([2.0, 2.0]).sqrt())
    torch.testing.assert_close(own, own.T)
    torch.testing.assert_close(own[0, 1], torch.tensor(2.0).sqrt())


def test_without_points_the_matrix_is_the_distance_s_own():
    labels = torch.tensor([0, 0, 1, 1])
    batch = expand(torch.randn(4, 3), labels, within_class_pairs(labels), num_points=0)
    distance = distances.LpDistance()
    assert torch.equal(pooled_matrix(distance, batch, batch, over_class=False), distance(batch.embeddings))


def test_tied_entries_share_the_gradient():
    # rows 0 and 1 are mirror images seen from row 2, and the point between them is farther away than both
    embeddings = torch.tensor([[3.0, 1.0], [3.0, -1.0], [0.0, 0.0]], requires_grad=True)
    nothing = torch.tensor([], dtype=torch.long)
    batch = Expanded(embeddings, torch.tensor([0, 0, 1]), Pairs(nothing, nothing), embeddings[:0])
    matrix = pooled_matrix(distances.LpDistance(normalize_embeddings=False), batch, batch, over_class=True)
    matrix[2, 0].backward()
    unit = torch.tensor([3.0, 1.0]) / 10**0.5
    torch.testing.assert_close(embeddings.grad[0], unit / 2)
    torch.testing.assert_close(embeddings.grad[1], unit * torch.tensor([0.5, -0.5]))


def test_a_precomputed_matrix_is_handed_out_as_copies():
    matrix = torch.arange(4.0).reshape(2, 2)
    distance = PrecomputedDistance(distances.LpDistance(), matrix)
    assert not distance.was_asked
    distance(torch.eye(2)).fill_(7)
    assert distance.was_asked
    assert distance(torch.eye(2)).tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_a_precomputed_matrix_of_another_shape_is_refused():
    distance = PrecomputedDistance(distances.LpDistance(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"distances of 2 to 2 rows, but the matrix made for this batch is \(2, 3\)"):
        distance(torch.eye(2))


def test_a_precomputed_matrix_answers_for_the_distance_it_stands_in_for():
    stand_in = PrecomputedDistance(distances.CosineSimilarity(), torch.zeros(2, 2))
    assert stand_in.is_inverted and stand_in.normalize_embeddings
    rows = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    assert torch.equal(stand_in.pairwise_distance(rows, rows), torch.tensor([9.0, 4.0]))
    assert torch.equal(stand_in.compute_mat(rows, rows), torch.tensor([[9.0, 0.0], [0.0, 4.0]]))
