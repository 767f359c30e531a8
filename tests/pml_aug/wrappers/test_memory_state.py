"""What a memory keeps: a resumed training, copies, precision."""

import copy
import io
import pickle

import pytest
import torch
from measuring import value_and_gradient
from memory_cases import C, D, batches
from pytorch_metric_learning import losses, miners

from pml_aug.regularizers import MultiLevelDistanceRegularizer
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("before", [1, 2, 4], ids=["partly filled", "another part", "wrapped around"])
def test_a_resumed_training_goes_on_bit_for_bit(before, dtype):
    def make():
        regularizer = MultiLevelDistanceRegularizer()
        loss = losses.TripletMarginLoss(margin=1.0, embedding_regularizer=regularizer)
        return CrossBatchMemory(EmbeddingExpansion(loss), D, 20, miners.BatchHardMiner())

    memory = make()
    for embeddings, labels in batches(before, dtype=dtype):
        memory(embeddings, labels)
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    resumed = make()
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for embeddings, labels in batches(4, dtype=dtype):
        mine, expected = value_and_gradient(resumed, embeddings, labels), value_and_gradient(memory, embeddings, labels)
        assert torch.equal(mine[0], expected[0]) and torch.equal(mine[1], expected[1])
        assert resumed.queue_idx == memory.queue_idx and resumed.has_been_filled == memory.has_been_filled
        assert torch.equal(resumed.embedding_memory, memory.embedding_memory)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda memory: pickle.loads(pickle.dumps(memory))])
def test_copies_go_on_alike_and_apart(duplicate):
    memory = CrossBatchMemory(EmbeddingExpansion(losses.ContrastiveLoss(), miner=miners.PairMarginMiner()), D, 20)
    (first, labels), (second, _) = batches(2)
    memory(first, labels)
    other = duplicate(memory)
    assert torch.equal(other(second, labels), memory(second, labels))
    other(first, labels)
    assert memory.queue_idx == 12 and other.queue_idx == 18


def test_stored_embeddings_get_no_gradient():
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 20)
    first = torch.randn(6, D, requires_grad=True)
    labels = torch.arange(6) % C
    memory(first, labels)
    memory(torch.randn(6, D, requires_grad=True), labels).backward()
    assert first.grad is None
    assert not memory.embedding_memory.requires_grad


def test_an_empty_queue_again_after_a_reset():
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 20)
    ((embeddings, labels),) = batches(1)
    first = memory(embeddings, labels)
    memory.reset_queue()
    assert torch.equal(memory(embeddings, labels), first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_and_is_stored_in_float32(dtype):
    memory = CrossBatchMemory(losses.MultiSimilarityLoss(), D, 20, miners.MultiSimilarityMiner())
    expected = copy.deepcopy(memory)
    for embeddings, labels in batches(3):
        embeddings = embeddings.to(dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = memory(embeddings, labels)
        assert value.dtype == torch.float32
        assert torch.equal(value, expected(embeddings.float(), labels))
    assert memory.embedding_memory.dtype == torch.float32
