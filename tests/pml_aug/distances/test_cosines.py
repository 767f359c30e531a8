"""Cosines that follow from products of the rows are those of the mixtures and copies themselves."""

import pytest
import torch
from iaa_cases import as_set, batch, noise_for, wrap
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners, reducers
from torch.nn.functional import normalize

from pml_aug.distances.cosines import Mixtures, copied_cosines, is_plain_cosine, mixed_cosines, taken
from pml_aug.losses import BinomialDevianceLoss, SoftLiftedStructureLoss


def pairs(size, count, mixing):
    return Mixtures(torch.randint(size, (count,)), torch.randint(size, (count,)), mixing)


def with_mixtures(rows, mixtures):
    first, second, mixing = mixtures
    units = normalize(rows)
    return torch.cat([units, normalize(mixing * units[first] + (1 - mixing) * units[second])])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
def test_mixed_cosines_are_those_of_the_mixtures(mixing, transposed):
    rows = torch.randn(5, 4, dtype=torch.float64)
    columns = torch.randn(4, 7, dtype=torch.float64).T if transposed else torch.randn(7, 4, dtype=torch.float64)
    of_rows, of_columns = pairs(5, 3, mixing), pairs(7, 6, mixing)
    expected = with_mixtures(rows, of_rows) @ with_mixtures(columns, of_columns).T
    torch.testing.assert_close(mixed_cosines(rows, columns, of_rows, of_columns), expected)


def test_mixed_cosines_have_the_right_gradient():
    rows, columns = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    of_rows, of_columns = pairs(4, 3, 0.3), pairs(5, 2, 0.3)
    assert torch.autograd.gradcheck(lambda x, p: mixed_cosines(x, p, of_rows, of_columns), (rows, columns))


@pytest.mark.parametrize("copies", [1, 3])
def test_copied_cosines_are_those_of_the_copies(copies):
    rows = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    offsets = torch.randn(copies, 5, 4, dtype=torch.float64)
    weights = torch.randn(5, 5 * (copies + 1), dtype=torch.float64)
    found, expected = (
        copied_cosines(rows, (rows + offsets).flatten(0, 1)),
        normalize(rows) @ normalize(torch.cat([rows, (rows + offsets).flatten(0, 1)])).T,
    )
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad((weights * cosines).sum(), rows)[0] for cosines in (found, expected))
    torch.testing.assert_close(*gradients)


def test_a_copy_at_the_origin_leaves_cosines_and_gradient_small():
    rows = torch.randn(3, 4, requires_grad=True)
    cosines = copied_cosines(rows, torch.zeros(3, 4) + 0 * rows)
    (gradient,) = torch.autograd.grad(cosines.sum(), rows)
    assert cosines[:, 3:].abs().max() < 0.01 and torch.isfinite(gradient).all()


def test_rows_of_zero_have_cosines_of_zero():
    rows = torch.zeros(2, 3, requires_grad=True)
    cosines = copied_cosines(rows, rows.clone())
    (gradient,) = torch.autograd.grad(cosines.sum(), rows)
    assert not cosines.any() and torch.isfinite(gradient).all()


def test_rows_are_taken_alike_however_they_lie():
    rows, places = torch.randn(4, 6), torch.tensor([3, 3, 0])
    assert torch.equal(taken(rows, places), rows[places])
    assert torch.equal(taken(rows.T, places), rows.T[places])


class Cosine(distances.CosineSimilarity):
    """A cosine by another name: what it does with rows is not known."""


@pytest.mark.parametrize(
    "distance",
    [
        Cosine(),
        distances.CosineSimilarity(power=2),
        distances.DotProductSimilarity(normalize_embeddings=False),
        distances.CosineSimilarity(collect_stats=True),
        distances.LpDistance(),
    ],
)
def test_what_is_more_than_a_cosine_is_none(distance):
    assert not is_plain_cosine(distance)


PAIR_LOSSES = {
    "BinomialDevianceLoss": BinomialDevianceLoss,
    "CircleLoss": losses.CircleLoss,
    "ContrastiveLoss": lambda **options: losses.ContrastiveLoss(pos_margin=0.8, neg_margin=0.3, **options),
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NTXentLoss": losses.NTXentLoss,
    "SoftLiftedStructureLoss": SoftLiftedStructureLoss,
    "SupConLoss": losses.SupConLoss,
    "TupletMarginLoss": losses.TupletMarginLoss,
}


@pytest.mark.parametrize("make_miner", [lambda: None, miners.MultiSimilarityMiner, miners.BatchHardMiner])
@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_with_cosines_of_copies_a_loss_is_what_it_is_with_the_copies(name, make_miner):
    embeddings, labels = batch(dtype=torch.float64)
    noise = noise_for(embeddings)
    results = []
    for distance in (distances.CosineSimilarity, Cosine):
        loss = PAIR_LOSSES[name](distance=distance())
        wrapper = wrap(loss, make_miner()).double()
        results.append(value_and_gradient(wrapper, embeddings, labels, noise=noise))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)


def test_pairs_are_the_same_whoever_measures():
    embeddings, labels = batch()
    found = []
    for distance in (distances.CosineSimilarity, Cosine):
        loss = losses.ContrastiveLoss(distance=distance(), reducer=reducers.DoNothingReducer())
        result = wrap(loss)(embeddings, labels)
        found.append(as_set((*result["pos_loss"]["indices"], *result["neg_loss"]["indices"])))
    assert found[0] == found[1]
