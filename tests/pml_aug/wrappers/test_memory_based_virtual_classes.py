"""Memory-based virtual classes: recorded numbers, limits, gradients, memory and refusals."""

import copy
import math

import pytest
import torch
from measuring import relative_error
from proxy_synthesis_cases import WORK, C, Cosine, D, batch, proxies_of, record_calls, value_and_gradients
from pytorch_metric_learning import distances, losses, reducers
from torch.nn.functional import normalize

from pml_aug.wrappers import EmbeddingExpansion, MemoryBasedVirtualClasses

RECORDED = [f"memvir_{number:02d}" for number in range(8)]


def trained(wrapper, steps, seed=0):
    """The values of some calls, between which the proxies change."""
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(steps):
        rows = torch.randn(8, D, generator=generator)
        values.append(wrapper(rows, torch.arange(8) % C).item())
        proxies_of(wrapper.loss).data.add_(torch.randn(C, D, generator=generator), alpha=0.1)
    return values


# ---- recorded numbers


@pytest.mark.parametrize("distance", [distances.CosineSimilarity, Cosine])
@pytest.mark.parametrize("name", RECORDED)
def test_around_both_official_losses_it_is_the_recorded_loss(golden, name, distance):
    file = golden(name)
    meta, shape = file.meta, file.proxies_0.shape
    if meta["loss"] == "NormSoftmax":
        loss = losses.NormalizedSoftmaxLoss(*shape, temperature=1 / meta["scale"], distance=distance()).double()
    else:
        loss = losses.ProxyNCALoss(*shape, softmax_scale=meta["scale"]).double()
    wrapper = MemoryBasedVirtualClasses(loss, meta["num_steps"], meta["step_gap"])
    for step in range(meta["steps"]):
        calls = record_calls(loss)
        wrapper.active = meta["epochs"][step] > meta["warm_epoch"]
        recorded = {key: getattr(file, f"{key}_{step}") for key in ("embeddings", "labels", "proxies")}
        proxies_of(loss).data.copy_(recorded["proxies"])
        value, gradient, of_proxies = value_and_gradients(wrapper, recorded["embeddings"], recorded["labels"])
        scale = max(1.0, float(getattr(file, f"loss_{step}")))  # of one class without virtual ones all are 0
        assert abs(value - getattr(file, f"loss_{step}")) < 1e-10 * scale
        of_proxies = of_proxies if meta["loss"] == "ProxyNCA" else of_proxies.T
        for mine, key in ((gradient, "grad_embeddings"), (of_proxies, "grad_proxies")):
            expected = getattr(file, f"{key}_{step}")
            assert (mine - expected).abs().max() < 1e-10 * expected.abs().max().clamp_min(1e-3)
        ((rows, labels, proxies),) = calls
        assert relative_error(normalize(rows), getattr(file, f"all_embeddings_{step}")) < 1e-12
        assert torch.equal(labels, getattr(file, f"all_labels_{step}"))
        assert torch.equal(proxies, getattr(file, f"all_proxies_{step}"))
        assert wrapper.num_synthetic == meta["virtual_steps"][step] * meta["n_classes"]


# ---- by hand, in two dimensions


def test_a_class_is_told_from_itself_one_step_earlier():
    loss = losses.NormalizedSoftmaxLoss(1, 2, temperature=1.0)
    loss.W.data = torch.tensor([[1.0], [0.0]])
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=1, step_gap=0)
    assert wrapper(torch.tensor([[1.0, 0.0]]), torch.tensor([0])) == 0  # one class alone
    loss.W.data = torch.tensor([[0.0], [1.0]])
    value = wrapper(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    # each row has cosine 1 to the proxy of its step and 0 to the other
    torch.testing.assert_close(value, torch.tensor(math.log(math.e + 1) - 1))


# ---- limits and gradients


@pytest.mark.parametrize("change", [{"num_steps": 0}, {"step_gap": 3}, {"active": False}, "eval"])
@pytest.mark.parametrize("name", WORK)
def test_without_virtual_classes_it_is_the_baseline_loss_to_the_last_bit(name, change):
    loss = WORK[name](C)
    wrapper = MemoryBasedVirtualClasses(copy.deepcopy(loss), **({"step_gap": 0} | (change if change != "eval" else {})))
    if change == "eval":
        wrapper.prepare(*batch())
        wrapper.eval()
    for _ in range(3):
        embeddings, labels = batch()
        results = [value_and_gradients(each, embeddings, labels) for each in (wrapper, loss)]
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(*results, strict=True))
        assert wrapper.num_synthetic == 0


@pytest.mark.parametrize("name", sorted(set(WORK) - {"P2SGradLoss"}))
def test_while_nothing_changes_virtual_classes_equal_the_real_ones(name):
    embeddings, labels = batch()
    loss = WORK[name](C)
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=2, step_gap=0)
    for _ in range(3):
        calls = record_calls(loss)
        wrapper(embeddings, labels)
    ((rows, classes, proxies),) = calls
    assert torch.equal(rows, embeddings.repeat(3, 1)) and torch.equal(proxies, proxies_of(loss).detach().repeat(3, 1))
    assert torch.equal(classes, torch.cat([labels, labels + C, labels + 2 * C]))


@pytest.mark.parametrize("name", sorted(set(WORK) - {"LargeMarginSoftmaxLoss", "SphereFaceLoss", "P2SGradLoss"}))
def test_gradient_is_the_derivative_of_the_value(name):
    embeddings, labels = batch(dtype=torch.float64, size=5)
    loss = WORK[name](C).double()
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=2, step_gap=0)
    parameter_name, parameter = next(loss.named_parameters())
    for _ in range(2):
        wrapper(*batch(dtype=torch.float64))
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    earlier = wrapper.memory.steps

    def value(embeddings, parameter):
        wrapper.memory.steps = list(earlier)  # a call adds a step
        return torch.func.functional_call(wrapper, {f"loss.{parameter_name}": parameter}, (embeddings, labels))

    inputs = (embeddings.requires_grad_(), parameter.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(value, inputs, atol=1e-4)


def test_rows_of_earlier_calls_get_no_gradient_from_later_ones():
    wrapper = MemoryBasedVirtualClasses(WORK["ProxyAnchorLoss"](C), num_steps=1, step_gap=0)
    first, second = (torch.randn(8, D, requires_grad=True) for _ in range(2))
    wrapper(first, torch.arange(8) % C).backward()
    after_first = first.grad.clone()
    wrapper(second, torch.arange(8) % C).backward()
    assert wrapper.num_synthetic == C and second.grad.abs().sum() > 0
    assert torch.equal(first.grad, after_first)


def test_the_parameters_stay_those_of_the_loss():
    loss = WORK["ProxyNCALoss"](C)
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=2, step_gap=0)
    trained(wrapper, 3)
    assert [parameter is loss.proxies for parameter in wrapper.parameters()] == [True]


# ---- memory


def test_strided_memory_chooses_the_same_steps_until_the_next_is_stored():
    loss = losses.ProxyNCALoss(C, D)
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=2, step_gap=2, store="strided")
    ages = []
    for step in range(9):
        calls = record_calls(loss)
        wrapper(torch.full((1, D), float(step + 1)), torch.tensor([0]))
        ages.append([step + 1 - int(row[0]) for row in calls[0][0][1:]])
        assert len(wrapper.memory.steps) <= 2
    assert ages == [[], [1], [2], [3], [1, 4], [2, 5], [3, 6], [1, 4], [2, 5]]


@pytest.mark.parametrize("store", ["every_step", "strided"])
def test_both_stores_are_one_without_a_gap(store):
    torch.manual_seed(0)
    wrapper = MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D), num_steps=3, step_gap=0, store=store)
    torch.manual_seed(0)
    other = MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D), num_steps=3, step_gap=0)
    assert trained(wrapper, 6) == trained(other, 6)


@pytest.mark.parametrize("options", [{"step_gap": 1}, {"step_gap": 2, "store": "strided"}])
def test_a_training_resumed_from_its_state_goes_on_alike(options):
    wrapper = MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D), num_steps=2, **options)
    trained(wrapper, 4)
    wrapper(torch.randn(3, D), torch.tensor([0, 1, 5]))  # a smaller batch
    other = MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D), num_steps=2, active=False, **options)
    other.load_state_dict(wrapper.state_dict())
    assert other.active and trained(wrapper, 6, seed=1) == trained(other, 6, seed=1)


def test_a_state_without_a_memory_is_missing_it():
    loss = losses.ProxyNCALoss(C, D)
    with pytest.raises(RuntimeError, match="Missing key.*memory.sizes"):
        MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D)).load_state_dict(loss.state_dict())


def test_a_failing_call_leaves_the_memory_as_it_was():
    class Failing(reducers.MeanReducer):
        def forward(self, *args):
            raise RuntimeError("out of memory")

    loss = losses.ProxyNCALoss(C, D, reducer=Failing())
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=1, step_gap=0)
    with pytest.raises(RuntimeError, match="out of memory"):
        wrapper(*batch())
    assert wrapper.memory.steps == [] and wrapper.memory.num_appended == 0


def test_the_memory_follows_the_wrapper_to_another_dtype():
    wrapper = MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D), num_steps=1, step_gap=0)
    wrapper(*batch())
    (step,) = wrapper.double().memory.steps
    assert (step.embeddings.dtype, step.labels.dtype, step.proxies.dtype) == (torch.float64, torch.long, torch.float64)


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": -1}, "num_steps must be at least 0, but got -1"),
        ({"num_steps": 1.5}, "num_steps must be an integer"),
        ({"step_gap": -1}, "step_gap must be at least 0, but got -1"),
        ({"store": "all"}, "store must be one of 'every_step', 'strided', but got 'all'"),
        ({"active": 1}, "active must be True or False"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D), **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (losses.TripletMarginLoss, "cannot wrap TripletMarginLoss: it has no proxies of its classes"),
        (lambda: losses.ManifoldLoss(l=D), "its proxies belong to no class"),
        (lambda: EmbeddingExpansion(losses.ProxyNCALoss(C, D)), "cannot wrap EmbeddingExpansion"),
        (
            lambda: losses.ProxyNCALoss(C, D, reducer=reducers.ClassWeightedReducer(torch.ones(C))),
            "with a ClassWeightedReducer: synthetic classes",
        ),
    ],
)
def test_losses_without_a_place_for_virtual_classes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        MemoryBasedVirtualClasses(make())


def test_tuples_and_references_are_refused():
    wrapper = MemoryBasedVirtualClasses(losses.ProxyNCALoss(C, D))
    with pytest.raises(ValueError, match="takes no `indices_tuple`: .* leave the miner out"):
        wrapper(*batch(), tuple(torch.tensor([row]) for row in (0, 4, 1)))
    with pytest.raises(ValueError, match="takes no `ref_emb`: its loss compares embeddings with proxies"):
        wrapper(*batch(), None, *batch())
