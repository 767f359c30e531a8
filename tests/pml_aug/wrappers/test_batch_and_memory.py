"""The loss of the batch beside that of a memory: which terms there are, and when."""

import copy

import pytest
import torch
from memory_cases import D, adaptive, batches
from pytorch_metric_learning import losses, miners, reducers, regularizers

from pml_aug.wrappers import BatchAndMemory, CrossBatchMemory, EmbeddingExpansion


def contrastive(**options):
    return losses.ContrastiveLoss(pos_margin=0.1, neg_margin=1.5, **options)


def expanded(**options):
    return EmbeddingExpansion(losses.TripletMarginLoss(margin=1.0), 2, **options)


def test_it_is_the_batch_during_the_warm_up_and_then_the_sum_with_a_memory_that_starts_there():
    loss, baseline = BatchAndMemory(contrastive(), D, 20, warm_up=2, memory_weight=0.5), contrastive()
    memory = CrossBatchMemory(contrastive(), D, 20)
    for number, batch in enumerate(batches(6)):
        expected = baseline(*batch) + (0.5 * memory(*batch) if number >= 2 else 0)
        torch.testing.assert_close(loss(*batch), expected, rtol=0, atol=0)
    assert loss.has_been_filled


@pytest.mark.parametrize("memory_weight", [0.0, 1.0])
def test_without_weight_or_in_evaluation_mode_it_is_the_baseline_to_the_last_bit(memory_weight):
    loss = BatchAndMemory(contrastive(), D, 20, warm_up=0, memory_weight=memory_weight).train(memory_weight == 0)
    for batch in batches(3):
        assert torch.equal(loss(*batch), contrastive()(*batch))
    assert loss.queue_idx == (18 if memory_weight == 0 else 0)


def test_a_miner_mines_in_the_batch_and_in_the_memory():
    miner, baseline = miners.BatchHardMiner(), losses.TripletMarginLoss(margin=1.0)
    loss = BatchAndMemory(baseline, D, 20, miner, warm_up=0)
    memory = CrossBatchMemory(baseline, D, 20, miner)
    for batch in batches(3):
        assert torch.equal(loss(*batch), baseline(*batch, miner(*batch)) + memory(*batch))


@pytest.mark.parametrize("wrap", [expanded, lambda **options: adaptive(losses.TripletMarginLoss(margin=1), **options)])
def test_a_wrapper_with_a_miner_augments_and_mines_in_both_terms(wrap):
    miner = miners.BatchHardMiner()
    loss = BatchAndMemory(wrap(miner=miner), D, 20, warm_up=0)
    batch_loss, memory = wrap(miner=miner), CrossBatchMemory(wrap(), D, 20, miner)
    for batch in batches(3):
        torch.manual_seed(3)
        value = loss(*batch)
        torch.manual_seed(3)
        assert torch.equal(value, batch_loss(*batch) + memory(*batch))
    assert loss.loss.miner is miner


def test_tuples_that_are_given_are_those_of_the_batch_alone():
    miner, baseline = miners.BatchEasyHardMiner(), losses.TripletMarginLoss(margin=1.0)
    loss, memory = BatchAndMemory(baseline, D, 20, warm_up=0), CrossBatchMemory(baseline, D, 20)
    for batch in batches(2):
        assert torch.equal(loss(*batch, miner(*batch)), baseline(*batch, miner(*batch)) + memory(*batch))


def test_a_regularizer_counts_once_and_reduced_by_nothing_both_terms_are_given():
    regularized = contrastive(embedding_regularizer=regularizers.LpRegularizer())
    loss, memory = BatchAndMemory(regularized, D, 20, warm_up=0), CrossBatchMemory(contrastive(), D, 20)
    ((embeddings, labels),) = batches(1)
    assert torch.equal(loss(embeddings, labels), regularized(embeddings, labels) + memory(embeddings, labels))
    unreduced = BatchAndMemory(contrastive(reducer=reducers.DoNothingReducer()), D, 20, warm_up=0, memory_weight=2)
    terms = unreduced(embeddings, labels)
    assert {name: term["weight"] for name, term in terms.items()} == {
        "pos_loss": 1, "neg_loss": 1, "memory.pos_loss": 2, "memory.neg_loss": 2,
    }  # fmt: skip


def test_a_resumed_training_goes_on_bit_for_bit():
    loss = BatchAndMemory(expanded(miner=miners.BatchHardMiner()), D, 20, warm_up=2)
    resumed = copy.deepcopy(loss)
    for batch in batches(3):
        loss(*batch)
    resumed.load_state_dict(loss.state_dict())
    for batch in batches(3):
        assert torch.equal(resumed(*batch), loss(*batch))


def test_the_gradient_is_the_sum_of_those_of_both_terms():
    loss, memory = BatchAndMemory(contrastive(), D, 20, warm_up=0), CrossBatchMemory(contrastive(), D, 20)
    for embeddings, labels in batches(3):
        rows = embeddings.requires_grad_()
        gradients = [torch.autograd.grad(each(rows, labels), rows)[0] for each in (loss, contrastive(), memory)]
        torch.testing.assert_close(gradients[0], gradients[1] + gradients[2])


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: BatchAndMemory(contrastive(), D, warm_up=-1), ValueError, "warm_up"),
        (lambda: BatchAndMemory(contrastive(), D, memory_weight=-1), ValueError, "memory_weight"),
        (lambda: BatchAndMemory(losses.ProxyAnchorLoss(3, D), D), ValueError, "compares embeddings with proxies"),
        (lambda: BatchAndMemory(losses.NCALoss(), D), ValueError, "the nearest positive is the row"),
        (lambda: BatchAndMemory(expanded(), D, 20, miners.BatchHardMiner()), ValueError, "pass the miner to Embedding"),
        (
            lambda: BatchAndMemory(expanded(miner=miners.BatchHardMiner()), D, 20, miners.BatchHardMiner()),
            ValueError,
            "got one for each",
        ),
        (
            lambda: BatchAndMemory(contrastive(), D)(torch.eye(4), torch.arange(4), enqueue_mask=torch.ones(4) > 0),
            ValueError,
            "use CrossBatchMemory",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()
