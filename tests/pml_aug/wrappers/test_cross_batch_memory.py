"""A memory of earlier batches: the host library's numbers, and rows named by the caller."""

import copy

import pytest
import torch
from measuring import value_and_gradient
from memory_cases import AS_PML, D, batches
from pytorch_metric_learning import distances, losses, miners, reducers
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.losses import BinomialDevianceLoss, SoftLiftedStructureLoss
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion

# ---- as the host library's


@pytest.mark.parametrize("make_miner", [None, miners.MultiSimilarityMiner, miners.BatchHardMiner])
@pytest.mark.parametrize("name", AS_PML)
def test_around_a_baseline_loss_it_is_the_host_library_s_memory(name, make_miner):
    make = getattr(losses, name)
    ours = CrossBatchMemory(make(), D, 20, make_miner and make_miner())
    theirs = losses.CrossBatchMemory(make(), D, 20, make_miner and make_miner())
    for embeddings, labels in batches(5):  # the queue is full after three, and the fourth wraps around
        mine = value_and_gradient(ours, embeddings, labels)
        expected = value_and_gradient(theirs, embeddings, labels)
        assert torch.equal(mine[0], expected[0])
        assert torch.equal(mine[1], expected[1])
    assert ours.queue_idx == theirs.queue_idx == 10
    assert torch.equal(ours.embedding_memory, theirs.embedding_memory)


@pytest.mark.parametrize(
    "make",
    [
        BinomialDevianceLoss,
        SoftLiftedStructureLoss,
        losses.DynamicSoftMarginLoss,
        lambda: EmbeddingExpansion(losses.NTXentLoss()),
    ],
)
def test_it_takes_losses_that_the_host_library_s_memory_does_not(make):
    memory = CrossBatchMemory(make(), D, 20)
    *earlier, last = batches(3)
    with torch.no_grad():
        for batch in earlier:
            memory(*batch)
    value, gradient = value_and_gradient(memory, *last)
    assert torch.isfinite(value) and torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_the_host_library_s_wrapper_for_several_processes_takes_it(tmp_path):
    memory = CrossBatchMemory(EmbeddingExpansion(losses.ContrastiveLoss()), D, 20)
    expected = copy.deepcopy(memory)
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        distributed = DistributedLossWrapper(memory)
        for embeddings, labels in batches(2):
            assert torch.equal(distributed(embeddings, labels), expected(embeddings, labels))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "distance",
    [distances.LpDistance(normalize_embeddings=False), IntrospectiveSimilarity(D // 2), IntrospectiveDistance(D // 2)],
)
def test_several_calls_may_come_before_one_backward_pass(distance):
    at_once = CrossBatchMemory(losses.ContrastiveLoss(0.5, 0.5, distance=distance), D, 20)
    one_by_one, total, expected, rows = copy.deepcopy(at_once), 0, [], []
    for embeddings, labels in batches(5):
        rows.append(embeddings.clone().requires_grad_())
        total = total + at_once(rows[-1], labels)
        expected.append(value_and_gradient(one_by_one, embeddings, labels)[1])
    gradients = torch.autograd.grad(total, rows)
    assert all(torch.equal(*both) for both in zip(gradients, expected, strict=True))
    assert gradients[-1].abs().sum() > 0


# ---- rows named by the caller


def test_given_tuples_name_rows_of_the_batch_wherever_it_lies_in_the_queue():
    memory = CrossBatchMemory(losses.ContrastiveLoss(reducer=reducers.SumReducer()), D, 20)
    for embeddings, labels in batches(4):
        baseline = copy.deepcopy(memory)(embeddings, labels)
        given = miners.PairMarginMiner(pos_margin=0, neg_margin=2)(embeddings, labels)
        added = memory(embeddings, labels, given) - baseline
        torch.testing.assert_close(added, memory.loss(embeddings, labels, given), rtol=1e-4, atol=1e-5)


def test_given_triplets_join_mined_pairs_and_given_pairs_mined_triplets():
    (embeddings, labels), _ = batches(2)
    triplets = tuple(torch.tensor(rows) for rows in ([0, 1], [2, 3], [4, 5]))
    pairs = lmu.convert_to_pairs(triplets, labels)
    of_pairs = CrossBatchMemory(losses.ContrastiveLoss(), D, 20)
    assert torch.equal(copy.deepcopy(of_pairs)(embeddings, labels, triplets), of_pairs(embeddings, labels, pairs))
    of_triplets = CrossBatchMemory(losses.TripletMarginLoss(), D, 20, miners.BatchHardMiner())
    assert torch.equal(copy.deepcopy(of_triplets)(embeddings, labels, triplets), of_triplets(embeddings, labels, pairs))


def test_a_mask_divides_the_batch_into_stored_rows_and_anchors():
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 20)
    embeddings, labels = torch.randn(6, D), torch.tensor([0, 1, 2, 0, 1, 2])
    mask = torch.tensor([False, False, False, True, True, True])
    value = memory(embeddings, labels, enqueue_mask=mask)
    assert memory.queue_idx == 3
    assert torch.equal(memory.embedding_memory[:3], embeddings[3:])
    expected = losses.ContrastiveLoss()(embeddings[:3], labels[:3], None, embeddings[3:], labels[3:])
    assert torch.equal(value, expected)


def test_a_mask_that_enqueues_nothing_leaves_the_queue_as_it_is():
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 20)
    (first, labels), (second, _) = batches(2)
    nothing, everything = torch.zeros(6, dtype=torch.bool), torch.ones(6, dtype=torch.bool)
    assert memory(first, labels, enqueue_mask=nothing) == 0  # an empty queue
    assert memory.queue_idx == 0 and not memory.has_been_filled
    value, gradient = value_and_gradient(memory, first, labels, None, everything)  # no anchors
    assert value == 0 and torch.equal(gradient, torch.zeros(6, D))
    value = memory(second, labels, enqueue_mask=nothing)
    assert memory.queue_idx == 6 and not memory.has_been_filled
    assert torch.equal(value, losses.ContrastiveLoss()(second, labels, None, first, labels.clone()))


def test_a_batch_of_one_row_is_not_paired_with_itself():
    memory = CrossBatchMemory(losses.ContrastiveLoss(pos_margin=-1.0), D, 20)
    embeddings, labels = torch.randn(1, D), torch.tensor([0])
    found = memory.create_indices_tuple
    seen = []
    memory.create_indices_tuple = lambda *arguments: seen.append(found(*arguments)) or seen[-1]
    memory(embeddings, labels)
    memory(embeddings, labels)
    assert [len(positives) for _, positives, _, _ in seen] == [0, 1]
