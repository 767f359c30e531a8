"""Saving, copying, half precision: what Intra-class Adaptive Augmentation keeps, and leaves as it was."""

import copy
import io
import pickle

import pytest
import torch
from iaa_cases import NUM_CLASSES, SIZE, batch, seeded, wrap
from pytorch_metric_learning import losses, miners


@pytest.mark.parametrize("neighbor_correction", [False, True])
def test_saved_and_loaded_it_goes_on_alike(neighbor_correction):
    loss, other = (
        wrap(losses.MultiSimilarityLoss(), refreshed=False, neighbor_correction=neighbor_correction) for _ in range(2)
    )
    loss.refresh(torch.randn(40, SIZE), torch.arange(40) % NUM_CLASSES)
    loss.strength = 0.3
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    embeddings, labels = batch()
    assert other.strength == 0.3
    assert torch.equal(seeded(loss, embeddings, labels), seeded(other, embeddings, labels))
    more = torch.randn(40, SIZE), torch.arange(40) % NUM_CLASSES
    for each in (loss, other):
        each.refresh(*more)
    assert torch.equal(seeded(loss, embeddings, labels), seeded(other, embeddings, labels))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_of_the_wrapper_are_equal_and_independent(duplicate):
    loss, (embeddings, labels) = wrap(losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()), batch()
    other = duplicate(loss)
    assert torch.equal(seeded(loss, embeddings, labels), seeded(other, embeddings, labels))
    other.refresh(torch.randn(40, SIZE), torch.arange(40) % NUM_CLASSES)
    assert not torch.equal(loss.variance, other.variance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [losses.MultiSimilarityLoss, lambda: losses.ProxyAnchorLoss(NUM_CLASSES, SIZE)])
def test_half_precision_runs_in_float32(make, dtype):
    loss, (embeddings, labels) = wrap(make(), neighbor_correction=True), batch()
    expected = seeded(loss, embeddings.to(dtype).float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = seeded(loss, embeddings.to(dtype), labels)
        loss.refresh(torch.randn(40, SIZE).to(dtype), torch.arange(40) % NUM_CLASSES)
    assert value.dtype == torch.float32 and torch.equal(value, expected)
    assert loss.variance.dtype == torch.float32


def test_the_batch_and_the_parts_stay_as_they_were():
    embeddings, labels = batch()
    given = embeddings.clone(), labels.clone()
    miner = miners.MultiSimilarityMiner()
    for loss in (losses.MultiSimilarityLoss(), losses.NCALoss(), losses.ThresholdConsistentMarginLoss()):
        distance, attributes = loss.distance, set(vars(loss))
        wrap(loss, miner)(embeddings, labels)
        assert loss.distance is distance and set(vars(loss)) == attributes
    assert torch.equal(embeddings, given[0]) and torch.equal(labels, given[1])
