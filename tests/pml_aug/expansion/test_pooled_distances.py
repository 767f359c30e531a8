"""The distance matrix of Embedding Expansion: recorded numbers, a naive reference, its two ways, ties, copies."""

import pytest
import torch
from measuring import relative_error
from pytorch_metric_learning import distances
from torch.nn.functional import softplus

from pml_aug.distances import IntrospectiveSimilarity, PrecomputedDistance
from pml_aug.expansion import ExpandedBatch, Expansion, Groups, pooled_distances
from pml_aug.expansion.pooling import hardest_of_groups
from pml_aug.expansion.pooling_from_products import distances_from_products
from pml_aug.synthesis import Pairs, adjacent_pairs, all_positive_pairs, to_unit_length, within_class_pairs

FLOOR = 1e-6  # of every recorded distance; ours reach 0
RECORDED = [f"ee_{number:02d}" for number in range(10)]


def expand(embeddings, labels, pairs, num_points, normalize=True, over_class=False):
    classes, of_row = torch.unique(labels, return_inverse=True)
    hold_pairs = torch.equal(labels[pairs.start], labels[pairs.end])
    groups = Groups(of_row, len(classes), hold_pairs) if over_class else None
    return ExpandedBatch(embeddings, labels, pairs, num_points, to_unit_length if normalize else None, groups)


def is_fast(distance, query, reference):
    return distances_from_products(distance, query, reference) is not None


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
    matrix = pooled_distances(distances.LpDistance(normalize_embeddings=False), batch, batch)
    positive, negative = hardest(matrix, file.labels)
    assert relative_error(positive, file.dist_ap) < 1e-12
    assert relative_error(negative, file.dist_an) < 1e-12
    assert relative_error(recorded_form(file, matrix), file.loss_per_anchor) < 1e-12


@pytest.mark.parametrize("name", RECORDED)
def test_gradient_is_the_recorded_one_without_multiplied_ties(golden, name):
    file = golden(name)
    embeddings = file.embeddings.requires_grad_()
    batch = recorded_batch(file, embeddings)
    matrix = pooled_distances(distances.LpDistance(normalize_embeddings=False), batch, batch)
    recorded_form(file, matrix).sum().backward()
    assert relative_error(embeddings.grad, file.grad_embeddings_split) < 1e-12


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


def unnormalised(make, **options):
    """As EmbeddingExpansion hands distances over: rows and points are of unit length already."""
    distance = make(**options)
    distance.normalize_embeddings = False
    return distance


FROM_ROWS = {
    "Euclidean": unnormalised(distances.LpDistance),
    "squared Euclidean": unnormalised(distances.LpDistance, power=2),
    "cosine": unnormalised(distances.CosineSimilarity),
    "product": unnormalised(distances.DotProductSimilarity),
}
FROM_ALL = {
    "normalising": distances.LpDistance(),
    "of another norm": distances.LpDistance(p=1, power=2, normalize_embeddings=False),
    "of another power": unnormalised(distances.LpDistance, power=3),
    "normalising similarity": distances.CosineSimilarity(),
    "signal to noise": distances.SNRDistance(),
}


class OneOfOurOwn(distances.LpDistance):
    """Could measure otherwise than its base."""


@pytest.mark.parametrize("over_class", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", [*FROM_ROWS, *FROM_ALL])
def test_every_entry_is_its_definition(name, normalize, over_class):
    distance = {**FROM_ROWS, **FROM_ALL}[name]
    labels, reference_labels = torch.tensor([0, 0, 1, 1, 1, 2, 0, 0]), torch.tensor([2, 1, 0, 1, 2])

    def expanded(labels):
        rows = torch.randn(len(labels), 4, dtype=torch.float64)
        rows = torch.nn.functional.normalize(rows) if normalize else rows
        return expand(rows, labels, within_class_pairs(labels), 3, normalize, over_class)

    query, reference = expanded(labels), expanded(reference_labels)
    for columns in (query, reference):
        assert is_fast(distance, query, columns) == (name in FROM_ROWS)
        expected = naive_matrix(distance, query, columns, over_class)
        torch.testing.assert_close(pooled_distances(distance, query, columns), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("over_class", [False, True])
@pytest.mark.parametrize("make_pairs", [within_class_pairs, adjacent_pairs, all_positive_pairs])
@pytest.mark.parametrize("power", [1, 2])
def test_both_ways_give_one_matrix_and_one_gradient(power, make_pairs, over_class):
    labels, reference_labels = torch.arange(12) % 3, torch.arange(8) % 4
    rows = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    references = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    query = expand(rows, labels, make_pairs(labels), 3, over_class=over_class)
    other = expand(references, reference_labels, make_pairs(reference_labels), 2, over_class=over_class)
    ways = [kind(power=power, normalize_embeddings=False) for kind in (distances.LpDistance, OneOfOurOwn)]
    assert [is_fast(way, query, other) for way in ways] == [True, False]
    for reference in (query, other):
        first, second = (pooled_distances(way, query, reference) for way in ways)
        torch.testing.assert_close(first, second, rtol=0, atol=1e-7)  # where points coincide, the root of the rounding
        apart = (first > 1e-5) & (labels[:, None] != reference.labels)
        torch.testing.assert_close(first[apart], second[apart], rtol=1e-12, atol=1e-14)
        weight = torch.randn_like(first)
        ours, theirs = (
            torch.autograd.grad((weight * matrix)[apart].sum(), [rows, references], materialize_grads=True)
            for matrix in (first, second)
        )
        for gradient, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-11)


def cdist_has_a_second_derivative() -> bool:
    """Newer versions of PyTorch have it."""
    rows = torch.randn(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.cdist(rows, torch.randn(2, 3)).sum(), rows, create_graph=True)
    try:
        gradient.sum().backward()
    except NotImplementedError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FROM_ROWS, "of another power"])
def test_gradients_of_both_orders_are_derivatives(name):
    distance = {**FROM_ROWS, **FROM_ALL}[name]
    labels = torch.tensor([0, 0, 1, 1, 2])

    def pooled(rows, references):
        query, reference = (
            expand(each, labels[: len(each)], within_class_pairs(labels[: len(each)]), 2, over_class=True)
            for each in (rows, references)
        )
        apart = labels[:, None] != labels  # cdist has no second derivative at distance 0
        return pooled_distances(distance, query, query)[apart], pooled_distances(distance, query, reference)

    rows = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    references = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooled, (rows, references))
    if not isinstance(distance, distances.LpDistance) or cdist_has_a_second_derivative():
        assert torch.autograd.gradgradcheck(pooled, (rows, references))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_that_coincide_across_classes_are_at_distance_zero_with_a_finite_gradient(dtype, power):
    # the segments cross in their middles; rows 4 and 5 are of two classes and equal
    rows = torch.tensor([[1, 1, 5], [-1, -1, 5], [1, -1, 5], [-1, 1, 5], [2, 3, 4], [2, 3, 4]], dtype=dtype)
    rows = (rows / 7).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    side = expand(rows, labels, within_class_pairs(labels), 1, over_class=True)
    matrix = pooled_distances(distances.LpDistance(power=power, normalize_embeddings=False), side, side)
    torch.testing.assert_close(matrix[:2, 2:4], torch.zeros(2, 2, dtype=dtype), rtol=0, atol=1e-18)
    torch.testing.assert_close(matrix[4, 5], torch.zeros((), dtype=dtype), rtol=0, atol=1e-18)
    matrix.sum().backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("name", FROM_ROWS)
def test_points_between_opposite_rows_have_no_length_and_a_finite_gradient(name):
    half = torch.nn.functional.normalize(torch.randn(40, 16))
    rows = torch.stack([half, -half], dim=1).flatten(0, 1).requires_grad_()
    labels = torch.arange(80) // 2
    side = expand(rows, labels, within_class_pairs(labels), 1, over_class=True)
    matrix = pooled_distances(FROM_ROWS[name], side, side)
    matrix.sum().backward()
    assert torch.isfinite(matrix).all()
    assert torch.isfinite(rows.grad).all()


def test_over_class_reaches_points_that_a_row_does_not_own():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 0, 1])
    pairs = Pairs(torch.tensor([0]), torch.tensor([1]))
    distance = distances.LpDistance(normalize_embeddings=False)
    own, joined = (
        pooled_distances(distance, side, side)
        for side in (expand(embeddings, labels, pairs, 1, False, over_class) for over_class in (False, True))
    )
    # the point between rows 0 and 1 is (1/2, 1/2): sqrt(5/2) from row 2; row 1 itself is sqrt(2) from it
    torch.testing.assert_close(own[:2, 2], torch.tensor([2.5, 2.0]).sqrt())
    torch.testing.assert_close(joined[:2, 2], torch.tensor([2.0, 2.0]).sqrt())
    torch.testing.assert_close(own, own.T)
    torch.testing.assert_close(own[0, 1], torch.tensor(2.0).sqrt())


@pytest.mark.parametrize("distance", [*FROM_ROWS.values(), *FROM_ALL.values()], ids=[*FROM_ROWS, *FROM_ALL])
def test_entries_of_one_class_are_the_distance_s_own_to_the_last_bit(distance):
    labels = torch.arange(30) % 3
    side = expand(
        torch.nn.functional.normalize(torch.randn(30, 3)), labels, within_class_pairs(labels), 2, normalize=False
    )
    of_one_class = labels[:, None] == labels
    every = torch.cat([side.embeddings, side.points])
    asked = side.embeddings if is_fast(distance, side, side) else every
    assert torch.equal(pooled_distances(distance, side, side)[of_one_class], distance(asked)[:30, :30][of_one_class])


@pytest.mark.parametrize("distance", [FROM_ROWS["Euclidean"], FROM_ALL["of another power"]])
def test_of_tied_entries_one_takes_the_gradient(distance):
    # rows 0 and 1 are mirror images seen from row 2, and the point between them is farther away than both
    embeddings = torch.tensor([[3.0, 1.0], [3.0, -1.0], [0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    nothing = torch.tensor([], dtype=torch.long)
    side = expand(embeddings, labels, Pairs(nothing, nothing), 0, over_class=True)
    matrix = pooled_distances(distance, side, side)
    torch.testing.assert_close(matrix[2, :2], torch.full((2,), 10 ** (distance.power / 2)))
    matrix[2, 0].backward()
    assert (embeddings.grad[:2].norm(dim=1) > 0).sum() == 1


@pytest.mark.parametrize("distance", [distances.LpDistance(), distances.LpDistance(p=1), distances.CosineSimilarity()])
def test_a_row_of_nan_alone_in_its_class_is_nan_and_no_other(distance):
    rows, labels = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 3])
    rows[5] = torch.nan
    expansion = Expansion(num_points=1)
    expanded = expansion.expand(rows, labels)
    unknown = pooled_distances(distance, expanded, expanded).isnan()
    assert unknown[5].all() and unknown[:, 5].all() and not unknown[:5, :5].any()


def test_introspective_rows_are_measured_whole():
    labels = torch.tensor([0, 0, 1])
    side = expand(torch.randn(3, 4), labels, within_class_pairs(labels), 1, normalize=False)
    assert not is_fast(IntrospectiveSimilarity(2), side, side)


def test_half_precision_is_searched_in_float32():
    labels = torch.arange(40) // 4
    rows = torch.randn(40, 8)
    side, halved = (
        expand(each, labels, within_class_pairs(labels), 3, normalize=False) for each in (rows, rows.bfloat16())
    )
    distance = distances.DotProductSimilarity(normalize_embeddings=False)
    assert not is_fast(distance, halved, halved)
    expected = pooled_distances(distance, side, side)
    torch.testing.assert_close(pooled_distances(distance, halved, halved).float(), expected, rtol=0.05, atol=0.2)


def test_the_hardest_of_a_group_is_found_among_its_rows_and_points():
    labels = torch.tensor([5, 5, 6])
    side = expand(torch.zeros(3, 1), labels, Pairs(torch.tensor([0]), torch.tensor([1])), 2, False, over_class=True)
    # three rows, then two points between the first two
    hardness = torch.tensor([[1.0, 4.0], [2.0, 0.0], [9.0, 9.0], [3.0, 1.0], [0.0, 2.0]])
    found = hardest_of_groups(hardness, side)
    assert found.hardness.tolist() == [[3.0, 4.0], [9.0, 9.0]]
    assert found.entry.tolist() == [[3, 0], [2, 2]]


def test_a_precomputed_matrix_is_handed_out_as_copies():
    matrix = torch.arange(4.0).reshape(2, 2)
    distance = PrecomputedDistance(distances.LpDistance(), matrix)
    assert not distance.was_called
    distance(torch.eye(2)).fill_(7)
    assert distance.was_called
    assert distance(torch.eye(2)).tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_a_precomputed_matrix_of_another_shape_is_refused():
    distance = PrecomputedDistance(distances.LpDistance(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"compares 2 with 2 rows, but the matrix of this batch is \(2, 3\)"):
        distance(torch.eye(2))


def test_a_precomputed_matrix_answers_for_the_distance_it_stands_in_for():
    stand_in = PrecomputedDistance(distances.CosineSimilarity(), torch.zeros(2, 2))
    assert stand_in.is_inverted and stand_in.normalize_embeddings
    rows = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    assert torch.equal(stand_in.pairwise_distance(rows, rows), torch.tensor([9.0, 4.0]))
    assert torch.equal(stand_in.compute_mat(rows, rows), torch.tensor([[9.0, 0.0], [0.0, 4.0]]))
