"""Attributes and state dicts of a wrapper are those of the wrapped loss where the wrapper has none."""

import copy
import pickle

import pytest
import torch
from host_losses import make_loss, with_proxies
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from pytorch_metric_learning.losses import BaseMetricLossFunction

from pml_aug.wrappers import EmbeddingExpansion, IntraClassAdaptiveAugmentation, LossWrapper, ProxySynthesis

C, D = 6, 8


def adaptive(loss, **options):
    return IntraClassAdaptiveAugmentation(loss, C, D, **options)


# ---- attributes


def test_what_is_set_on_the_wrapper_reaches_the_wrapped_loss(case, batch):
    def seeded(loss):
        torch.default_generator.manual_seed(7)
        return loss(*batch)

    loss, expected = (case.wrap(copy.deepcopy(case.baseline())) for _ in range(2))
    expected.load_state_dict(loss.state_dict())
    inner = expected
    while isinstance(inner, LossWrapper):
        inner = inner.loss
    for part in (loss, inner):
        part.embedding_regularizer = regularizers.LpRegularizer()
        part.embedding_reg_weight = 0.5
        part.set_reducer(reducers.SumReducer())  # of all losses, the regularizer's among them
    assert torch.equal(seeded(loss), seeded(expected))
    assert loss.reducer is loss.loss.reducer


def test_a_distance_set_on_the_wrapper_is_used():
    rows, labels = torch.randn(12, D), torch.arange(12) % C
    loss = EmbeddingExpansion(losses.ContrastiveLoss(), num_points=0)
    loss.distance = distances.LpDistance(normalize_embeddings=False)
    expected = losses.ContrastiveLoss(distance=distances.LpDistance(normalize_embeddings=False))
    assert loss(rows, labels) == expected(rows, labels)


def test_options_of_the_wrapped_loss_are_read_and_set():
    loss = adaptive(EmbeddingExpansion(losses.TripletMarginLoss(margin=0.3)))
    assert loss.margin == 0.3 and loss.num_points == 2
    loss.margin = 0.1
    assert loss.loss.loss.margin == 0.1 and "margin" not in vars(loss)


def test_a_loss_that_is_changed_to_swap_gets_its_copies_in_the_batch():
    rows, labels = torch.randn(12, D), torch.arange(12) % C
    changed, expected = adaptive(losses.TripletMarginLoss()), adaptive(losses.TripletMarginLoss(swap=True))
    changed.swap = True
    for loss in (changed, expected):
        loss.refresh(torch.randn(60, D, generator=torch.Generator().manual_seed(1)), torch.arange(60) % C)
    noise = torch.randn(3, 12, D)
    assert torch.equal(changed(rows, labels, noise=noise), expected(rows, labels, noise=noise))


@pytest.mark.parametrize("name", [name for name in with_proxies() if hasattr(make_loss(name, C, D), "get_logits")])
@pytest.mark.parametrize("wrap", [ProxySynthesis, EmbeddingExpansion, adaptive])
def test_logits_are_those_of_the_wrapped_loss(name, wrap):
    loss, rows = make_loss(name, C, D), torch.randn(3, D)
    if wrap is EmbeddingExpansion and name == "P2SGradLoss":
        pytest.skip("refused")
    assert torch.equal(wrap(loss).get_logits(rows), loss.get_logits(rows))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ProxySynthesis(losses.ProxyAnchorLoss(C, D)), "loss"),
        (lambda: EmbeddingExpansion(losses.ContrastiveLoss()), "num_points"),
        (lambda: EmbeddingExpansion(losses.ContrastiveLoss()), "pairing"),
        (lambda: adaptive(losses.MultiSimilarityLoss()), "beta"),  # the loss has another one
        (lambda: adaptive(losses.ContrastiveLoss()), "momentum"),
        (lambda: ProxySynthesis(losses.ProxyAnchorLoss(C, D)), "miner"),
    ],
)
def test_what_would_have_no_effect_cannot_be_set(make, name):
    with pytest.raises(AttributeError):
        setattr(make(), name, 1)


def test_a_new_miner_is_used_or_refused():
    loss = EmbeddingExpansion(losses.ContrastiveLoss())
    with pytest.raises(TypeError, match="`miner` to be a BaseMiner"):
        loss.miner = losses.ContrastiveLoss()
    with pytest.raises(ValueError, match="cannot use AngularMiner"):
        loss.miner = miners.AngularMiner()
    loss.miner = miners.BatchHardMiner()
    rows, labels = torch.randn(12, D), torch.arange(12) % C
    assert loss(rows, labels) == EmbeddingExpansion(losses.ContrastiveLoss(), miner=miners.BatchHardMiner())(
        rows, labels
    )


@pytest.mark.parametrize("name", ["alpha", "ratio", "pairing"])
def test_a_value_that_means_nothing_is_refused_when_it_is_used(name):
    loss = ProxySynthesis(losses.ProxyNCALoss(C, D))
    setattr(loss, name, float("nan"))
    with pytest.raises(ValueError, match=f"{name} must be"):
        loss(torch.randn(12, D), torch.arange(12) % C)


def test_what_neither_has_is_no_attribute(case):
    loss = case.wrap(case.baseline())
    assert not hasattr(loss, "no_such_attribute")
    loss.note = "of the user"
    assert loss.note == "of the user" and not hasattr(loss.loss, "note")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_duplicates_pass_attributes_on(case, duplicate):
    loss = duplicate(case.wrap(case.baseline()))
    loss.reducer = reducers.SumReducer()
    assert loss.loss.reducer is loss.reducer


class Shadowing(LossWrapper):
    """A wrapper with an attribute that the loss has, too."""

    def __init__(self, loss: BaseMetricLossFunction) -> None:
        super().__init__(loss)
        self.margin = 5.0
        self.fix_attributes()


def test_attributes_of_the_wrapper_are_its_own():
    loss = Shadowing(losses.TripletMarginLoss(margin=0.3))
    loss.margin = 6.0
    assert loss.margin == 6.0 and loss.loss.margin == 0.3


# ---- state dicts


@pytest.mark.parametrize("name", with_proxies())
@pytest.mark.parametrize(
    "wrap", [ProxySynthesis, EmbeddingExpansion, lambda loss: EmbeddingExpansion(ProxySynthesis(loss))]
)
def test_checkpoints_of_wrapped_and_baseline_losses_can_be_exchanged(name, wrap):
    if name == "P2SGradLoss" and wrap is not ProxySynthesis:
        pytest.skip("refused")
    baseline, other = make_loss(name, C, D), make_loss(name, C, D)
    wrapper = wrap(make_loss(name, C, D))
    assert wrapper.state_dict().keys() == baseline.state_dict().keys()
    wrapper.load_state_dict(baseline.state_dict())
    other.load_state_dict(wrapper.state_dict())
    ((_, expected),) = baseline.named_parameters()
    for loss in (wrapper, other):
        assert torch.equal(next(loss.parameters()), expected)


def test_state_of_the_wrapper_stands_beside_that_of_the_loss():
    loss = adaptive(ProxySynthesis(losses.ProxyAnchorLoss(C, D)))
    inside = torch.nn.ModuleDict({"loss": loss})
    assert {"loss.proxies", "loss.statistics.variance", "loss._extra_state"} <= inside.state_dict().keys()
    other = torch.nn.ModuleDict({"loss": adaptive(ProxySynthesis(losses.ProxyAnchorLoss(C, D)))})
    other.load_state_dict(inside.state_dict())
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in inside.state_dict().items())


def test_a_state_dict_with_the_names_of_the_parameters_is_loaded_too():
    loss, other = (ProxySynthesis(losses.ProxyAnchorLoss(C, D)) for _ in range(2))
    other.load_state_dict(dict(loss.named_parameters()))
    assert torch.equal(other.proxies, loss.proxies)


def test_missing_and_unknown_entries_are_refused():
    loss = ProxySynthesis(losses.ProxyAnchorLoss(C, D))
    with pytest.raises(RuntimeError, match="Missing key.*proxies"):
        loss.load_state_dict({})
    with pytest.raises(RuntimeError, match="Unexpected key.*other"):
        loss.load_state_dict({**loss.state_dict(), "other": torch.zeros(1)})
