"""Arguments, calls, losses and miners that Embedding Expansion refuses."""

import pytest
import torch
from expansion_cases import C, D, batch
from host_losses import KINDS, NO_LOSSES, accepted_by, make_loss, refused_by
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners

from pml_aug.host import LOSSES
from pml_aug.losses import IntrospectiveSoftmaxLoss
from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis

# ---- arguments and calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": -1}, "num_points must be at least 0, but got -1"),
        ({"pairing": "roll"}, r"pairing must be one of 'within_class', 'adjacent', 'all_pairs', but got 'roll'"),
        ({"anchor_points": "all"}, r"anchor_points must be one of 'class', 'own', but got 'all'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingExpansion(losses.TripletMarginLoss(), **arguments)


def test_what_is_no_miner_is_refused():
    with pytest.raises(TypeError, match="argument `miner` to be a BaseMiner .* but got LpDistance"):
        EmbeddingExpansion(losses.TripletMarginLoss(), miner=distances.LpDistance())


def test_an_odd_batch_is_refused_with_adjacent_pairs():
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(), pairing="adjacent")
    with pytest.raises(ValueError, match="needs an even batch, but got 5 rows"):
        wrapper(torch.randn(5, 2), torch.tensor([0, 0, 1, 1, 1]))


class NeverAsks(losses.BaseMetricLossFunction):
    """Someone's loss that compares rows by itself."""

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        return {"loss": {"losses": embeddings.sum(), "indices": None, "reduction_type": "already_reduced"}}


def test_a_loss_that_never_asks_for_the_matrix_is_refused_and_left_as_it_was():
    loss = NeverAsks()
    own = loss.distance
    with pytest.raises(ValueError, match="cannot wrap NeverAsks: it never uses the distance matrix"):
        EmbeddingExpansion(loss)(*batch())
    assert loss.distance is own


class Breaks(losses.ContrastiveLoss):
    def _compute_loss(self, *args):
        raise RuntimeError("broken")


def test_an_error_from_inside_leaves_loss_and_miner_as_they_were():
    loss, miner = Breaks(), miners.BatchHardMiner()
    own = loss.distance, miner.distance
    with pytest.raises(RuntimeError, match="broken"):
        EmbeddingExpansion(loss, miner=miner)(*batch())
    assert (loss.distance, miner.distance) == own


# ---- losses and miners

REFUSED = refused_by("EmbeddingExpansion")
ACCEPTED = accepted_by("EmbeddingExpansion")


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_without_negatives_to_harden_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"EmbeddingExpansion cannot wrap {name}: {REFUSED[name]}"):
        EmbeddingExpansion(make_loss(name, C, D))


def test_a_loss_of_pml_aug_that_never_asks_for_distances_is_refused():
    with pytest.raises(ValueError, match="IntrospectiveSoftmaxLoss: it compares embeddings with its classes"):
        EmbeddingExpansion(IntrospectiveSoftmaxLoss(C, D, 2))


@pytest.mark.parametrize("name", NO_LOSSES)
def test_what_holds_losses_goes_around_the_wrapper(name):
    with pytest.raises(
        TypeError, match=f"`loss` to be a BaseMetricLossFunction .* but got {name}; wrap the loss itself"
    ):
        EmbeddingExpansion(NO_LOSSES[name]())


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_loss_that_asks_for_the_matrix_gets_harder_negatives(name):
    embeddings, labels = torch.randn(8, 5), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    loss = make_loss(name, C, D, **{"HistogramLoss": {"n_bins": 4}, "RankedListLoss": {"Tn": 10}}.get(name, {}))
    value, gradient = value_and_gradient(EmbeddingExpansion(loss), embeddings, labels)
    assert torch.isfinite(value) and torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    assert value != loss(embeddings, labels)


def test_a_miner_that_never_asks_for_the_matrix_is_refused_by_name():
    with pytest.raises(ValueError, match="EmbeddingExpansion cannot use AngularMiner: it measures angles"):
        EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.AngularMiner())


@pytest.mark.parametrize("name", [name for name in ACCEPTED if not LOSSES[KINDS[name]].reads_tuples])
def test_a_miner_that_the_loss_does_not_read_is_refused(name):
    with pytest.raises(ValueError, match=f"takes no `miner` around {name}, which reads no index tuples: leave it out"):
        EmbeddingExpansion(make_loss(name, C, D), miner=miners.BatchHardMiner())


def test_another_wrapper_inside_is_refused():
    inner = EmbeddingExpansion(losses.ContrastiveLoss())
    with pytest.raises(
        ValueError, match="EmbeddingExpansion cannot wrap .*: of the wrappers, .* around ProxySynthesis"
    ):
        EmbeddingExpansion(inner)


def test_around_proxy_synthesis_the_loss_inside_is_looked_at():
    with pytest.raises(ValueError, match="EmbeddingExpansion cannot wrap P2SGradLoss in ProxySynthesis: it compares"):
        EmbeddingExpansion(ProxySynthesis(losses.P2SGradLoss(D, C)))


def test_around_proxy_synthesis_a_miner_is_refused():
    with pytest.raises(ValueError, match="takes no `miner` around ProxySynthesis, which reads no index tuples"):
        EmbeddingExpansion(ProxySynthesis(losses.ProxyNCALoss(C, D)), miner=miners.BatchHardMiner())
