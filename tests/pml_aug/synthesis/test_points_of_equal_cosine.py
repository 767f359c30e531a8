"""Points around an axis: where they lie, and what does not fit."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from pml_aug.synthesis import points_of_equal_cosine, simplex_corners

R, N, D = 5, 4, 7


@pytest.fixture
def case():
    rows, axes, directions = torch.randn(R, D), torch.randn(R, D), torch.randn(R, N - 1, D)
    return rows.double(), axes.double(), directions.double()


@pytest.mark.parametrize("num_points", [1, 2, 3, 8])
def test_corners_are_unit_vectors_with_equal_angles(num_points):
    corners = simplex_corners(num_points)
    products = torch.full((num_points + 1, num_points + 1), -1 / num_points).double().fill_diagonal_(1)
    torch.testing.assert_close(corners @ corners.T, products)


def test_the_corners_are_the_recorded_ones(golden):
    file = golden("see_02")
    torch.testing.assert_close(simplex_corners(4), file.simplex[:, :4], rtol=1e-14, atol=1e-15)


def test_points_have_unit_length_and_the_cosine_of_their_row(case):
    rows, axes, directions = case
    points = points_of_equal_cosine(rows, axes, directions)
    torch.testing.assert_close(points.norm(dim=2), torch.ones(R, N).double())
    cosine = torch.linalg.vecdot(normalize(rows), normalize(axes))
    torch.testing.assert_close(torch.linalg.vecdot(points, normalize(axes)[:, None]), cosine[:, None].expand(R, N))


def test_row_and_points_are_equally_far_from_each_other(case):
    rows, axes, directions = case
    corners = torch.cat([normalize(rows)[:, None], points_of_equal_cosine(rows, axes, directions)], dim=1)
    distances = torch.cdist(corners, corners)
    for each in distances:
        off_diagonal = each[~torch.eye(N + 1).bool()]
        torch.testing.assert_close(off_diagonal, off_diagonal[:1].expand(len(off_diagonal)))


def test_three_points_around_the_third_axis_by_hand():
    row, axis = torch.tensor([[0.6, 0.0, 0.0, 0.8]]), torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    points = points_of_equal_cosine(row, axis, torch.tensor([[[5.0, 3.0, 0.0, -1.0]]]))  # second axis: orthonormal part
    third = math.sqrt(3) / 2
    expected = torch.tensor([[[-0.3, 0.6 * third, 0.0, 0.8], [-0.3, -0.6 * third, 0.0, 0.8]]])
    torch.testing.assert_close(points, expected)


def test_as_many_points_as_fit_are_exact_in_single_precision():
    """In D = n + 1 dimensions the directions are as dependent as they get."""
    rows, axes = torch.randn(200, 9), torch.randn(200, 9)
    points = points_of_equal_cosine(rows, axes, torch.randn(200, 7, 9))
    cosine = torch.linalg.vecdot(normalize(rows), normalize(axes))
    found = torch.linalg.vecdot(points, normalize(axes)[:, None])
    torch.testing.assert_close(found, cosine[:, None].expand(-1, 8), rtol=0, atol=2e-6)


@pytest.mark.parametrize("scale", [1.0, -2.0])
def test_a_row_on_its_axis_gives_the_row_itself(scale):
    axes = torch.randn(3, D)
    points = points_of_equal_cosine(scale * axes, axes, torch.randn(3, N - 1, D))
    torch.testing.assert_close(points, normalize(scale * axes)[:, None].expand(-1, N, -1), rtol=0, atol=1e-6)


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match="4 points around an axis need rows of width 5 or more, but got 4"):
        points_of_equal_cosine(torch.eye(1, 4), torch.eye(1, 4), torch.ones(1, 3, 4))
