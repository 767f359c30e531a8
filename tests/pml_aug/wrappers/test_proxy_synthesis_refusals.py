"""Arguments, calls and losses that Proxy Synthesis refuses."""

import pytest
import torch
from host_losses import NO_LOSSES, make_loss, refused_by
from proxy_synthesis_cases import C, D, batch
from pytorch_metric_learning import distances, losses, reducers, regularizers

from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis

# ---- arguments and calls


class Breaks(losses.ProxyNCALoss):
    def compute_loss(self, *args):
        raise RuntimeError("broken")


def test_an_error_from_inside_leaves_the_loss_as_it_was():
    regularizer = regularizers.LpRegularizer()
    loss = Breaks(C, D, embedding_regularizer=regularizer)
    parameter, proxy_labels = loss.proxies, loss.proxy_labels
    with pytest.raises(RuntimeError, match="broken"):
        ProxySynthesis(loss)(*batch())
    assert loss.proxies is parameter and loss.proxy_labels is proxy_labels
    assert loss.embedding_regularizer is regularizer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "alpha must be above 0, but got 0"),
        ({"alpha": float("nan")}, "alpha must be above 0, but got nan"),
        ({"alpha": float("inf")}, "alpha must be above 0 and finite, but got inf"),
        ({"alpha": "0.4"}, "alpha must be a number"),
        ({"ratio": float("nan")}, "ratio must be between 0 and 1, but got nan"),
        ({"ratio": True}, "ratio must be a number"),
        ({"ratio": -0.1}, "ratio must be between 0 and 1, but got -0.1"),
        ({"ratio": 1.5}, "ratio must be between 0 and 1, but got 1.5"),
        (
            {"pairing": "adjacent"},
            "pairing must be one of .*'roll', 'reordered_roll', but got 'adjacent'",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ProxySynthesis(losses.ProxyNCALoss(C, D), **arguments)


@pytest.mark.parametrize("mixing", [-0.1, 1.1, float("nan")])
def test_a_mixing_weight_outside_of_0_to_1_is_refused(mixing):
    with pytest.raises(ValueError, match="mixing must be between 0 and 1"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(*batch(), mixing=mixing)


def test_class_weights_are_refused():
    loss = losses.ProxyNCALoss(C, D, reducer=reducers.ClassWeightedReducer(torch.ones(C)))
    with pytest.raises(ValueError, match="cannot wrap ProxyNCALoss with a ClassWeightedReducer: synthetic classes"):
        ProxySynthesis(loss)


def test_mined_tuples_are_refused():
    indices_tuple = tuple(torch.tensor([row]) for row in (0, 4, 1))
    with pytest.raises(ValueError, match="takes no `indices_tuple`: .* leave the miner out"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(*batch(), indices_tuple)


def test_references_are_refused():
    with pytest.raises(ValueError, match="takes no `ref_emb`: its loss compares embeddings with proxies"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(*batch(), None, *batch())


@pytest.mark.parametrize("labels", [[0, 1, 6], [-1, 0, 1]])
def test_labels_beyond_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must be in 0 \.\. 5, the classes of ProxyNCALoss, but got"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(torch.randn(3, D), torch.tensor(labels))


# ---- losses

REFUSED = sorted(refused_by("ProxySynthesis").keys() - {"ManifoldLoss"})


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_without_proxies_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"cannot wrap {name}: it has no proxies of its classes .*EmbeddingExpansion"):
        ProxySynthesis(make_loss(name, C, D))


def test_proxies_of_no_class_are_refused():
    with pytest.raises(ValueError, match="cannot wrap ManifoldLoss: its proxies belong to no class"):
        ProxySynthesis(losses.ManifoldLoss(l=D))


@pytest.mark.parametrize("name", NO_LOSSES)
def test_what_holds_losses_goes_around_the_wrapper(name):
    with pytest.raises(TypeError, match=f"to be a BaseMetricLossFunction .* but got {name}; wrap the loss itself"):
        ProxySynthesis(NO_LOSSES[name]())


@pytest.mark.parametrize("make", [distances.LpDistance, lambda: None, lambda: losses.ProxyNCALoss])
def test_what_is_no_loss_is_refused(make):
    with pytest.raises(TypeError, match="argument `loss` to be a BaseMetricLossFunction"):
        ProxySynthesis(make())


def test_another_wrapper_inside_is_refused():
    with pytest.raises(ValueError, match="cannot wrap EmbeddingExpansion: of the wrappers, .* goes around none"):
        ProxySynthesis(EmbeddingExpansion(losses.TripletMarginLoss()))
