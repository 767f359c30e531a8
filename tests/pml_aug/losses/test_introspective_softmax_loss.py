"""The introspective softmax loss: recorded numbers, by hand, limits, mixed labels, refusals."""

import copy
import math
import pickle
from functools import partial

import pytest
import torch
from batches import random_batch
from measuring import relative_error
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.reducers import ClassWeightedReducer, SumReducer
from pytorch_metric_learning.regularizers import LpRegularizer
from torch.nn.functional import cross_entropy, one_hot

from pml_aug.losses import IntrospectiveSoftmaxLoss

C, F, U = 4, 6, 3


batch = partial(random_batch, size=8, num_classes=C, width=F)


# ---- recorded numbers


@pytest.mark.parametrize("number", range(2))
def test_it_is_the_recorded_loss(golden, number):
    file = golden(f"idmlcls_{number:02d}")
    (classes, features), size = file.W.shape, len(file.b_uncertainty)
    loss = IntrospectiveSoftmaxLoss(classes, features, size, bias_in_prototype=True).double()
    recorded = {
        "classifier.weight": "W",
        "classifier.bias": "b",
        "uncertainty_layer.weight": "W_uncertainty",
        "uncertainty_layer.bias": "b_uncertainty",
    }
    loss.load_state_dict({name: getattr(file, other) for name, other in recorded.items()})
    labels = file.labels
    if file.meta["mixed"]:
        labels = file.lam * one_hot(file.labels, classes) + (1 - file.lam) * one_hot(file.labels_b, classes)
    value = loss(file.features.requires_grad_(), labels)
    value.backward()
    assert relative_error(value, file.loss) < 1e-10
    assert relative_error(file.features.grad, file.grad_features) < 1e-10
    assert relative_error(loss.uncertainty(file.features), file.uncertainty) < 1e-10
    assert relative_error(loss.introspective_logits(file.features), file.logits_train) < 1e-10
    assert relative_error(loss.get_logits(file.features), file.logits_test) < 1e-10
    for name, parameter in loss.named_parameters():
        assert relative_error(parameter.grad, getattr(file, f"grad_{recorded[name]}")) < 1e-10


# ---- by hand, in two dimensions


@pytest.mark.parametrize("bias_in_prototype", [False, True])
def test_logits_by_hand(bias_in_prototype):
    loss = IntrospectiveSoftmaxLoss(2, 2, 1, tau=2.0, offset=1.0, bias_in_prototype=bias_in_prototype)
    loss.classifier.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss.classifier.bias.data = torch.tensor([0.0, 0.5])
    loss.uncertainty_layer.weight.data = torch.tensor([[3.0, -1.0]])
    loss.uncertainty_layer.bias.data = torch.zeros(1)
    # at (1, 1): o = (1, 1.5); u = 2; squared distances 1 and 1, or to the prototype (0.5, 1.5) 0.25 + 0.25
    squared = 0.5 if bias_in_prototype else 1.0
    expected = torch.tensor([[1.0, 1 + 0.5 * math.exp(-(4 + 1) / (2 * squared))]])
    torch.testing.assert_close(loss.introspective_logits(torch.ones(1, 2)), expected)


# ---- limits, and what stays true


def test_with_infinite_tau_it_is_cross_entropy():
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U, tau=math.inf), batch()
    torch.testing.assert_close(loss(features, labels), cross_entropy(loss.classifier(features), labels))


def test_without_uncertainty_it_is_cross_entropy():
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch()
    loss.uncertainty_layer.bias.data.fill_(-100)  # below zero everywhere
    torch.testing.assert_close(loss(features, labels), cross_entropy(loss.classifier(features), labels))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_are_integers_of_any_kind(dtype):
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch()
    assert torch.equal(loss(features, labels.to(dtype)), loss(features, labels))


def test_mixed_labels_weigh_the_losses_of_both_classes():
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch()
    others = labels.roll(1)
    mixed = 0.3 * one_hot(labels, C) + 0.7 * one_hot(others, C)
    torch.testing.assert_close(loss(features, mixed), 0.3 * loss(features, labels) + 0.7 * loss(features, others))


@pytest.mark.parametrize("mix", ["MixUp", "CutMix"])
def test_it_takes_what_torchvision_mixes(mix):
    transforms = pytest.importorskip("torchvision.transforms.v2")
    images, labels = torch.randn(8, 1, 4, 4), torch.arange(8) % C
    images, probabilities = getattr(transforms, mix)(num_classes=C)(images, labels)
    loss = IntrospectiveSoftmaxLoss(C, 16, U)
    value = loss(images.flatten(1), probabilities)
    assert probabilities.shape == (8, C) and torch.isfinite(value)


@pytest.mark.parametrize("bias_in_prototype", [False, True])
def test_gradients_are_the_derivatives(bias_in_prototype):
    loss = IntrospectiveSoftmaxLoss(C, F, U, bias_in_prototype=bias_in_prototype).double()
    features, labels = batch(dtype=torch.float64)
    names, values = zip(*loss.named_parameters(), strict=True)

    def value(features, *values):
        return torch.func.functional_call(loss, dict(zip(names, values, strict=True)), (features, labels))

    assert torch.autograd.gradcheck(value, (features.requires_grad_(), *values))


def test_the_uncertainty_learns():
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch()
    loss(features, labels).backward()
    assert loss.uncertainty_layer.weight.grad.abs().max() > 0


def test_features_on_a_prototype_have_finite_gradients():
    loss = IntrospectiveSoftmaxLoss(C, F, U)
    features = loss.classifier.weight.detach().clone().requires_grad_()
    loss(features, torch.arange(C)).backward()
    assert torch.isfinite(features.grad).all() and torch.isfinite(loss.classifier.weight.grad).all()


def test_reducer_and_regularizer_are_those_of_every_loss():
    torch.manual_seed(1)
    mean = IntrospectiveSoftmaxLoss(C, F, U)
    total = IntrospectiveSoftmaxLoss(C, F, U, reducer=SumReducer())
    regular = IntrospectiveSoftmaxLoss(C, F, U, embedding_regularizer=LpRegularizer(), embedding_reg_weight=0.5)
    weighted = IntrospectiveSoftmaxLoss(C, F, U, reducer=ClassWeightedReducer(torch.tensor([0.0, 0.0, 0.0, 4.0])))
    for other in (total, regular, weighted):
        other.load_state_dict(mean.state_dict(), strict=False)
    features, labels = batch()
    value = mean(features, labels)
    torch.testing.assert_close(total(features, labels), 8 * value)
    torch.testing.assert_close(regular(features, labels), value + 0.5 * features.norm(dim=1).mean())
    last = labels == C - 1
    torch.testing.assert_close(weighted(features, labels), mean(features[last], labels[last]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_the_weights_own(dtype):
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(features.to(dtype), labels)
    assert value.dtype == loss.classifier.weight.dtype == torch.float32
    assert torch.equal(value, loss(features.to(dtype).float(), labels))


def test_copies_and_pickles_give_the_same():
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch()
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(other(features, labels), loss(features, labels))


def test_training_learns_to_classify():
    loss, (features, labels) = IntrospectiveSoftmaxLoss(C, F, U), batch(size=40)
    features = features + 4 * one_hot(labels, F)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss(features, labels).backward()
        optimizer.step()
    assert (loss.get_logits(features).argmax(dim=1) == labels).float().mean() > 0.9


# ---- errors


@pytest.mark.parametrize(
    "labels, got",
    [
        (None, "None"),
        (torch.zeros(7, dtype=torch.long), r"torch.int64 of shape \(7,\)"),
        (torch.zeros(8), r"torch.float32 of shape \(8,\)"),
        (torch.zeros(8, C + 1), rf"torch.float32 of shape \(8, {C + 1}\)"),
        (torch.zeros(8, C, dtype=torch.long), rf"torch.int64 of shape \(8, {C}\)"),
    ],
)
def test_labels_of_another_form_are_errors(labels, got):
    with pytest.raises(
        ValueError, match=rf"integers of shape \(8,\) or probabilities of shape \(8, {C}\), but got {got}"
    ):
        IntrospectiveSoftmaxLoss(C, F, U)(batch()[0], labels)


@pytest.mark.parametrize("wrong", [-1, C])
def test_labels_without_a_class_are_errors(wrong):
    features, labels = batch()
    labels[0] = wrong
    with pytest.raises(ValueError, match=f"labels must be in 0 .. {C - 1}, but got"):
        IntrospectiveSoftmaxLoss(C, F, U)(features, labels)


def test_class_weights_refuse_mixed_labels():
    loss = IntrospectiveSoftmaxLoss(C, F, U, reducer=ClassWeightedReducer(torch.ones(C)))
    with pytest.raises(ValueError, match="ClassWeightedReducer needs one class per row"):
        loss(batch()[0], torch.full((8, C), 1 / C))


@pytest.mark.parametrize("name", ["indices_tuple", "ref_emb", "ref_labels"])
def test_pairs_and_references_are_errors(name):
    with pytest.raises(ValueError, match=f"takes no `{name}`"):
        IntrospectiveSoftmaxLoss(C, F, U)(*batch(), **{name: torch.zeros(1)})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_classes": 0}, "num_classes must be at least 1, but got 0"),
        ({"uncertainty_size": 0}, "uncertainty_size must be at least 1, but got 0"),
        ({"tau": 0.0}, "tau must be above 0, but got 0"),
        ({"offset": -1.0}, "offset must be at least 0, but got -1"),
        ({"distance": CosineSimilarity()}, "takes no `distance`"),
    ],
)
def test_arguments_out_of_range_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        IntrospectiveSoftmaxLoss(**{"num_classes": C, "in_features": F, "uncertainty_size": U, **options})
