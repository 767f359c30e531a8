"""Introspective distances stay finite where rows coincide, numbers end, or precision is half."""

import pytest
import torch
from introspective_cases import BOTH, FORMS, D, N, labels, name_of, rows
from pytorch_metric_learning import losses

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity


@pytest.mark.parametrize("form", FORMS, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [N, 32])  # from 26 rows on, torch measures distances by a matrix product
def test_coincident_and_zero_rows_have_finite_values_and_gradients(form, size, dtype):
    embeddings, classes = rows(size, dtype=dtype), labels(size)
    embeddings[1] = embeddings[0]
    embeddings[2, :D] = 5 * embeddings[0, :D]
    embeddings[3] = 0
    embeddings[5, D:] = -embeddings[4, D:]
    embeddings.requires_grad_()
    for reference in (None, embeddings.detach()[:, :D].clone().requires_grad_()):
        matrix = form(embeddings, reference)
        assert torch.isfinite(matrix).all()
        (gradient,) = torch.autograd.grad(matrix.sum(), embeddings)
        assert torch.isfinite(gradient).all()
        loss = losses.TripletMarginLoss(distance=form)(embeddings, classes, ref_emb=reference, ref_labels=classes)
        (gradient,) = torch.autograd.grad(loss, embeddings)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("offset", [0.0, 4.0])
def test_rounding_below_a_distance_of_zero_changes_nothing(offset):
    row = torch.randn(64, 256) * 1000
    negative = 2 * row.square().sum(dim=1) - 2 * (row @ row.T).diagonal() < 0
    assert negative.any()  # in float32 some squared distances of rows to themselves come out below zero
    similarity = IntrospectiveSimilarity(256, offset=offset)(row, row.clone())
    torch.testing.assert_close(similarity.diagonal(), torch.ones(64))


@pytest.mark.parametrize("form", [IntrospectiveSimilarity(256, tau=1e-3, offset=0.0), IntrospectiveDistance(256)])
def test_rounding_below_an_uncertainty_of_zero_changes_nothing(form):
    semantic, uncertainty = torch.randn(1, 256).expand(64, 256), torch.randn(64, 256)
    one, other = torch.cat([semantic, uncertainty], dim=1), torch.cat([semantic, -uncertainty], dim=1)
    one.requires_grad_()
    matrix = form(one, other)
    (gradient,) = torch.autograd.grad(matrix.sum(), one)
    assert torch.isfinite(matrix).all() and torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(kind, dtype):
    embeddings = rows(dtype=dtype)
    matrix = kind(D)(embeddings)
    assert matrix.dtype == dtype
    torch.testing.assert_close(matrix, kind(D)(embeddings.float()).to(dtype))


@pytest.mark.parametrize("kind", BOTH)
def test_autocast_changes_nothing(kind):
    embeddings = rows()
    with torch.autocast("cpu", torch.bfloat16):
        matrix = kind(D)(embeddings)
    assert torch.equal(matrix, kind(D)(embeddings))
