"""Regularizers, reducer, precision and optimizer of a loss inside Proxy Synthesis keep working, without a host wait."""

import copy

import pytest
import torch
from proxy_synthesis_cases import WORK, C, batch, proxies_of
from pytorch_metric_learning import reducers, regularizers

from pml_aug.wrappers import ProxySynthesis


class Remembers(regularizers.LpRegularizer):
    def forward(self, rows):
        self.rows = rows.detach()
        return super().forward(rows)


@pytest.mark.parametrize("name", sorted(set(WORK) - {"P2SGradLoss"}))
def test_regularizers_see_the_original_rows_only(name):
    embeddings, labels = batch()
    of_rows, of_proxies = Remembers(), Remembers()
    loss = WORK[name](C, embedding_regularizer=of_rows, weight_regularizer=of_proxies)
    ProxySynthesis(loss)(embeddings, labels)
    assert torch.equal(of_rows.rows, embeddings)
    assert torch.equal(of_proxies.rows, proxies_of(loss))
    assert loss.embedding_regularizer is of_rows and loss.weight_regularizer is of_proxies


def test_sparse_centers_of_soft_triple_keep_their_regularizer():
    regularizer = regularizers.SparseCentersRegularizer(num_classes=C, centers_per_class=3)
    plain, regularized = WORK["SoftTripleLoss"](C), WORK["SoftTripleLoss"](C, weight_regularizer=regularizer)
    regularized.fc.data = plain.fc.data.clone()
    embeddings, labels = batch()
    values = [ProxySynthesis(loss, pairing="roll")(embeddings, labels, mixing=0.4) for loss in (plain, regularized)]
    torch.testing.assert_close(values[1] - values[0], regularizer(plain.fc.T))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("name", WORK)
def test_half_precision_leaves_the_proxies_in_float32(name, ratio, dtype):
    embeddings, labels = batch()
    loss = WORK[name](C)
    wrapper = ProxySynthesis(loss, ratio=ratio, pairing="roll")
    expected = copy.deepcopy(wrapper)(embeddings.to(dtype).float(), labels, mixing=0.4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = wrapper(embeddings.to(dtype), labels, mixing=0.4)
    assert value.dtype == next(loss.parameters()).dtype == torch.float32
    assert torch.equal(value, expected)


@pytest.mark.parametrize(
    ("of_rows", "of_proxies"),
    [
        (torch.float64, torch.float32),
        (torch.float32, torch.float64),
        (torch.float32, torch.bfloat16),
        (torch.bfloat16, torch.bfloat16),
    ],
)
@pytest.mark.parametrize("name", sorted(set(WORK) - {"P2SGradLoss"}))  # half precision misses its unit length
def test_proxies_are_read_in_the_precision_of_the_rows_and_keep_their_own(name, of_rows, of_proxies):
    embeddings, labels = batch(dtype=of_rows)
    loss = WORK[name](C).to(of_proxies)
    value = ProxySynthesis(loss, pairing="roll")(embeddings, labels, mixing=0.4)
    assert next(loss.parameters()).dtype == of_proxies
    assert value.dtype == ProxySynthesis(copy.deepcopy(loss), ratio=0)(embeddings, labels).dtype
    in_one_precision = ProxySynthesis(loss.to(value.dtype), pairing="roll")
    assert torch.equal(value, in_one_precision(embeddings.to(value.dtype), labels, mixing=0.4))


@pytest.mark.parametrize("name", WORK)
def test_a_step_moves_the_loss_s_own_proxies(name):
    embeddings, labels = batch()
    loss = WORK[name](C)
    parameter = next(loss.parameters())
    before = parameter.detach().clone()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    ProxySynthesis(loss)(embeddings, labels).backward()
    optimizer.step()
    assert next(loss.parameters()) is parameter
    assert parameter.shape == before.shape and not torch.equal(parameter, before)


@pytest.mark.parametrize(
    "reducer", [reducers.MeanReducer(), reducers.SumReducer(), reducers.ThresholdReducer(low=0.1)], ids=str
)
def test_the_loss_s_reducer_reduces(reducer):
    embeddings, labels = batch()
    loss = WORK["NormalizedSoftmaxLoss"](C, reducer=reducers.DoNothingReducer())
    wrapper = ProxySynthesis(loss, pairing="roll")
    each = wrapper(embeddings, labels, mixing=0.2)["loss"]["losses"]
    assert len(each) == 16
    loss.reducer = reducer
    expected = reducer({"loss": {"losses": each, "indices": torch.arange(16), "reduction_type": "element"}}, None, None)
    torch.testing.assert_close(wrapper(embeddings, labels, mixing=0.2), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("labels_on", ["cpu", "cuda"])
def test_a_generator_on_cuda_serves_labels_anywhere(labels_on):
    embeddings, labels = batch()
    wrapper = ProxySynthesis(WORK["NormalizedSoftmaxLoss"](C).cuda())
    values = [
        wrapper(embeddings.cuda(), labels.to(labels_on), generator=torch.Generator("cuda").manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
