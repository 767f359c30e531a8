"""Which mixtures a row is compared with, and how far it is from them."""

import pytest
import torch
from batches import random_batch
from pytorch_metric_learning import distances

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.to_mixtures import distances_to_mixtures
from pml_aug.synthesis import anchor_negative_pairs, positive_negative_pairs

D = 6


class Cosine(distances.CosineSimilarity):
    """A cosine of another class, whose distances are computed from the mixtures themselves."""


class Euclidean(distances.LpDistance):
    """Likewise."""


# ---- which mixtures


@pytest.mark.parametrize("number", range(8))
def test_triples_are_the_recorded_ones_in_their_order(golden, number):
    file = golden(f"metrix_{number:02d}")
    if file.meta["mode"] == "positive_negative":
        pairs = positive_negative_pairs(file.labels, positives="first")
    else:
        pairs = anchor_negative_pairs(file.labels)
    expected = (file.anchors, file.mixed_from_positive, file.mixed_from_negative)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(pairs.triples(), expected, strict=True))


def test_each_positive_is_mixed_with_each_negative():
    labels = torch.tensor([0, 1, 0, 0, 1, 2])
    found = set(zip(*(part.tolist() for part in positive_negative_pairs(labels).triples()), strict=True))
    rows = range(len(labels))
    assert found == {
        (a, p, n)
        for a in rows
        for p in rows
        for n in rows
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    }


@pytest.mark.parametrize("labels", [[], [3], [3, 3, 3]])
def test_there_may_be_none(labels):
    labels = torch.tensor(labels, dtype=torch.long)
    for pairs in (positive_negative_pairs(labels), anchor_negative_pairs(labels)):
        assert all(len(part) == 0 for part in (*pairs.triples(), *pairs.entries()))


# ---- distances


def every_distance():
    yield from ((kind(), D) for kind in (distances.CosineSimilarity, distances.LpDistance, Cosine, Euclidean))
    yield distances.LpDistance(p=1), D
    yield distances.LpDistance(power=2), D
    yield distances.LpDistance(normalize_embeddings=False), D
    yield distances.DotProductSimilarity(normalize_embeddings=False), D
    yield distances.SNRDistance(), D
    yield IntrospectiveSimilarity(D), 2 * D
    yield IntrospectiveDistance(D), 2 * D


@pytest.mark.parametrize(("distance", "width"), list(every_distance()))
@pytest.mark.parametrize("find", [positive_negative_pairs, anchor_negative_pairs])
def test_each_entry_is_the_distance_of_the_row_to_the_mixture(distance, width, find):
    rows, labels = random_batch(size=7, num_classes=4, width=width, dtype=torch.float64)
    pairs = find(labels)
    matrix = distances_to_mixtures(distance, rows, pairs, lam=0.3)
    units = distance.maybe_normalize(rows)
    # IntrospectiveDistance takes PML's distance of pairs, which adds 1e-6 to each difference
    tolerance = 1e-5 if isinstance(distance, IntrospectiveDistance) else 1e-9
    for row, column, partner, negative in zip(*pairs.entries(), *pairs.triples()[1:], strict=True):
        mixture = 0.3 * units[partner] + 0.7 * units[negative]
        expected = distance(rows[row][None], mixture[None])[0, 0]
        torch.testing.assert_close(matrix[row, column], expected, rtol=tolerance, atol=tolerance)
    assert matrix.isfinite().all()


@pytest.mark.parametrize("plain", [distances.CosineSimilarity, distances.LpDistance])
def test_gradients_from_products_are_those_from_mixtures(plain):
    rows, labels = random_batch(size=6, num_classes=3, width=D, dtype=torch.float64)
    pairs = positive_negative_pairs(labels)
    kinds = (plain, Cosine if plain is distances.CosineSimilarity else Euclidean)
    gradients = []
    for kind in kinds:
        leaf = rows.clone().requires_grad_()
        values = distances_to_mixtures(kind(), leaf, pairs, lam=0.6)[pairs.entries()]
        (values * torch.arange(len(values))).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("lam", "end"), [(1.0, 1), (0.0, 2)])
def test_at_the_ends_the_mixture_is_the_partner_or_the_negative(lam, end):
    rows, labels = random_batch(size=6, num_classes=3, width=D, dtype=torch.float64)
    pairs = positive_negative_pairs(labels)
    for distance in (distances.CosineSimilarity(), distances.LpDistance()):
        matrix = distances_to_mixtures(distance, rows, pairs, lam)
        expected = distance(rows)[pairs.triples()[0], pairs.triples()[end]]
        torch.testing.assert_close(matrix[pairs.entries()], expected)


@pytest.mark.parametrize("kind", [distances.CosineSimilarity, distances.LpDistance])
def test_opposite_equal_and_zero_rows_have_finite_gradients(kind):
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 2.0]], requires_grad=True)
    pairs = positive_negative_pairs(torch.tensor([0, 0, 1, 1, 2, 2]))
    values = distances_to_mixtures(kind(), rows, pairs, lam=0.5)
    (gradient,) = torch.autograd.grad(values.sum(), rows)
    assert values.isfinite().all() and gradient.isfinite().all() and values.abs().max() <= 2 + 1e-5
