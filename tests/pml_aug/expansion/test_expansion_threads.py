"""A second thread gets the right value or a refusal, and leaves loss, miner and distances as they were."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from expansion_cases import C, D, batch
from pytorch_metric_learning import losses, miners

from pml_aug.miners import ExpansionMiner
from pml_aug.wrappers import EmbeddingExpansion


def outcomes(call, times=40):
    """Values, or None for a refusal, of calls from two threads."""

    def one(_):
        try:
            return call()
        except RuntimeError as error:
            assert "in use by another thread" in str(error)
            return None

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(one, range(times)))


MAKE = {
    "rows": lambda: EmbeddingExpansion(losses.MultiSimilarityLoss(), miner=miners.MultiSimilarityMiner()),
    "proxies": lambda: EmbeddingExpansion(losses.ProxyAnchorLoss(C, D)),
}


@pytest.mark.parametrize("name", MAKE)
def test_concurrent_calls_give_the_right_value_or_a_refusal_and_do_no_harm(name):
    embeddings, labels = batch(size=24)
    wrapper = MAKE[name]()
    expected, distance = wrapper(embeddings, labels).detach(), wrapper.loss.distance
    found = [value for value in outcomes(lambda: wrapper(embeddings, labels).detach()) if value is not None]
    assert all(torch.equal(value, expected) for value in found)
    assert wrapper.loss.distance is distance and torch.equal(wrapper(embeddings, labels).detach(), expected)


def test_concurrent_mining_gives_the_right_pairs_or_a_refusal():
    embeddings, labels = batch(size=24)
    miner = ExpansionMiner(miners.MultiSimilarityMiner())
    expected, distance = miner(embeddings, labels), miner.miner.distance
    for found in outcomes(lambda: miner(embeddings, labels)):
        assert found is None or all(torch.equal(*parts) for parts in zip(found, expected, strict=True))
    assert miner.miner.distance is distance and distance.normalize_embeddings


class Slow(miners.BatchHardMiner):
    """Waits inside, so that a second thread surely comes meanwhile."""

    def __init__(self, inside, leave):
        super().__init__()
        self.wait = lambda: (inside.set(), leave.wait(10))

    def mine(self, *args):
        self.wait()
        return super().mine(*args)


@pytest.mark.parametrize(
    "make", [ExpansionMiner, lambda miner: EmbeddingExpansion(losses.TripletMarginLoss(), 2, miner)]
)
def test_a_second_thread_is_refused_while_the_first_is_inside(make):
    inside, leave = threading.Event(), threading.Event()
    part, (embeddings, labels) = make(Slow(inside, leave)), batch()
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(part, embeddings, labels)
        assert inside.wait(10)
        with pytest.raises(RuntimeError, match="in use by another thread"):
            part(embeddings, labels)
        leave.set()
        first.result()
    part(embeddings, labels)


def test_copies_are_independent():
    wrapper = MAKE["rows"]()
    embeddings, labels = batch()
    assert torch.equal(copy.deepcopy(wrapper)(embeddings, labels), wrapper(embeddings, labels))


def test_a_batch_on_which_the_expansion_cannot_act_is_visible():
    wrapper = EmbeddingExpansion(losses.ContrastiveLoss())
    assert wrapper.num_synthetic == 0
    for labels, expected in (([0, 0, 1, 1], 4), ([0, 1, 2, 3], 0), ([5, 5, 5, 5], 0), ([0, 0, 1, 2], 2)):
        wrapper(torch.randn(4, 3), torch.tensor(labels))
        assert wrapper.num_synthetic == expected
    proxies = EmbeddingExpansion(losses.ProxyAnchorLoss(C, D))
    for labels, expected in (([0, 0, 1, 1], 4), ([0, 1, 2, 3], 0), ([1, 1, 1, 1], 4)):
        proxies(torch.randn(4, D), torch.tensor(labels))
        assert proxies.num_synthetic == expected


@pytest.mark.parametrize("make", [EmbeddingExpansion, ExpansionMiner])
@pytest.mark.parametrize(
    "options",
    [{"num_points": 1.5}, {"num_points": True}, {"num_points": float("nan")}, {"normalize": "no"}, {"pairing": None}],
)
def test_arguments_that_mean_nothing_are_refused_by_name(make, options):
    part = losses.TripletMarginLoss() if make is EmbeddingExpansion else miners.BatchHardMiner()
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(options))} must be"):
        make(part, **options)
