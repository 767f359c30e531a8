"""Losses, miners, arguments and calls that a memory refuses, and calls that fail."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from host_losses import NO_LOSSES, accepted_by, make_loss, refused_by
from memory_cases import C, D, adaptive, batches
from pytorch_metric_learning import losses, miners, reducers

from pml_aug.losses import IntrospectiveSoftmaxLoss
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion, ProxySynthesis

# ---- losses and miners

REFUSED = refused_by("CrossBatchMemory")


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_cannot_compare_with_a_memory_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"CrossBatchMemory cannot hold {name}: {REFUSED[name]}"):
        CrossBatchMemory(make_loss(name, C, D), D)


def test_a_loss_that_reads_no_tuples_is_refused():
    with pytest.raises(ValueError, match="cannot hold IntrospectiveSoftmaxLoss: it classifies each row by itself"):
        CrossBatchMemory(IntrospectiveSoftmaxLoss(C, D, 2), D)


def test_what_the_host_library_accepts_is_accepted_but_for_two_that_would_be_wrong():
    of_pml = {*losses.CrossBatchMemory.supported_losses()}
    assert of_pml & REFUSED.keys() == {"LiftedStructureLoss", "NCALoss"}
    assert {*accepted_by("CrossBatchMemory")} - of_pml == {"DynamicSoftMarginLoss"}


def test_the_loss_inside_a_wrapper_is_the_one_that_counts():
    with pytest.raises(
        ValueError, match="hold ProxySynthesis around ProxyNCALoss: it compares embeddings with proxies"
    ):
        CrossBatchMemory(ProxySynthesis(losses.ProxyNCALoss(C, D)), D)
    with pytest.raises(
        ValueError, match="hold EmbeddingExpansion around FastAPLoss: it compares the rows of one batch"
    ):
        CrossBatchMemory(EmbeddingExpansion(losses.FastAPLoss()), D)


def test_swapped_triplets_are_refused():
    with pytest.raises(ValueError, match="cannot hold TripletMarginLoss: with swap=True"):
        CrossBatchMemory(losses.TripletMarginLoss(swap=True), D)


def test_a_reducer_with_a_square_of_the_batch_is_refused():
    with pytest.raises(ValueError, match="cannot hold ContrastiveLoss: its PerAnchorReducer"):
        CrossBatchMemory(losses.ContrastiveLoss(reducer=reducers.PerAnchorReducer()), D)


@pytest.mark.parametrize("name", NO_LOSSES)
def test_what_holds_losses_goes_around_the_memory(name):
    with pytest.raises(TypeError, match=f"`loss` to be a BaseMetricLossFunction .* but got {name}; put MultipleLosses"):
        CrossBatchMemory(NO_LOSSES[name](), D)


def test_two_miners_are_refused():
    loss = EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.BatchHardMiner())
    with pytest.raises(ValueError, match="a miner to CrossBatchMemory or to EmbeddingExpansion, but got one for each"):
        CrossBatchMemory(loss, D, miner=miners.BatchHardMiner())


@pytest.mark.parametrize(
    "make",
    [
        lambda: adaptive(losses.ContrastiveLoss(), miner=miners.PairMarginMiner()),
        lambda: adaptive(EmbeddingExpansion(losses.ContrastiveLoss(), miner=miners.PairMarginMiner())),
    ],
)
def test_a_miner_beside_adaptive_copies_belongs_to_the_memory(make):
    with pytest.raises(ValueError, match="pass the miner to CrossBatchMemory, which forms the pairs, instead of"):
        CrossBatchMemory(make(), D)


def test_what_is_no_miner_is_refused():
    with pytest.raises(TypeError, match="argument `miner` to be a BaseMiner .* but got TripletMarginLoss"):
        CrossBatchMemory(losses.TripletMarginLoss(), D, miner=losses.TripletMarginLoss())


# ---- arguments and calls


@pytest.mark.parametrize(("sizes", "name"), [((0, 10), "embedding_size"), ((4, 0), "memory_size")])
def test_sizes_below_1_are_refused(sizes, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, but got 0"):
        CrossBatchMemory(losses.ContrastiveLoss(), *sizes)


@pytest.mark.parametrize("name", ["loss", "miner", "embedding_size", "memory_size"])
def test_what_the_constructor_settled_is_not_replaced(name):
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 10)
    with pytest.raises(AttributeError, match=f"`{name}` of CrossBatchMemory is settled at construction"):
        setattr(memory, name, None)


@pytest.mark.parametrize("name", ["reducer", "distance", "pos_margin", "embedding_regularizer"])
def test_attributes_of_the_loss_are_set_on_the_loss(name):
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 10)
    with pytest.raises(AttributeError, match=f"does not use `{name}`: set it on the wrapped loss"):
        setattr(memory, name, None)


LABELS = torch.arange(6) % C


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.randn(6, 5), LABELS), "`embeddings` must have embedding_size=4 columns, but got 5"),
        ((torch.randn(6, 4), LABELS[:5]), r"`labels` must be integers of shape \(6,\)"),
        ((torch.full((6, 4), torch.nan), LABELS), "`embeddings` must be finite"),
        (
            (torch.randn(11, 4), torch.arange(11) % C),
            "cannot enqueue 11 rows in a memory of 10: memory_size must be",
        ),
        ((torch.randn(6, 4), LABELS, None, torch.ones(6)), "`enqueue_mask` must be bool .* but got torch.float32"),
        (
            (torch.randn(6, 4), LABELS, (LABELS,) * 3, LABELS > 0),
            "`indices_tuple` and `enqueue_mask` exclude each other",
        ),
    ],
)
def test_a_wrong_call_is_refused_and_leaves_the_queue_as_it_was(arguments, message):
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 10)
    with pytest.raises(ValueError, match=message):
        memory(*arguments)
    assert memory.queue_idx == 0
    assert torch.equal(memory.embedding_memory, torch.zeros(10, D))


# ---- calls that fail, and threads


class Failing(losses.ContrastiveLoss):
    """Fails, or returns the given value, instead of a loss."""

    result = None

    def forward(self, *arguments):
        value = super().forward(*arguments)
        if self.result is None:
            return value
        if isinstance(self.result, Exception):
            raise self.result
        return value * self.result


@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize("result", [ZeroDivisionError(), float("nan"), float("inf")])
def test_a_call_that_fails_or_overflows_leaves_no_mark(before, result):
    memory = CrossBatchMemory(Failing(), D, 20)
    for batch in batches(before):
        memory(*batch)
    state = copy.deepcopy(memory.state_dict())
    memory.loss.result = result
    embeddings, labels = torch.randn(6, D, dtype=torch.float64), torch.arange(6) % C
    if isinstance(result, Exception):
        with pytest.raises(ZeroDivisionError):
            memory(embeddings, labels)
    else:
        assert not torch.isfinite(memory(embeddings, labels))
    for name, value in memory.state_dict().items():
        assert value.dtype == state[name].dtype and torch.equal(value, state[name])
    memory.loss.result = None
    memory(*next(batches(1)))
    assert memory.queue_idx == (6 * before + 6) % 20


def test_concurrent_calls_give_the_right_value_or_a_refusal():
    memory = CrossBatchMemory(losses.ContrastiveLoss(), D, 12)  # full with every batch: each value is the batch's own
    rows, labels = torch.randn(40, 12, D), torch.arange(12) % C
    expected = [CrossBatchMemory(losses.ContrastiveLoss(), D, 12)(batch, labels) for batch in rows]

    def call(batch):
        try:
            return memory(batch, labels)
        except RuntimeError as error:
            assert "in use by another thread" in str(error)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(call, rows))
    assert all(value is None or torch.allclose(value, right) for value, right in zip(found, expected, strict=True))
    assert any(torch.equal(memory.embedding_memory, batch) for batch in rows)
