"""Copies beside references and tuples that come from outside, as in a memory."""

from collections import Counter

import pytest
import torch
from iaa_cases import COPIES, NUM_CLASSES, SIZE, as_set, batch, copies_by_hand, noise_for, wrap
from pytorch_metric_learning import losses, miners, reducers
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_aug.wrappers import CrossBatchMemory


def test_references_stand_in_place_of_the_batch_beside_its_copies():
    embeddings, labels = batch(dtype=torch.float64)
    memory, classes = batch(size=9, num_classes=3, dtype=torch.float64)
    loss = losses.ContrastiveLoss(reducer=reducers.SumReducer())
    wrapper, noise = wrap(loss).double(), noise_for(embeddings)
    points, point_classes = copies_by_hand(wrapper, embeddings, labels, noise)
    found = lmu.get_all_pairs_indices(labels, point_classes)
    other = found[1] % len(labels) != found[0]
    found = found[0][other], found[1][other], *found[2:]
    expected = loss(embeddings, labels, None, memory, classes) + loss(embeddings, labels, found, points, point_classes)
    torch.testing.assert_close(wrapper(embeddings, labels, None, memory, classes, noise=noise), expected)


@pytest.mark.parametrize("miner", [None, miners.MultiSimilarityMiner(), miners.TripletMarginMiner()])
def test_in_a_memory_pairs_with_all_copies_are_added_to_those_with_the_memory(miner):
    embeddings, labels = batch()
    loss = losses.ContrastiveLoss(reducer=reducers.DoNothingReducer())
    memory = CrossBatchMemory(wrap(loss), SIZE, memory_size=24, miner=miner)
    baseline = CrossBatchMemory(loss, SIZE, memory_size=24, miner=miner)
    memory(embeddings, labels), baseline(embeddings, labels)
    rows, classes = batch()
    with_copies, without = memory(rows, classes), baseline(rows, classes)
    assert torch.equal(memory.embedding_memory, baseline.embedding_memory)  # no copy is enqueued
    for kind, own in (("pos_loss", True), ("neg_loss", False)):
        anchors, others = with_copies[kind]["indices"]
        of_memory = Counter(zip(anchors[others < 24].tolist(), others[others < 24].tolist(), strict=True))
        assert of_memory.keys() == as_set((*without[kind]["indices"],) * 2)[0].keys()
        sources = (others - 24) % 12
        expected = {
            (anchor, 24 + copy_ * 12 + row)
            for copy_ in range(COPIES)
            for anchor in range(12)
            for row in range(12)
            if (classes[anchor] == classes[row]) == own and row != anchor
        }
        assert {(a, o) for a, o in zip(anchors.tolist(), others.tolist(), strict=True) if o >= 24} == expected
        assert (sources[others >= 24] != anchors[others >= 24]).all()


@pytest.mark.parametrize(
    ("loss", "miner", "arguments", "message"),
    [
        (
            losses.ContrastiveLoss(),
            None,
            "tuple",
            "takes no `indices_tuple` of the batch.*give the miner to the wrapper",
        ),
        (losses.ContrastiveLoss(), miners.BatchHardMiner(), "tuple and references", "beside its own miner"),
        (losses.ProxyNCALoss(NUM_CLASSES, SIZE), None, "references", "takes no `ref_emb` around ProxyNCALoss"),
        (losses.HistogramLoss(), None, "references", "takes no `ref_emb` around HistogramLoss"),
        (losses.LiftedStructureLoss(), None, "references", "takes positions in `ref_emb` for rows"),
    ],
)
@pytest.mark.parametrize("refreshed", [True, False])
def test_what_copies_cannot_join_is_refused_from_the_first_step(loss, miner, arguments, message, refreshed):
    embeddings, labels = batch()
    tuples = miners.BatchHardMiner()(embeddings, labels) if "tuple" in arguments else None
    references = batch() if "references" in arguments else (None, None)
    with pytest.raises(ValueError, match=message):
        wrap(loss, miner, refreshed)(embeddings, labels, tuples, *references)
