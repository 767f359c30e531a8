"""Losses, miners and regularizers never take the uncertainty for semantic content: right, refused or warned about."""

import math
import subprocess
import sys
import warnings

import pytest
import torch
from introspective_cases import BOTH, BY_DISTANCE, BY_ROWS, BY_SIMILARITY, C, D, labels, rows
from pytorch_metric_learning import losses, miners, regularizers, trainers
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity, check_introspective
from pml_aug.heads import IntrospectiveHead
from pml_aug.trainers import IntrospectiveTrainer
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion

PLAIN = {IntrospectiveSimilarity: CosineSimilarity, IntrospectiveDistance: LpDistance}
ACCEPTED = [(name, IntrospectiveSimilarity) for name in BY_ROWS | BY_SIMILARITY] + [
    (name, IntrospectiveDistance) for name in BY_ROWS | BY_DISTANCE
]


@pytest.mark.parametrize(("name", "kind"), ACCEPTED)
def test_with_infinite_tau_every_loss_is_that_of_the_semantic_part(name, kind):
    values = []
    for distance, embeddings in ((kind(D, tau=math.inf), rows(uncertainty=3.0)), (PLAIN[kind](), None)):
        torch.manual_seed(3)
        loss = (BY_ROWS | BY_SIMILARITY | BY_DISTANCE)[name](distance=distance)
        torch.manual_seed(4)
        given = rows(uncertainty=3.0)
        values.append(loss(given if embeddings is not None else given[:, :D].contiguous(), labels()))
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-5)


REGULARIZERS = {
    "LpRegularizer": regularizers.LpRegularizer,
    "ZeroMeanRegularizer": regularizers.ZeroMeanRegularizer,
    "CenterInvariantRegularizer": regularizers.CenterInvariantRegularizer,
    "RegularFaceRegularizer": regularizers.RegularFaceRegularizer,
    "SparseCentersRegularizer": lambda: regularizers.SparseCentersRegularizer(num_classes=6, centers_per_class=2),
}


def test_every_regularizer_of_the_host_library_is_tried():
    exported = {name for name, kind in vars(regularizers).items() if isinstance(kind, type)}
    assert exported - {"BaseRegularizer"} == set(REGULARIZERS)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("set_later", [False, True])
def test_embedding_regularizers_see_the_semantic_part(name, kind, set_later):
    embeddings, classes = rows(uncertainty=3.0), labels()
    expected = losses.ContrastiveLoss(embedding_regularizer=REGULARIZERS[name](), distance=PLAIN[kind]())
    if set_later:
        loss = losses.ContrastiveLoss(embedding_regularizer=REGULARIZERS[name](), distance=PLAIN[kind]())
        loss.distance = kind(D, tau=math.inf)
    else:
        loss = losses.ContrastiveLoss(embedding_regularizer=REGULARIZERS[name](), distance=kind(D, tau=math.inf))
    torch.testing.assert_close(loss(embeddings, classes), expected(embeddings[:, :D], classes), rtol=1e-4, atol=1e-5)
    wrapped = EmbeddingExpansion(loss, num_points=0)
    torch.testing.assert_close(wrapped(embeddings, classes), loss(embeddings, classes))


def test_weight_regularizers_see_the_semantic_part_of_wide_proxies():
    loss = losses.ProxyAnchorLoss(
        C, 2 * D, weight_regularizer=regularizers.LpRegularizer(), distance=IntrospectiveSimilarity(D)
    )
    found = loss.weight_regularization_loss(loss.proxies)["losses"]
    torch.testing.assert_close(found, loss.proxies[:, :D].norm(dim=1).mean())


def test_a_regularizer_with_its_own_introspective_distance_sees_whole_rows():
    regularizer = regularizers.RegularFaceRegularizer(distance=IntrospectiveSimilarity(D))
    loss = losses.ContrastiveLoss(embedding_regularizer=regularizer, distance=IntrospectiveSimilarity(D))
    assert loss.embedding_regularizer is regularizer


@pytest.mark.slow
def test_importing_the_library_registers_no_hook_for_the_whole_process():
    code = (
        "import pml_aug.wrappers, pml_aug.distances, pml_aug.trainers\n"
        "from torch.nn.modules import module\n"
        "assert not module._global_module_registration_hooks"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ---- miners, heads and plain rows


@pytest.mark.parametrize("swapped", [False, True])
def test_a_miner_that_measures_otherwise_than_its_loss_is_refused(swapped):
    distances = [IntrospectiveDistance(D), LpDistance()]
    of_loss, of_miner = reversed(distances) if swapped else distances
    loss, miner = losses.TripletMarginLoss(distance=of_loss), miners.BatchHardMiner(distance=of_miner)
    for combine in (
        lambda: EmbeddingExpansion(loss, miner=miner),
        lambda: CrossBatchMemory(loss, 2 * D, miner=miner),
        lambda: check_introspective(loss, miner),
    ):
        with pytest.raises(ValueError, match="has an introspective distance and .* has not"):
            combine()


def test_the_check_passes_what_goes_together():
    distance = IntrospectiveDistance(D)
    loss, miner = losses.TripletMarginLoss(distance=distance), miners.BatchHardMiner(distance=distance)
    check_introspective(loss, miner, IntrospectiveHead(8, D))
    check_introspective(EmbeddingExpansion(loss, miner=miner))
    check_introspective(losses.TripletMarginLoss(), miners.BatchHardMiner(), torch.nn.Linear(8, D))


def trained(trainer, loss, embedder):
    trainer(
        models={"trunk": torch.nn.Identity(), "embedder": embedder},
        optimizers={"embedder_optimizer": torch.optim.SGD(embedder.parameters(), lr=0.1)},
        batch_size=12,
        loss_funcs={"metric_loss": loss},
        dataset=torch.utils.data.TensorDataset(torch.randn(24, 8), torch.arange(24) % 3),
        data_device=torch.device("cpu"),
        dataloader_num_workers=0,
    ).train(num_epochs=2)


def test_a_head_beside_a_plain_loss_is_refused_by_our_trainer_and_warned_about_once_in_others():
    with pytest.raises(ValueError, match="ContrastiveLoss has no introspective distance, but IntrospectiveHead"):
        trained(IntrospectiveTrainer, losses.ContrastiveLoss(), IntrospectiveHead(8, D))
    with pytest.warns(UserWarning, match="to a loss without an introspective distance") as found:
        trained(trainers.MetricLossOnly, losses.ContrastiveLoss(), IntrospectiveHead(8, D))
    assert sum("IntrospectiveHead" in str(warning.message) for warning in found) == 1


def test_rows_without_uncertainty_are_warned_about_once():
    loss = losses.ContrastiveLoss(distance=IntrospectiveDistance(D))
    with pytest.warns(UserWarning, match="rows of width 4 in training: they have no uncertainty") as found:
        trained(trainers.MetricLossOnly, loss, torch.nn.Linear(8, D))
    assert sum("no uncertainty" in str(warning.message) for warning in found) == 1


def test_head_and_distance_that_go_together_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(ntrospective|uncertainty).*")
        loss = losses.ContrastiveLoss(distance=IntrospectiveDistance(D))
        trained(trainers.MetricLossOnly, loss, IntrospectiveHead(8, D))
        loss(rows()[:, :D], labels())  # without gradient, as in an evaluation


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_size": 2.5}, "embedding_size must be an integer"),
        ({"embedding_size": True}, "embedding_size must be an integer"),
        ({"tau": True}, "tau must be a number"),
        ({"offset": math.inf}, "offset must be .*finite, but got inf"),
        ({"offset": math.nan}, "offset must be at least 0, but got nan"),
        ({"squared": "no"}, "squared must be True or False"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_by_name(kind, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        kind(**{"embedding_size": D, **options})
