"""Kernels, host waits and values of the library on a device, by the counter of operations of the cost command."""

import copy
from functools import partial

import iaa_cases
import proxy_synthesis_cases
import pytest
import torch
from measuring import value_and_gradient
from pytorch_metric_learning import losses, miners
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.profiling.op_counter import count
from pml_aug.synthesis import different_class_pairs
from pml_aug.wrappers import DistributedLossWrapper, ProxySynthesis


def test_on_a_device_the_rows_of_one_class_share_a_partner():
    found = []
    count(lambda device: lambda: found.extend(different_class_pairs(torch.zeros(5, dtype=torch.long, device=device))))
    start, end = (rows.numbers for rows in found)
    assert start.sort().values.tolist() == [0, 1, 2, 3, 4] and end.tolist() == start[:1].tolist() * 5


def test_drawn_triplets_follow_the_generator_on_any_device():
    (embeddings, labels), loss, found = iaa_cases.batch(), losses.TripletMarginLoss(triplets_per_anchor=2), []
    noise = iaa_cases.noise_for(embeddings)

    def value(seed, device="cpu"):
        wrapper, generator = iaa_cases.wrap(loss), torch.Generator().manual_seed(seed)
        return wrapper(embeddings.to(device), labels, noise=noise, generator=generator)

    count(lambda device: lambda: found.append(value(1, device).cpu()))
    assert torch.equal(value(1), value(1)) and not torch.equal(value(1), value(2))
    torch.testing.assert_close(found[0], value(1))


@pytest.mark.parametrize(
    ("make", "make_miner"),
    [
        (losses.MultiSimilarityLoss, miners.MultiSimilarityMiner),
        (losses.MultiSimilarityLoss, lambda: None),
        (losses.ContrastiveLoss, lambda: None),
        (losses.TripletMarginLoss, miners.BatchHardMiner),
        (lambda: losses.ProxyAnchorLoss(iaa_cases.NUM_CLASSES, iaa_cases.SIZE), lambda: None),
    ],
)
@pytest.mark.parametrize("labels_there", [False, True])
def test_adaptive_augmentation_adds_few_kernels_and_no_host_wait(make, make_miner, labels_there):
    embeddings, labels = iaa_cases.batch()

    def step(device, wrapped):
        loss, miner = make().to(device), make_miner()
        wrapper = iaa_cases.wrap(loss, miner).to(device)
        rows, classes = embeddings.to(device), labels.to(device if labels_there else "cpu")

        def baseline(rows, labels):
            return loss(rows, labels, None if miner is None else miner(rows, labels))

        return lambda: value_and_gradient(wrapper if wrapped else baseline, rows, classes)

    plain, augmented = (count(partial(step, wrapped=wrapped)) for wrapped in (False, True))
    assert augmented.kernels - plain.kernels <= 60
    assert augmented.waits <= plain.waits


@pytest.mark.parametrize("labels_there", [False, True])
@pytest.mark.parametrize(
    "name", sorted(set(proxy_synthesis_cases.WORK) - {"P2SGradLoss"})
)  # rewrites `data`, which `count` does not follow
def test_proxy_synthesis_adds_no_host_wait(name, labels_there):
    embeddings, labels = proxy_synthesis_cases.batch()

    def step(device, wrapped):
        loss = proxy_synthesis_cases.WORK[name](proxy_synthesis_cases.C).to(device)
        loss = ProxySynthesis(loss) if wrapped else loss
        rows, classes = embeddings.to(device), labels.to(device if labels_there else "cpu")
        return lambda: proxy_synthesis_cases.value_and_gradients(loss, rows, classes)

    plain, augmented = (count(partial(step, wrapped=wrapped)) for wrapped in (False, True))
    assert augmented.waits <= plain.waits


class OwnGenerators(TorchDispatchMode):
    """Requires a generator to be on the device that is drawn on, as real accelerators do."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        generator, device = ((kwargs or {}).get(name) for name in ("generator", "device"))
        if generator is not None and device is not None:
            assert generator.device.type == torch.device(device).type, function
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("labels_there", [False, True])
@pytest.mark.parametrize("distributed", [False, True])
def test_proxy_synthesis_draws_from_a_generator_on_the_cpu_without_a_wait(distributed, labels_there):
    embeddings, labels = proxy_synthesis_cases.batch()
    loss, found = proxy_synthesis_cases.WORK["NormalizedSoftmaxLoss"](proxy_synthesis_cases.C), []
    expected = ProxySynthesis(loss)(embeddings, labels, generator=torch.Generator().manual_seed(0))

    def step(device):
        wrapper, draws = ProxySynthesis(copy.deepcopy(loss).to(device)), {"generator": torch.Generator().manual_seed(0)}
        if distributed:
            wrapper, draws = DistributedLossWrapper(wrapper, seed=0), {}
        rows, classes = embeddings.to(device), labels.to(device if labels_there else "cpu")

        def call():
            with OwnGenerators():
                found.append(wrapper(rows, classes, **draws))

        return call

    assert count(step).waits == 0
    torch.testing.assert_close(found[0].numbers, expected)
