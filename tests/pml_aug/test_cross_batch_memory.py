"""A memory of earlier batches: PML's numbers, wrapped losses, a resumed training, refusals."""

import copy
import io
import pickle

import pytest
import torch
from pytorch_metric_learning import losses, miners, reducers
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

from pml_aug.losses import BinomialDevianceLoss, SoftLiftedStructureLoss
from pml_aug.miners import ExpansionMiner
from pml_aug.regularizers import MultiLevelDistanceRegularizer
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion, IntraClassAdaptiveAugmentation, ProxySynthesis

C, D = 3, 4


def batches(number, size=6, dtype=torch.float32):
    for _ in range(number):
        yield torch.randn(size, D, dtype=dtype), torch.randint(C, (size,))


def value_and_gradient(loss, embeddings, labels, *rest):
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, *rest)
    value.backward()
    return value.detach(), embeddings.grad


# ---- as PML's

AS_PML = [name for name in losses.CrossBatchMemory.supported_losses() if name not in ("LiftedStructureLoss", "NCALoss")]


@pytest.mark.parametrize("make_miner", [None, miners.MultiSimilarityMiner, miners.BatchHardMiner])
@pytest.mark.parametrize("name", AS_PML)
def test_around_a_bare_loss_it_is_the_host_library_s_memory(name, make_miner):
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


# ---- wrapped losses


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


def adaptive(loss, **options):
    wrapper = IntraClassAdaptiveAugmentation(loss, C, D, **options)
    wrapper.refresh(torch.randn(60, D, generator=torch.Generator().manual_seed(6)), torch.arange(60) % C)
    return wrapper


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


# ---- rows named by the caller


def test_given_tuples_name_rows_of_the_batch_wherever_it_lies_in_the_queue():
    memory = CrossBatchMemory(losses.ContrastiveLoss(reducer=reducers.SumReducer()), D, 20)
    for embeddings, labels in batches(4):
        bare = copy.deepcopy(memory)(embeddings, labels)
        given = miners.PairMarginMiner(pos_margin=0, neg_margin=2)(embeddings, labels)
        added = memory(embeddings, labels, given) - bare
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


# ---- state


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


# ---- refusals

ONE_BATCH, PROXIES = "rows of one batch with each other", "compares embeddings with proxies"
REFUSED = {
    "ArcFaceLoss": (lambda: losses.ArcFaceLoss(C, D), PROXIES),
    "CosFaceLoss": (lambda: losses.CosFaceLoss(C, D), PROXIES),
    "FastAPLoss": (lambda: losses.FastAPLoss(), ONE_BATCH),
    "HistogramLoss": (lambda: losses.HistogramLoss(), ONE_BATCH),
    "InstanceLoss": (lambda: losses.InstanceLoss(), ONE_BATCH),
    "LargeMarginSoftmaxLoss": (lambda: losses.LargeMarginSoftmaxLoss(C, D), PROXIES),
    "LiftedStructureLoss": (lambda: losses.LiftedStructureLoss(), "takes positions in the memory for rows"),
    "ManifoldLoss": (lambda: losses.ManifoldLoss(l=D), PROXIES),
    "NCALoss": (lambda: losses.NCALoss(), "the own copy of a row"),
    "NPairsLoss": (lambda: losses.NPairsLoss(), ONE_BATCH),
    "NormalizedSoftmaxLoss": (lambda: losses.NormalizedSoftmaxLoss(C, D), PROXIES),
    "P2SGradLoss": (lambda: losses.P2SGradLoss(D, C), PROXIES),
    "PNPLoss": (lambda: losses.PNPLoss(), ONE_BATCH),
    "ProxyAnchorLoss": (lambda: losses.ProxyAnchorLoss(C, D), PROXIES),
    "ProxyNCALoss": (lambda: losses.ProxyNCALoss(C, D), PROXIES),
    "RankedListLoss": (lambda: losses.RankedListLoss(margin=0.4, Tn=10), ONE_BATCH),
    "SmoothAPLoss": (lambda: losses.SmoothAPLoss(), ONE_BATCH),
    "SoftTripleLoss": (lambda: losses.SoftTripleLoss(C, D), PROXIES),
    "SphereFaceLoss": (lambda: losses.SphereFaceLoss(C, D), PROXIES),
    "SubCenterArcFaceLoss": (lambda: losses.SubCenterArcFaceLoss(num_classes=C, embedding_size=D), PROXIES),
    "ThresholdConsistentMarginLoss": (lambda: losses.ThresholdConsistentMarginLoss(), "in the batch, wherever"),
    "VICRegLoss": (lambda: losses.VICRegLoss(), "two views row by row"),
}
NO_LOSSES = {
    "CrossBatchMemory": lambda: losses.CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=D),
    "MultipleLosses": lambda: losses.MultipleLosses([losses.ContrastiveLoss()]),
    "SelfSupervisedLoss": lambda: losses.SelfSupervisedLoss(losses.ContrastiveLoss()),
}
ABSTRACT = {"BaseLossWrapper", "BaseMetricLossFunction", "EmbeddingRegularizerMixin", "GenericPairLoss"}
ABSTRACT |= {"WeightRegularizerMixin"}


def test_every_loss_of_the_host_library_has_its_verdict():
    known = {name for name, kind in vars(losses).items() if isinstance(kind, type)}
    assert known == {*REFUSED, *NO_LOSSES, *AS_PML, *ABSTRACT, "DynamicSoftMarginLoss"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_cannot_compare_with_a_memory_is_refused_by_name(name):
    make, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"CrossBatchMemory cannot hold {name}: .*{reason}"):
        CrossBatchMemory(make(), D)


def test_what_the_host_library_refuses_to_compare_with_others_is_refused_here():
    embeddings, labels = torch.randn(6, D), torch.arange(6) % C
    for name, (make, _) in REFUSED.items():
        if name not in ("LiftedStructureLoss", "NCALoss", "ThresholdConsistentMarginLoss"):
            with pytest.raises(ValueError, match="not supported for this loss"):
                make()(embeddings, labels, None, torch.randn(9, D), torch.arange(9) % C)


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
    with pytest.raises(ValueError, match="give the miner to CrossBatchMemory, which names the pairs, instead of"):
        CrossBatchMemory(make(), D)


def test_what_is_no_miner_is_refused():
    with pytest.raises(TypeError, match="argument `miner` to be a BaseMiner .* but got TripletMarginLoss"):
        CrossBatchMemory(losses.TripletMarginLoss(), D, miner=losses.TripletMarginLoss())


@pytest.mark.parametrize(("sizes", "name"), [((0, 10), "embedding_size"), ((4, 0), "memory_size")])
def test_sizes_below_1_are_refused(sizes, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, but got 0"):
        CrossBatchMemory(losses.ContrastiveLoss(), *sizes)


LABELS = torch.arange(6) % C


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.randn(6, 5), LABELS), "`embeddings` must have embedding_size=4 columns, but got 5"),
        ((torch.randn(6, 4), LABELS[:5]), r"`labels` must be integers of shape \(6,\)"),
        ((torch.full((6, 4), torch.nan), LABELS), "`embeddings` must be finite"),
        ((torch.randn(11, 4), torch.arange(11) % C), "cannot enqueue 11 rows in a memory of 10: raise memory_size"),
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
