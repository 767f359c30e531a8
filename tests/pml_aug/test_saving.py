"""State dicts hold tensors alone, so that safetensors saves them, and loading them gives the same losses."""

import copy
from functools import partial

import pytest
import torch
from pytorch_metric_learning import losses, miners
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn
from wrapper_cases import WRAPPERS, example_of

from pml_aug import distances, heads, regularizers, statistics, wrappers
from pml_aug.losses import IntrospectiveSoftmaxLoss

CLASSES, SIZE = 4, 8


def regularized(loss=losses.TripletMarginLoss, **options):
    return loss(embedding_regularizer=regularizers.MultiLevelDistanceRegularizer(), **options)


def adaptive(refreshed, loss=None, **options):
    wrapper = wrappers.IntraClassAdaptiveAugmentation(loss or losses.MultiSimilarityLoss(), CLASSES, SIZE, **options)
    if refreshed:
        wrapper.refresh(torch.randn(40, SIZE), torch.arange(40) % CLASSES)
        wrapper.strength = 0.3
    return wrapper


MAKE = {  # of whether it is the saved loss, which has more state than a new one
    **{kind.__name__: partial(example_of, kind, CLASSES, SIZE) for kind in WRAPPERS},
    "EmbeddingExpansion": lambda _: wrappers.EmbeddingExpansion(regularized(), miner=miners.BatchHardMiner()),
    "IntraClassAdaptiveAugmentation": adaptive,
    "IntraClassAdaptiveAugmentation, corrected": lambda saved: adaptive(saved, neighbor_correction=True),
    "CrossBatchMemory": lambda _: wrappers.CrossBatchMemory(regularized(), SIZE, memory_size=20),
    "CrossBatchMemory of IAA": lambda saved: wrappers.CrossBatchMemory(adaptive(saved), SIZE, memory_size=20),
    "DistributedLossWrapper of IAA": lambda saved: wrappers.DistributedLossWrapper(adaptive(saved), seed=int(saved)),
    "DistributedLossWrapper of IAA of PS": lambda saved: wrappers.DistributedLossWrapper(
        adaptive(saved, wrappers.ProxySynthesis(losses.ProxyNCALoss(CLASSES, SIZE)))
    ),
    "IntrospectiveSoftmaxLoss": lambda _: IntrospectiveSoftmaxLoss(CLASSES, SIZE, 3),
    "IntrospectiveSimilarity": lambda _: losses.ProxyAnchorLoss(
        CLASSES, SIZE // 2, distance=distances.IntrospectiveSimilarity(SIZE // 2)
    ),
    "MultiLevelDistanceRegularizer": lambda _: regularized(losses.ContrastiveLoss),
}


def call(loss):
    torch.manual_seed(7)
    return loss(torch.randn(6, SIZE), torch.arange(6) % CLASSES).detach()


@pytest.mark.parametrize("whole_model", [False, True])
@pytest.mark.parametrize("name", MAKE)
def test_a_loss_loaded_from_tensors_alone_goes_on_as_the_saved_one(name, whole_model, tmp_path):
    saved = nn.ModuleDict({"head": heads.IntrospectiveHead(3, 2), "loss": MAKE[name](True)})
    for _ in range(2):
        call(saved["loss"])
    loaded = nn.ModuleDict({"head": heads.IntrospectiveHead(3, 2), "loss": MAKE[name](False)})
    if whole_model:
        save_model(saved, str(tmp_path / "model"))
        load_model(loaded, str(tmp_path / "model"))
    else:
        save_file(saved.state_dict(), tmp_path / "model")
        loaded.load_state_dict(load_file(tmp_path / "model"))
    for _ in range(4):
        assert torch.equal(call(loaded["loss"]), call(saved["loss"]))
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in saved.state_dict().items())


def test_statistics_loaded_from_tensors_alone_are_not_empty(tmp_path):
    saved = statistics.ClassStatistics(CLASSES, SIZE)
    saved.update(torch.randn(12, SIZE), torch.arange(12) % CLASSES)
    save_file(copy.deepcopy(saved).state_dict(), tmp_path / "statistics")
    loaded = statistics.ClassStatistics(CLASSES, SIZE)
    loaded.load_state_dict(load_file(tmp_path / "statistics"))
    assert not loaded.is_empty and torch.equal(loaded.variance, saved.variance)
