"""A memory around losses that synthesise or regularize."""

import copy

import pytest
import torch
from memory_cases import D, adaptive, batches
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_aug.miners import ExpansionMiner
from pml_aug.regularizers import MultiLevelDistanceRegularizer
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion


def pairs_with(memory_labels, labels, own):
    """All pairs of a batch and the stored rows without those of a row with its own copy."""
    anchor, positive, *negatives = lmu.get_all_pairs_indices(labels, memory_labels)
    kept = positive != own[anchor]
    return anchor[kept], positive[kept], *negatives


def test_an_expansion_sees_points_between_stored_embeddings_which_are_not_stored():
    loss = EmbeddingExpansion(losses.ContrastiveLoss(), num_points=3)
    memory = CrossBatchMemory(loss, D, 100)
    stored, stored_labels = torch.empty(0, D), torch.empty(0, dtype=torch.long)
    for number, (embeddings, labels) in enumerate(batches(3)):
        stored, stored_labels = torch.cat([stored, embeddings]), torch.cat([stored_labels, labels])
        own = torch.arange(6 * number, 6 * number + 6)
        expected = loss(embeddings, labels, pairs_with(stored_labels, labels, own), stored, stored_labels)
        assert torch.equal(memory(embeddings, labels), expected)
        assert torch.equal(memory.embedding_memory[: len(stored)], stored)
        assert memory.queue_idx == len(stored)
    assert memory(embeddings, labels) != losses.CrossBatchMemory(losses.ContrastiveLoss(), D, 100)(embeddings, labels)


def test_the_memory_s_miner_and_the_expansion_s_own_mine_alike_by_the_expansion_s_matrix():
    def expansion(miner=None):
        return EmbeddingExpansion(losses.TripletMarginLoss(margin=1.0), 3, miner, pairing="all_pairs")

    of_memory = CrossBatchMemory(expansion(), D, 20, miners.BatchHardMiner())
    of_expansion = CrossBatchMemory(expansion(miners.BatchHardMiner()), D, 20)
    by_rows = losses.CrossBatchMemory(losses.TripletMarginLoss(margin=1.0), D, 20, miners.BatchHardMiner())
    chosen_by_rows = []
    by_rows.miner.register_forward_hook(lambda _module, _inputs, found: chosen_by_rows.append(found))
    miner = ExpansionMiner(miners.BatchHardMiner(), 3, pairing="all_pairs")
    for embeddings, labels in batches(4):
        value = of_memory(embeddings, labels)
        assert torch.equal(of_expansion(embeddings, labels), value)
        by_rows(embeddings, labels)
        stored = 20 if of_memory.has_been_filled else of_memory.queue_idx
        memory = of_memory.embedding_memory[:stored], of_memory.label_memory[:stored]
        anchor, positive, negative = miner(embeddings, labels, *memory)
        kept = positive != of_memory.curr_batch_idx[anchor]
        assert torch.equal(
            expansion()(embeddings, labels, (anchor[kept], positive[kept], negative[kept]), *memory), value
        )
    assert not all(torch.equal(*rows) for rows in zip(chosen_by_rows[-1], (anchor, positive, negative), strict=True))


@pytest.mark.parametrize("make_inner", [losses.ContrastiveLoss, lambda: EmbeddingExpansion(losses.ContrastiveLoss())])
@pytest.mark.parametrize("make_miner", [None, miners.BatchHardMiner])
def test_adaptive_copies_stand_beside_the_memory_and_are_not_stored(make_inner, make_miner):
    loss = adaptive(make_inner())
    memory = CrossBatchMemory(loss, D, 20, make_miner and make_miner())
    for embeddings, labels in batches(4):
        labels[:2] = torch.tensor([0, 1])
        value = memory(embeddings, labels, generator=torch.Generator().manual_seed(7))
        stored = 20 if memory.has_been_filled else memory.queue_idx
        references = memory.embedding_memory[:stored], memory.label_memory[:stored]
        tuples = memory.create_indices_tuple(embeddings, labels, *references, None, True)
        expected = loss(embeddings, labels, tuples, *references, generator=torch.Generator().manual_seed(7))
        assert torch.equal(value, expected)
        assert torch.equal(memory.embedding_memory[memory.curr_batch_idx], embeddings)
    assert value != losses.CrossBatchMemory(losses.ContrastiveLoss(), D, 20)(embeddings, labels)


def test_a_regularizer_sees_each_batch_once():
    regularizer = MultiLevelDistanceRegularizer()
    expected = copy.deepcopy(regularizer)
    plain = CrossBatchMemory(losses.ContrastiveLoss(), D, 20)
    regularized = CrossBatchMemory(losses.ContrastiveLoss(embedding_regularizer=regularizer), D, 20)
    for embeddings, labels in batches(3):
        difference = regularized(embeddings, labels) - plain(embeddings, labels)
        torch.testing.assert_close(difference, expected(embeddings), rtol=1e-4, atol=1e-5)
