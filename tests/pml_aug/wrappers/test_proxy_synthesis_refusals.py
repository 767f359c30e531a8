"""What Proxy Synthesis refuses, and that every loss of the host library has its verdict."""

import pytest
import torch
from host_losses import ABSTRACT, EXPORTED, NO_LOSSES
from proxy_synthesis_cases import WORK, C, D, batch
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
        ({"ratio": -0.1}, "ratio must be between 0 and 1, but got -0.1"),
        ({"ratio": 1.5}, "ratio must be between 0 and 1, but got 1.5"),
        ({"pairing": "adjacent"}, r"`pairing` to be one of \('different_class', 'roll', 'reordered_roll'\)"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProxySynthesis(losses.ProxyNCALoss(C, D), **arguments)


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

REFUSED = {
    "AngularLoss": lambda: losses.AngularLoss(),
    "CircleLoss": lambda: losses.CircleLoss(),
    "ContrastiveLoss": lambda: losses.ContrastiveLoss(),
    "DynamicSoftMarginLoss": lambda: losses.DynamicSoftMarginLoss(),
    "FastAPLoss": lambda: losses.FastAPLoss(),
    "GeneralizedLiftedStructureLoss": lambda: losses.GeneralizedLiftedStructureLoss(),
    "HistogramLoss": lambda: losses.HistogramLoss(),
    "InstanceLoss": lambda: losses.InstanceLoss(),
    "IntraPairVarianceLoss": lambda: losses.IntraPairVarianceLoss(),
    "LiftedStructureLoss": lambda: losses.LiftedStructureLoss(),
    "MarginLoss": lambda: losses.MarginLoss(),
    "MultiSimilarityLoss": lambda: losses.MultiSimilarityLoss(),
    "NCALoss": lambda: losses.NCALoss(),
    "NPairsLoss": lambda: losses.NPairsLoss(),
    "NTXentLoss": lambda: losses.NTXentLoss(),
    "PNPLoss": lambda: losses.PNPLoss(),
    "RankedListLoss": lambda: losses.RankedListLoss(margin=0.4, Tn=10),
    "SignalToNoiseRatioContrastiveLoss": lambda: losses.SignalToNoiseRatioContrastiveLoss(),
    "SmoothAPLoss": lambda: losses.SmoothAPLoss(),
    "SupConLoss": lambda: losses.SupConLoss(),
    "ThresholdConsistentMarginLoss": lambda: losses.ThresholdConsistentMarginLoss(),
    "TripletMarginLoss": lambda: losses.TripletMarginLoss(),
    "TupletMarginLoss": lambda: losses.TupletMarginLoss(),
    "VICRegLoss": lambda: losses.VICRegLoss(),
}


def test_every_loss_of_the_host_library_has_its_verdict():
    assert {*REFUSED, "ManifoldLoss", *NO_LOSSES, *WORK, *ABSTRACT} == EXPORTED


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_without_proxies_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"cannot wrap {name}: it has no proxies of its classes .*EmbeddingExpansion"):
        ProxySynthesis(REFUSED[name]())


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
    with pytest.raises(ValueError, match="cannot wrap EmbeddingExpansion: the proxies must be"):
        ProxySynthesis(EmbeddingExpansion(losses.TripletMarginLoss()))
