"""The table of facts names every loss and miner of the host library, and says what they do."""

import inspect

import pytest
import torch
from batches import random_batch
from host_losses import ABSTRACT, EXPORTED, KINDS, NO_LOSSES, accepted_by, make_loss
from pytorch_metric_learning import losses, miners

from pml_aug.host import LOSSES, CopyMode, LossFacts, facts_of, refuse
from pml_aug.host.losses import MINERS
from pml_aug.losses import IntrospectiveSoftmaxLoss
from pml_aug.wrappers import EmbeddingExpansion
from pml_aug.wrappers.workarounds import with_workarounds

C, D = 4, 8
WITH_LABELS = sorted(KINDS.keys() - {"ManifoldLoss", "VICRegLoss"})


def test_every_loss_has_its_entry_and_no_other_class():
    assert {*KINDS, *NO_LOSSES, *ABSTRACT} == EXPORTED


def test_every_miner_in_the_table_is_one_of_the_host_library():
    assert all(issubclass(kind, miners.BaseMiner) for kind in MINERS)


@pytest.mark.parametrize("name", WITH_LABELS)
def test_a_loss_reads_index_tuples_if_the_table_says_so(name):
    rows, labels = random_batch(size=16, num_classes=C, width=D)
    loss = make_loss(name, C, D)
    pair = (torch.tensor([0]), torch.tensor([4]), torch.tensor([0]), torch.tensor([1]))
    triplet = (torch.tensor([0, 0]), torch.tensor([4, 8]), torch.tensor([1, 2]))
    if not LOSSES[KINDS[name]].reads_tuples:
        with pytest.raises(ValueError, match="indices_tuple is not supported for this loss"):
            loss(rows, labels, triplet)
        return
    values = set()
    for tuples in (None, pair, triplet):
        torch.manual_seed(0)
        with with_workarounds(loss):
            values.add(loss(rows, labels, tuples).item())
    assert len(values) > 1


@pytest.mark.parametrize("name", WITH_LABELS)
def test_a_loss_reads_other_embeddings_if_the_table_says_so(name):
    rows, labels = random_batch(size=16, num_classes=C, width=D)
    others, classes = random_batch(size=24, num_classes=C, width=D)
    loss, facts = make_loss(name, C, D), LOSSES[KINDS[name]]
    if facts.reads_ref_emb:
        assert loss(rows, labels, None, others, classes) != loss(rows, labels, None, 2 * others.flip(1), classes)
    elif name not in ("LiftedStructureLoss", "ThresholdConsistentMarginLoss"):  # these do so, wrongly
        with pytest.raises(ValueError, match="not supported for this loss"):
            loss(rows, labels, None, others, classes)


@pytest.mark.parametrize("name", [name for name in KINDS if LOSSES[KINDS[name]].proxies is not None])
def test_proxies_are_where_the_table_says(name):
    loss = make_loss(name, C, D)
    proxies = LOSSES[KINDS[name]].proxies
    ((parameter, value),) = loss.named_parameters()
    assert parameter == proxies.parameter
    assert proxies.rows(loss).shape == (C * proxies.count_per_class(loss), D) and proxies.count(loss) % C == 0
    assert torch.equal(proxies.as_stored(proxies.rows(loss)), value)
    places = proxies.places(loss, torch.tensor([1]))
    assert places.tolist() == list(range(proxies.count_per_class(loss), 2 * proxies.count_per_class(loss)))


@pytest.mark.parametrize("name", [name for name in KINDS if LOSSES[KINDS[name]].proxies is None])
def test_other_losses_have_no_parameters_but_those_of_no_class(name):
    assert name == "ManifoldLoss" or not list(make_loss(name, C, D).parameters())


@pytest.mark.parametrize("name", KINDS)
def test_a_loss_with_proxies_or_without_anchors_gets_copies_in_the_batch(name):
    facts = LOSSES[KINDS[name]]
    if facts.proxies is not None:
        assert facts.copies is CopyMode.IN_BATCH
    if name in accepted_by("IntraClassAdaptiveAugmentation"):
        assert (facts.copies is CopyMode.REFERENCES) <= (facts.reads_ref_emb or name == "LiftedStructureLoss")


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.TripletMarginLoss(), CopyMode.REFERENCES),
        (losses.TripletMarginLoss(swap=True), CopyMode.INDEXED),
        (IntrospectiveSoftmaxLoss(3, 4, 2), CopyMode.IN_BATCH),
    ],
)
def test_options_and_attributes_of_a_loss_count(loss, expected):
    assert facts_of(loss).copies is expected


def test_a_subclass_has_the_facts_of_the_nearest_class():
    class Mine(losses.SoftTripleLoss):
        """Someone's proxies."""

    class Other(losses.BaseMetricLossFunction):
        """Someone's pairs."""

    class Declared(losses.ContrastiveLoss):
        facts = LossFacts(refused_by={"EmbeddingExpansion": "its author says so"})

    assert facts_of(Mine(num_classes=2, embedding_size=4)) is LOSSES[losses.SoftTripleLoss]
    assert facts_of(Other()) == LossFacts()
    with pytest.raises(ValueError, match="EmbeddingExpansion cannot wrap Declared: its author says so"):
        EmbeddingExpansion(Declared())


def test_subclasses_of_what_refuses_refuse_too():
    class Mine(EmbeddingExpansion):
        """Someone's expansion."""

    with pytest.raises(ValueError, match="no: it never uses the distance matrix"):
        refuse(losses.AngularLoss(), Mine(losses.ContrastiveLoss()), "no")


def test_every_reason_is_a_sentence_and_names_a_class_that_exists():
    import pml_aug.distances
    import pml_aug.miners
    import pml_aug.wrappers

    packages = (pml_aug.distances, pml_aug.miners, pml_aug.wrappers)
    exported = [part for package in packages for part in vars(package).values() if isinstance(part, type)]
    names = {name for part in exported for name in (part.__name__, *getattr(part, "needs", ()))}
    for facts in (*LOSSES.values(), *MINERS.values()):
        for user, reason in facts.refused_by.items():
            assert user in names and len(reason) > 20


def test_compute_loss_alone_decides_how_a_loss_reads_its_batch():
    """A class that overrides `forward` would read what the table does not tell."""
    own = {name for name, kind in KINDS.items() if kind.forward is not losses.BaseMetricLossFunction.forward}
    assert own <= {"ManifoldLoss", "VICRegLoss"}
    assert all("compute_loss" in dict(inspect.getmembers(kind)) for kind in KINDS.values())
