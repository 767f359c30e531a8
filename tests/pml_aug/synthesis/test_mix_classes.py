"""Mixing weights follow their law, and cosines computed from products of the rows are those of the mixtures."""

import numpy as np
import pytest
import scipy.stats
import torch
from pytorch_metric_learning import distances
from torch.nn.functional import normalize

from pml_aug.synthesis import Pairs, draw_mixing
from pml_aug.synthesis.mix_classes import is_plain_cosine, mixed_cosines, taken


def pairs(size, count):
    return Pairs(torch.randint(size, (count,)), torch.randint(size, (count,)))


def with_mixtures(rows, pairs, mixing):
    first, second = pairs
    units = normalize(rows)
    return torch.cat([units, normalize(mixing * units[first] + (1 - mixing) * units[second])])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
def test_mixed_cosines_are_those_of_the_mixtures(mixing, transposed):
    rows = torch.randn(5, 4, dtype=torch.float64)
    columns = torch.randn(4, 7, dtype=torch.float64).T if transposed else torch.randn(7, 4, dtype=torch.float64)
    of_rows, of_columns = pairs(5, 3), pairs(7, 6)
    expected = with_mixtures(rows, of_rows, mixing) @ with_mixtures(columns, of_columns, mixing).T
    torch.testing.assert_close(mixed_cosines(rows, columns, of_rows, of_columns, mixing), expected)


def test_mixed_cosines_have_the_right_gradient():
    rows, columns = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    of_rows, of_columns = pairs(4, 3), pairs(5, 2)
    assert torch.autograd.gradcheck(lambda x, p: mixed_cosines(x, p, of_rows, of_columns, 0.3), (rows, columns))


def test_rows_are_taken_alike_however_they_lie():
    rows, places = torch.randn(4, 6), torch.tensor([3, 3, 0])
    assert torch.equal(taken(rows, places), rows[places])
    assert torch.equal(taken(rows.T, places), rows.T[places])


class Cosine(distances.CosineSimilarity):
    """A cosine of another class, of which it is not known what it does with rows."""


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


# ---- mixing weights


@pytest.mark.parametrize("alpha", [1e-300, 1e-4, 1e-3, 0.01, 0.04999, 0.05, 0.4, 1.0, 8.0])
def test_mixing_weights_follow_the_beta_distribution_for_every_alpha(alpha):
    generator = torch.Generator().manual_seed(0)
    draws = np.array([draw_mixing(alpha, generator) for _ in range(4000)])
    assert np.isfinite(draws).all() and draws.min() >= 0 and draws.max() <= 1
    # float64 cannot resolve the law near 0 and 1, so the share below each of some thresholds is compared
    for threshold in (1e-100, 1e-9, 1e-3, 0.1, 0.4, 0.6, 0.9):
        # the smallest alpha leaves mass at 0 and 1 only, which some versions of scipy do not find
        expected = 0.5 if alpha < 1e-100 else scipy.stats.beta.cdf(threshold, alpha, alpha)
        assert abs((draws <= threshold).mean() - expected) < 4.5 * np.sqrt(0.25 / 4000)
    assert (draws == 0.5).mean() < 0.01


@pytest.mark.parametrize(("alpha", "seed"), [(0.05, 0), (0.4, 1), (2.0, 2)])
def test_seeded_mixing_weights_are_those_of_torch_s_dirichlet_variates(alpha, seed):
    pair = torch.full((2,), alpha, dtype=torch.float64)
    theirs = float(torch._sample_dirichlet(pair, generator=torch.Generator().manual_seed(seed))[0])
    assert draw_mixing(alpha, torch.Generator().manual_seed(seed)) == theirs


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_an_alpha_without_a_distribution_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be above 0"):
        draw_mixing(alpha)
