"""What every wrapper keeps of a PML loss."""

import copy
import io
import pickle

import pytest
import torch
from pytorch_metric_learning import losses, miners, reducers, regularizers, trainers
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor

from pml_aug import wrappers

SIZE = 8  # of the batch's rows


def _seeded(loss: BaseMetricLossFunction, embeddings: Tensor, labels: Tensor, *rest: Tensor | None) -> Tensor:
    torch.default_generator.manual_seed(7)
    return loss(embeddings, labels, *rest)


def _reduced(reducer: reducers.BaseReducer, unreduced: dict, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The losses of each term, "term.loss" or "loss", reduced and then weighted as the wrapper says."""
    terms: dict[str, dict] = {}
    for name, info in unreduced.items():
        term, _, loss = name.rpartition(".")
        terms.setdefault(term, {})[loss] = info
    weights = {term: next(iter(infos.values())).get("weight", 1) for term, infos in terms.items()}
    return sum(weights[term] * reducer(infos, *batch) for term, infos in terms.items())


def _value_and_gradients(loss: BaseMetricLossFunction, embeddings: Tensor, labels: Tensor) -> list[Tensor]:
    embeddings = embeddings.clone().requires_grad_()
    parameters = list(loss.parameters())
    value = _seeded(loss, embeddings, labels)
    return [value.detach(), *torch.autograd.grad(value, [embeddings, *parameters])]


def test_it_is_a_pml_loss_with_finite_value_and_gradients(case, batch):
    loss = case.wrap(case.baseline())
    assert isinstance(loss, BaseMetricLossFunction)
    results = _value_and_gradients(loss, *batch)
    assert results[0].ndim == 0
    assert all(torch.isfinite(result).all() for result in results)
    assert results[1].abs().sum() > 0


def test_it_changes_the_loss(case, batch):
    assert not torch.equal(_seeded(case.wrap(case.baseline()), *batch), _seeded(case.baseline(), *batch))


def test_switched_off_it_is_the_baseline_loss_to_the_last_bit(case, batch):
    baseline = case.baseline()
    expected = _value_and_gradients(baseline, *batch)
    for mine, theirs in zip(_value_and_gradients(case.switched_off(baseline), *batch), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_the_same_seed_and_state_give_the_same_value(case, batch):
    loss = case.wrap(case.baseline())
    assert torch.equal(_seeded(copy.deepcopy(loss), *batch), _seeded(loss, *batch))


def test_the_batch_and_the_wrapped_loss_stay_as_they_were(case, batch):
    baseline = case.baseline()
    attributes, state = dict(vars(baseline)), copy.deepcopy(baseline.state_dict())
    distance, embeddings, labels = baseline.distance, batch[0].clone(), batch[1].clone()
    case.wrap(baseline)(embeddings, labels).item()
    assert torch.equal(embeddings, batch[0]) and torch.equal(labels, batch[1])
    assert baseline.distance is distance and vars(baseline).keys() == attributes.keys()
    assert all(torch.equal(value, state[name]) for name, value in baseline.state_dict().items())


def test_saved_and_loaded_it_goes_on_alike(case, batch):
    loss, other = case.wrap(case.baseline()), case.wrap(case.baseline())
    _seeded(loss, *batch)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(_seeded(loss, *batch), _seeded(other, *batch))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_are_equal_and_independent(case, batch, duplicate):
    loss = case.wrap(case.baseline())
    other = duplicate(loss)
    assert torch.equal(_seeded(loss, *batch), _seeded(other, *batch))
    assert all(mine is not theirs for mine, theirs in zip(loss.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_in_float32_and_leaves_the_parameters_alone(case, batch, dtype):
    loss, (embeddings, labels) = case.wrap(case.baseline()), batch
    expected = _seeded(copy.deepcopy(loss), embeddings.to(dtype).float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = _seeded(loss, embeddings.to(dtype), labels)
    assert value.dtype == torch.float32 and torch.equal(value, expected)
    assert all(parameter.dtype == torch.float32 for parameter in loss.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_batch_given_as_its_own_references_is_compared_with_itself(case, batch, dtype):
    loss, rows, labels = case.wrap(case.baseline()), batch[0].to(dtype), batch[1]
    expected = _seeded(copy.deepcopy(loss), rows, labels)
    assert torch.equal(_seeded(loss, rows, labels, None, rows, labels), expected)


def test_half_precision_compared_with_itself_is_still_compared_with_itself():
    half, labels = torch.randn(12, SIZE).half(), torch.arange(12) % 4
    loss, single, other = wrappers.EmbeddingExpansion(losses.NCALoss()), half.float(), labels.clone()
    assert torch.equal(loss(half, labels, None, half, other), loss(single, labels, None, single, other))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.bool])
def test_labels_are_integers_of_any_kind(case, batch, dtype):
    loss, rows, labels = case.wrap(case.baseline()), batch[0], batch[1].to(dtype)
    assert torch.equal(_seeded(copy.deepcopy(loss), rows, labels), _seeded(loss, rows, labels.long()))


def test_labels_of_any_kind_given_as_those_of_the_references_are_still_the_same():
    rows, labels = torch.randn(12, SIZE), torch.arange(12) % 4
    loss, others = wrappers.EmbeddingExpansion(losses.NTXentLoss()), rows.roll(1, dims=1)
    values = [loss(rows, kind, None, others, kind) for kind in (labels.short(), labels)]
    assert torch.equal(*values) and not torch.equal(values[0], loss(rows, labels, None, others, labels.clone()))


@pytest.mark.parametrize("reducer", [reducers.MeanReducer(), reducers.SumReducer(), reducers.ThresholdReducer(low=0.1)])
def test_reducers_of_the_wrapped_loss_are_used(case, batch, reducer):
    if case.adds_values:
        pytest.skip("each call of the loss is reduced by itself")
    baseline = case.baseline(reducer=reducers.DoNothingReducer())
    unreduced = _seeded(case.wrap(copy.deepcopy(baseline)), *batch)
    baseline.set_reducer(reducer)
    expected = _reduced(baseline.reducer, unreduced, batch)
    torch.testing.assert_close(_seeded(case.wrap(baseline), *batch), expected)


def test_reducer_that_does_nothing_gives_the_loss_dictionary(case, batch):
    if case.adds_values:
        pytest.skip("two dictionaries cannot be added")
    losses_by_name = case.wrap(case.baseline(reducer=reducers.DoNothingReducer()))(*batch)
    assert {name.rpartition(".")[2] for name in losses_by_name} == set(case.baseline().sub_loss_names())


def test_embedding_regularizer_sees_the_batch_itself(case, batch):
    regularizer = regularizers.LpRegularizer()
    baseline = case.baseline(embedding_regularizer=regularizer)
    unweighted = copy.deepcopy(baseline)
    unweighted.embedding_reg_weight = 0
    added = _seeded(case.wrap(baseline), *batch) - _seeded(case.wrap(unweighted), *batch)
    torch.testing.assert_close(added, regularizer(batch[0]), rtol=1e-4, atol=1e-5)


def test_statistics_are_recorded(case, batch):
    loss = case.wrap(case.baseline(collect_stats=True))
    loss(*batch)
    assert "num_synthetic" in loss._record_these_stats and loss.num_synthetic > 0
    loss.reset_stats()
    assert loss.num_synthetic == 0


def test_num_synthetic_counts_the_points_of_the_last_call(case, batch):
    loss = case.wrap(case.baseline())
    loss(*batch)
    assert loss.num_synthetic > 0
    off = case.switched_off(case.baseline())
    off(*batch)
    assert off.num_synthetic == 0


def test_synthetic_points_that_nothing_is_compared_with_do_not_count(case):
    loss = case.wrap(case.baseline())
    if list(loss.parameters()):
        pytest.skip("every row is compared with proxies")
    if isinstance(loss, wrappers.DenselyAnchoredSampling):
        pytest.skip("every row is compared with its copies")
    loss(torch.randn(6, SIZE), torch.arange(6) // 3)
    assert loss.num_synthetic > 0
    loss(torch.randn(1, SIZE), torch.zeros(1, dtype=torch.long))
    assert loss.num_synthetic == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, None), "labels"),
        (lambda x, y: (x[0], y), "`embeddings` must be a floating-point tensor of shape"),
        (lambda x, y: (x, y[:-1]), r"`labels` must be integers of shape \(12,\)"),
        (lambda x, y: (x, y.float()), "`labels` must be integers"),
        (lambda x, y: (x / 0, y), "`embeddings` must be finite"),
        (lambda x, y: (x, y, None, x), "`ref_emb` was given without `ref_labels`"),
    ],
)
def test_bad_input_is_refused_by_name(case, batch, change, message):
    with pytest.raises(ValueError, match=message):
        case.wrap(case.baseline())(*change(*batch))


def test_an_unknown_keyword_is_refused_with_what_is_known(case, batch):
    known = r"unexpected keyword argument 'generatr'; besides the batch it accepts .*`generator`"
    with pytest.raises(TypeError, match=known):
        case.wrap(case.baseline())(*batch, generatr=torch.Generator())


def test_every_wrapper_takes_a_generator_that_it_may_not_need(case, batch):
    assert torch.isfinite(case.wrap(case.baseline())(*batch, generator=torch.Generator().manual_seed(0)))


def test_draws_of_a_wrapper_inside_pass_through():
    inner = wrappers.ProxySynthesis(losses.ProxyAnchorLoss(num_classes=4, embedding_size=8))
    outer = wrappers.IntraClassAdaptiveAugmentation(inner, num_classes=4, embedding_size=8)
    assert outer.accepted_random_inputs == {"generator", "mixing", "noise"}
    outer(torch.randn(8, 8), torch.arange(8) % 4, mixing=0.25)
    assert inner.mixing == 0.25


def test_only_pml_losses_are_wrapped(case):
    with pytest.raises(TypeError, match="`loss` to be a BaseMetricLossFunction.*but got Linear"):
        case.wrap(torch.nn.Linear(2, 2))


def test_multiple_losses_are_refused_with_the_remedy(case):
    with pytest.raises(TypeError, match="put MultipleLosses"):
        case.wrap(losses.MultipleLosses([case.baseline()]))


def test_it_trains_in_pmls_trainer(case):
    images, labels = torch.randn(24, 5), torch.arange(24) % 4
    trunk, loss = torch.nn.Linear(5, SIZE), case.wrap(case.baseline())
    before = copy.deepcopy(trunk.state_dict())
    parameters = [*trunk.parameters(), *loss.parameters()]
    trainer = trainers.MetricLossOnly(
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.SGD(parameters, lr=0.1)},
        batch_size=12,
        loss_funcs={"metric_loss": loss},
        dataset=list(zip(images, labels, strict=True)),
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
    )
    trainer.train(num_epochs=1)
    assert any(not torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_a_failing_call_leaves_the_wrapped_loss_usable(case, batch):
    class Failing(reducers.MeanReducer):
        def forward(self, *args: object) -> Tensor:
            raise RuntimeError("out of memory")

    baseline = case.baseline()
    distance, reducer = baseline.distance, baseline.reducer
    baseline.reducer = Failing()
    with pytest.raises(RuntimeError, match="out of memory"):
        case.wrap(baseline)(*batch)
    assert baseline.distance is distance
    baseline.reducer = reducer
    assert torch.isfinite(baseline(*batch))


def test_a_miner_that_is_none_of_pmls_is_refused():
    with pytest.raises(TypeError, match="`miner` to be a BaseMiner"):
        wrappers.EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.BatchHardMiner)
