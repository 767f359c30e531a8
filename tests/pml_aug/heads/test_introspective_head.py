"""The introspective head: what it gives when, where gradient goes, how it starts."""

import copy
import math
import pickle

import pytest
import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss, ProxyAnchorLoss
from torch import nn

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.heads import IntrospectiveHead

F, D = 10, 6


def test_training_gives_both_parts_and_evaluation_the_semantic_one():
    head, features = IntrospectiveHead(F, D), torch.randn(3, F)
    both = head(features)
    assert both.shape == (3, 2 * D)
    assert torch.equal(both[:, :D], head.eval()(features))
    assert torch.equal(both[:, D:], head.uncertainty(features))


def test_by_hand():
    head = IntrospectiveHead(1, 2)
    head.semantic_layer.weight.data = torch.tensor([[3.0], [4.0]])
    head.uncertainty_layer.weight.data = torch.tensor([[1.0], [1.0]])
    head.uncertainty_layer.bias.data = torch.zeros(2)
    # (6, 8) at unit length; (2, 2), squared length 8, over the root of 2 + 8
    expected = torch.tensor([[0.6, 0.8, 2 / math.sqrt(10), 2 / math.sqrt(10)]])
    torch.testing.assert_close(head(torch.tensor([[2.0]])), expected)


@pytest.mark.parametrize(
    "options, semantic, uncertainty",
    [
        ({"normalize_uncertainty": True}, 1, 1),
        ({"bound_uncertainty": False}, 1, None),
        ({"normalize_semantic": False, "bound_uncertainty": False}, None, None),
        ({"normalize_uncertainty": True, "bound_uncertainty": False}, 1, 1),
    ],
)
def test_lengths_are_those_asked_for(options, semantic, uncertainty):
    head, features = IntrospectiveHead(F, D, **options), torch.randn(3, F)
    parts = head(features).split(D, dim=1)
    layers = (head.semantic_layer, head.uncertainty_layer)
    for part, layer, length in zip(parts, layers, (semantic, uncertainty), strict=True):
        expected = layer(features).norm(dim=1) if length is None else torch.ones(3)
        torch.testing.assert_close(part.norm(dim=1), expected)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_uncertainty_is_shorter_than_one_at_any_scale_of_the_features(scale):
    lengths = IntrospectiveHead(512, 64).uncertainty(scale * torch.randn(100, 512)).norm(dim=1)
    assert (lengths <= 1).all()


@pytest.mark.parametrize("size", [16, 256])
def test_uncertainty_starts_alike_at_every_width(size):
    # default layers give squared lengths of D / 3 for features of unit scale, so that v has length 1 / 2
    lengths = IntrospectiveHead(512, size).uncertainty(torch.randn(100, 512)).norm(dim=1)
    assert abs(lengths.mean() - 0.5) < 0.05


def test_semantic_layer_starts_as_published():
    layer = IntrospectiveHead(2048, 512).semantic_layer
    assert not layer.bias.any()
    assert abs(layer.weight.std() - math.sqrt(2 / 512)) < 0.001  # fan out


def uncertainty_gradient(head, loss, features, labels):
    loss(head(features), labels).backward()
    return max(float(parameter.grad.abs().max()) for parameter in head.uncertainty_layer.parameters())


def test_uncertainty_learns_unless_it_is_normalised():
    features, labels = torch.randn(8, F, dtype=torch.float64), torch.arange(8) % 3
    loss = ProxyAnchorLoss(3, D, distance=IntrospectiveSimilarity(D)).double()
    assert uncertainty_gradient(IntrospectiveHead(F, D).double(), loss, features, labels) > 1e-3
    # with every length 1 the exponent is -1 / |m - p|^2: nothing to learn
    same_length = IntrospectiveHead(F, D, normalize_uncertainty=True).double()
    assert uncertainty_gradient(same_length, loss, features, labels) < 1e-10


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_bound_keeps_the_loss_from_standing_still(scale):
    features, labels = scale * torch.randn(8, 512), torch.arange(8) % 4
    loss = MultiSimilarityLoss(distance=IntrospectiveSimilarity(512))
    gradients = []
    for bound in (True, False):
        head = IntrospectiveHead(512, 512, bound_uncertainty=bound)
        loss(head(features), labels).backward()
        gradients.append(float(scale * head.semantic_layer.weight.grad.norm()))
    assert gradients[0] > 0.01 and gradients[1] < gradients[0] / 10


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lengths_are_kept_in_half_precision(dtype, scale):
    head, features = IntrospectiveHead(512, 64), scale * torch.randn(4, 512)
    expected = head(features)
    with torch.autocast("cpu", dtype=dtype):
        by_autocast = head(features)
    in_half = head.to(dtype)(features.to(dtype))
    assert by_autocast.dtype == torch.float32 and in_half.dtype == dtype
    tolerance = 8 * torch.finfo(dtype).eps  # of sums of 512 products
    for rows in (by_autocast, in_half.float()):
        torch.testing.assert_close(rows.norm(dim=1), expected.norm(dim=1), rtol=tolerance, atol=0)
        torch.testing.assert_close(rows, expected, rtol=0, atol=tolerance)


def test_zero_features_have_a_finite_gradient():
    head = IntrospectiveHead(F, D, normalize_uncertainty=True)
    nn.init.zeros_(head.uncertainty_layer.bias)
    features = torch.zeros(2, F, requires_grad=True)
    head(features).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_copies_and_pickles_give_the_same():
    head, features = IntrospectiveHead(F, D), torch.randn(3, F)
    for other in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(other(features), head(features))


@pytest.mark.parametrize("name, sizes", [("in_features", (0, D)), ("embedding_size", (F, 0))])
def test_sizes_below_one_are_errors(name, sizes):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, but got 0"):
        IntrospectiveHead(*sizes)


# ---- shuffled uncertainty, the control


def test_shuffled_uncertainties_are_those_of_other_rows():
    head, features = IntrospectiveHead(F, D, shuffle_uncertainty=True), torch.randn(5, F)
    semantic, shuffled = head(features).split(D, dim=1)
    own = head.uncertainty(features)
    assert torch.equal(semantic, head.eval()(features))
    source = torch.cdist(shuffled, own).argmin(dim=1)
    assert torch.equal(shuffled, own[source])
    assert sorted(source.tolist()) == list(range(5)) and not (source == torch.arange(5)).any()


def test_one_row_or_equal_uncertainties_cannot_be_shuffled():
    head, control = IntrospectiveHead(F, D), IntrospectiveHead(F, D, shuffle_uncertainty=True)
    control.load_state_dict(head.state_dict())
    assert torch.equal(head(torch.ones(1, F)), control(torch.ones(1, F)))
    for each in (head, control):
        each.uncertainty_layer.weight.data.zero_()
    features = torch.randn(6, F)
    loss = ProxyAnchorLoss(3, D, distance=IntrospectiveSimilarity(D))
    labels = torch.arange(6) % 3
    assert torch.equal(loss(head(features), labels), loss(control(features), labels))


def test_shuffled_uncertainties_get_gradients_and_depend_on_the_seed():
    head, features = IntrospectiveHead(F, D, shuffle_uncertainty=True).double(), torch.randn(6, F, dtype=torch.float64)
    loss, labels = MultiSimilarityLoss(distance=IntrospectiveSimilarity(D)), torch.arange(6) % 2

    def value(weight=None, seed=0):
        torch.manual_seed(seed)
        given = {} if weight is None else {"uncertainty_layer.weight": weight}
        return loss(torch.func.functional_call(head, given, (features,)), labels)

    assert torch.autograd.gradcheck(value, head.uncertainty_layer.weight.detach().clone().requires_grad_())
    assert value() == value() and len({float(value(seed=seed)) for seed in range(5)}) > 1
