"""Two gloo processes give the gradients of one process with the whole batch."""

import copy
import socket
import warnings

import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn
from wrapper_cases import WRAPPERS, example_of

from pml_aug import wrappers
from pml_aug.wrappers import misuse

CLASSES, SIZE, FEATURES, STEPS = 6, 8, 5, 3
KINDS = {kind.__name__: kind for kind in WRAPPERS}


def make_loss(name: str) -> nn.Module:
    torch.manual_seed(1)
    if name in KINDS:
        return example_of(KINDS[name], CLASSES, SIZE).double()
    multi_similarity, proxy_anchor = losses.MultiSimilarityLoss(), losses.ProxyAnchorLoss(CLASSES, SIZE)
    triplets = losses.TripletMarginLoss(triplets_per_anchor=2)
    if name in ("iaa", "memory of iaa", "iaa of drawn triplets"):
        loss = wrappers.IntraClassAdaptiveAugmentation(
            triplets if name == "iaa of drawn triplets" else multi_similarity,
            CLASSES,
            SIZE,
            miner=miners.MultiSimilarityMiner() if name == "iaa" else None,
        )
        loss.refresh(torch.randn(60, SIZE), torch.arange(60) % CLASSES)
        return (wrappers.CrossBatchMemory(loss, SIZE, 24) if name == "memory of iaa" else loss).double()
    return {
        "drawn triplets": triplets,
        "ee of drawn triplets": wrappers.EmbeddingExpansion(triplets),
        "memory with a miner that draws": wrappers.CrossBatchMemory(
            losses.TripletMarginLoss(), SIZE, 24, miners.DistanceWeightedMiner()
        ),
        "baseline": multi_similarity,
        "ee": wrappers.EmbeddingExpansion(multi_similarity, miner=miners.MultiSimilarityMiner()),
        "ps": wrappers.ProxySynthesis(proxy_anchor, ratio=0.5),
        "itself": multi_similarity,
        "vicreg": losses.VICRegLoss(),
        "iaa_ps": wrappers.IntraClassAdaptiveAugmentation(wrappers.ProxySynthesis(proxy_anchor), CLASSES, SIZE),
    }[name].double()


def make_batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, FEATURES, generator=generator, dtype=torch.float64), torch.arange(16) % 4


def make_arguments(name: str, network: nn.Module, rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
    embeddings = network(rows)
    if name == "vicreg":
        return {"embeddings": embeddings, "ref_emb": network(rows + 1)}
    references = {"ref_emb": embeddings, "ref_labels": labels} if name == "itself" else {}
    return {"embeddings": embeddings, "labels": labels, **references}


def gradients(name: str, rank: int, world_size: int) -> list[list[Tensor]]:
    """Mean over the processes of the gradients of the network and of the loss's own weights, for some steps."""
    torch.manual_seed(0)
    network, loss = nn.Linear(FEATURES, SIZE).double(), make_loss(name)
    wrapped = wrappers.DistributedLossWrapper(loss, seed=5)
    parameters = [*network.parameters(), *loss.parameters()]
    found = []
    torch.manual_seed(100 + 10 * world_size + rank)  # of a process's own: it loads its own images
    for step in range(STEPS):
        rows, labels = (part.chunk(world_size)[rank] for part in make_batch(step))
        step_gradients = torch.autograd.grad(wrapped(**make_arguments(name, network, rows, labels)), parameters)
        if world_size > 1:
            for gradient in step_gradients:
                torch.distributed.all_reduce(gradient)
        found.append([gradient / world_size for gradient in step_gradients])
    return found


def process(rank: int, port: int, name: str, results) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = gradients(name, rank, world_size=2)
    results.put((rank, [[gradient.numpy() for gradient in step] for step in found]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "baseline",
        "drawn triplets",
        "ee",
        "ee of drawn triplets",
        "iaa",
        "iaa of drawn triplets",
        "iaa_ps",
        "itself",
        "memory of iaa",
        "memory with a miner that draws",
        "ps",
        "vicreg",
        *KINDS,
    ],
)
def test_two_processes_give_the_gradients_of_one(name):
    expected = gradients(name, rank=0, world_size=1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = torch.multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=process, args=(rank, port, name, results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = dict(results.get() for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    for rank in range(2):
        for theirs, ours in zip(found[rank], expected, strict=True):
            for mine, one in zip(theirs, ours, strict=True):
                torch.testing.assert_close(torch.from_numpy(mine), one, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["ps", "drawn triplets"])
def test_what_it_draws_goes_on_where_it_was_saved(name):
    wrapped = wrappers.DistributedLossWrapper(make_loss(name), seed=5)
    rows, labels = torch.randn(16, SIZE, dtype=torch.float64), torch.arange(16) % 4
    first = wrapped(rows, labels)
    other = copy.deepcopy(wrappers.DistributedLossWrapper(make_loss(name), seed=9))
    other.load_state_dict(wrapped.state_dict())
    second = wrapped(rows, labels)
    assert torch.equal(second, other(rows, labels)) and not torch.equal(first, second)


@pytest.mark.parametrize("seed", [1.5, "1", None, True, -1])
def test_seeds_are_integers(seed):
    with pytest.raises((TypeError, ValueError), match="^seed must be"):
        wrappers.DistributedLossWrapper(make_loss("ps"), seed=seed)


def test_attributes_without_effect_cannot_be_set():
    wrapped = wrappers.DistributedLossWrapper(make_loss("baseline"))
    with pytest.raises(AttributeError, match="`efficient` of DistributedLossWrapper is settled at construction"):
        wrapped.efficient = True
    with pytest.raises(AttributeError, match="does not use `reducer`: set it on the wrapped loss"):
        wrapped.reducer = None


@pytest.fixture
def two_processes(monkeypatch):
    """Pretends to be one of two processes."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    misuse.warn_once.cache_clear()


@pytest.mark.parametrize("name", ["ps", "iaa", "iaa_ps"])
def test_points_that_each_process_draws_for_itself_are_warned_of_once(two_processes, name):
    loss, labels = make_loss(name), torch.arange(8) % 4
    with pytest.warns(UserWarning, match="different synthetic points in each process.*DistributedLossWrapper") as seen:
        for _ in range(3):
            loss(torch.randn(8, SIZE, dtype=torch.float64), labels)
    assert len(seen) == len({str(warning.message) for warning in seen})


@pytest.mark.parametrize("name", ["ps", "iaa", "ee", "baseline"])
def test_a_shared_generator_or_nothing_random_is_not_warned_of(two_processes, name):
    loss, labels = make_loss(name), torch.arange(8) % 4
    options = {"generator": torch.Generator()} if name in ("ps", "iaa") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(torch.randn(8, SIZE, dtype=torch.float64), labels, **options)


def test_the_global_generator_goes_on_as_before():
    wrapped, drawn = wrappers.DistributedLossWrapper(make_loss("drawn triplets")), []
    for called in (False, True):
        torch.manual_seed(3)
        if called:
            wrapped(torch.randn(8, SIZE, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4)
        drawn.append(torch.rand(2))
    assert torch.equal(*drawn)


def test_rows_of_one_process_are_refused_as_tuples():
    wrapped = wrappers.DistributedLossWrapper(make_loss("ee"))
    pair = torch.tensor([0])
    with pytest.raises(ValueError, match="takes no `indices_tuple`"):
        wrapped(torch.randn(4, SIZE), torch.tensor([0, 0, 1, 1]), (pair, pair, pair, pair))


def test_references_without_labels_reach_the_loss():
    rows, others = torch.randn(8, SIZE), torch.randn(8, SIZE)
    loss = losses.VICRegLoss()
    assert torch.equal(wrappers.DistributedLossWrapper(loss)(rows, ref_emb=others), loss(rows, ref_emb=others))
    with pytest.raises(ValueError, match="`ref_emb` was given without `ref_labels`"):
        wrappers.DistributedLossWrapper(make_loss("ee"))(rows, torch.arange(8) % 4, ref_emb=others)


def test_references_are_refused_around_a_memory():
    memory, labels = wrappers.CrossBatchMemory(losses.ContrastiveLoss(), SIZE), torch.arange(8) % 4
    with pytest.raises(ValueError, match="takes no `ref_emb` and no `ref_labels` around CrossBatchMemory"):
        wrappers.DistributedLossWrapper(memory)(torch.randn(8, SIZE), labels, None, torch.randn(8, SIZE), labels)
