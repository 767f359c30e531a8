"""Multi-level distance regularization: recorded batches, hand-made cases, running figures, life inside a PML loss."""

import copy
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers

from pml_aug.regularizers import MultiLevelDistanceRegularizer
from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis


def recorded_batches(file):
    for number in range(3):
        yield {
            name: getattr(file, f"{name}_{number}")
            for name in ("embeddings", "loss", "grad_embeddings", "grad_levels", "mean_after", "std_after")
        }


def test_a_sequence_of_batches_gives_the_recorded_numbers(golden):
    file = golden("mdr_00")
    regularizer = MultiLevelDistanceRegularizer(file.meta["levels"], file.meta["momentum"]).double()
    for recorded in recorded_batches(file):
        regularizer.zero_grad()
        embeddings = recorded["embeddings"].requires_grad_()
        value = regularizer(embeddings)
        value.backward()
        found = {
            "loss": value.detach(),
            "grad_embeddings": embeddings.grad,
            "grad_levels": regularizer.levels.grad,
            "mean_after": regularizer.running_mean,
            "std_after": regularizer.running_std,
        }
        for name, number in found.items():
            torch.testing.assert_close(number, recorded[name], rtol=1e-10, atol=1e-12, msg=name)


def test_three_points_on_a_line_by_hand():
    embeddings = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    value = MultiLevelDistanceRegularizer(levels=[-1.0, 1.0])(embeddings)
    # distances 1, 2, 3 twice and three zeros: mean 12 / 9, variance (28 - 9 (4/3)^2) / 8 = 1.5
    standardised = (torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) - 4 / 3) / 1.5**0.5
    expected = torch.stack([(standardised + 1).abs(), (standardised - 1).abs()]).amin(dim=0).mean()
    torch.testing.assert_close(value, expected)


def test_saved_and_loaded_it_goes_on_bit_for_bit():
    regularizer = MultiLevelDistanceRegularizer()
    regularizer(torch.randn(6, 3))
    file = io.BytesIO()
    torch.save(regularizer.state_dict(), file)
    file.seek(0)
    other = MultiLevelDistanceRegularizer()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert bool(other.has_seen_a_batch)
    for _ in range(2):
        embeddings = torch.randn(6, 3)
        assert torch.equal(regularizer(embeddings), other(embeddings))
        assert torch.equal(regularizer.running_mean, other.running_mean)


def test_eval_mode_keeps_the_running_figures():
    regularizer = MultiLevelDistanceRegularizer()
    regularizer(torch.randn(6, 3))
    kept = copy.deepcopy(regularizer.state_dict())
    far_away = 100 * torch.randn(6, 3)
    regularizer.eval()
    value = regularizer(far_away)
    assert all(torch.equal(kept[name], number) for name, number in regularizer.state_dict().items())
    matrix = torch.cdist(far_away, far_away)[~torch.eye(6, dtype=torch.bool)]
    standardised = (matrix - kept["running_mean"]) / kept["running_std"]
    torch.testing.assert_close(value, (standardised[:, None] - kept["levels"]).abs().amin(dim=1).mean())


def test_eval_mode_before_any_batch_uses_the_batch_s_own_figures():
    embeddings = torch.randn(6, 3)
    regularizer = MultiLevelDistanceRegularizer().eval()
    assert torch.equal(regularizer(embeddings), copy.deepcopy(regularizer).train()(embeddings))
    assert not bool(regularizer.has_seen_a_batch)


def test_no_gradient_passes_through_the_running_figures():
    embeddings = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    regularizer = MultiLevelDistanceRegularizer().double()
    regularizer(torch.randn(5, 3, dtype=torch.float64))
    regularizer.eval()  # the figures are fixed, so the derivative must hold with them fixed
    assert torch.autograd.gradcheck(regularizer, embeddings)


def test_the_level_term_is_added_with_its_weight():
    embeddings = torch.randn(5, 3)
    plain, weighted = MultiLevelDistanceRegularizer(), MultiLevelDistanceRegularizer(level_weight=0.01)
    torch.testing.assert_close(weighted(embeddings) - plain(embeddings), torch.tensor(0.01 * 18))


def test_an_optimizer_of_the_loss_moves_the_levels():
    loss = losses.TripletMarginLoss(embedding_regularizer=MultiLevelDistanceRegularizer())
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    loss(torch.randn(8, 3), torch.arange(8) % 2).backward()
    optimizer.step()
    assert not torch.equal(loss.embedding_regularizer.levels, torch.tensor([-3.0, 0.0, 3.0]))


@pytest.mark.parametrize("rows", [torch.zeros(1, 3), torch.zeros(0, 3)])
def test_a_batch_without_distances_costs_nothing_and_is_not_counted(rows):
    regularizer = MultiLevelDistanceRegularizer()
    assert regularizer(rows) == 0
    assert not bool(regularizer.has_seen_a_batch)


def test_identical_rows_give_finite_numbers():
    regularizer = MultiLevelDistanceRegularizer()
    embeddings = torch.ones(4, 3, requires_grad=True)
    regularizer(embeddings).backward()
    assert torch.isfinite(embeddings.grad).all()
    assert torch.isfinite(regularizer(torch.randn(4, 3)))


@pytest.mark.parametrize("far", [torch.tensor(1e30), torch.tensor(1e150, dtype=torch.float64)])
@pytest.mark.parametrize("before", [0, 1])
def test_a_batch_whose_distances_overflow_changes_no_state(far, before):
    regularizer = MultiLevelDistanceRegularizer(distance=distances.LpDistance(normalize_embeddings=False, power=2))
    for _ in range(before):
        regularizer(torch.randn(6, 3))
    expected = copy.deepcopy(regularizer)
    regularizer(far * torch.randn(6, 3, dtype=far.dtype))
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in regularizer.state_dict().items())
    embeddings = torch.randn(6, 3)
    assert torch.equal(regularizer(embeddings), expected(embeddings)) and torch.isfinite(regularizer.running_std)


def test_settings_changed_later_take_effect():
    regularizer, embeddings = MultiLevelDistanceRegularizer(), torch.randn(6, 3)
    regularizer(embeddings)
    regularizer.momentum, regularizer.level_weight, regularizer.reducer = 0.0, 0.5, reducers.SumReducer()
    expected = MultiLevelDistanceRegularizer(momentum=0.0, level_weight=0.5, reducer=reducers.SumReducer())
    assert torch.equal(regularizer(2 * embeddings), expected(2 * embeddings))
    with pytest.raises(TypeError, match="levels"):
        regularizer.levels = [0.0]


def test_concurrent_calls_give_the_right_state_or_a_refusal():
    regularizer, embeddings = MultiLevelDistanceRegularizer(momentum=0.0), torch.randn(2, 32, 3)

    def call(rows):
        try:
            return regularizer(rows)
        except RuntimeError as error:
            assert "in use by another thread" in str(error)

    expected = [(float(matrix.mean()), float(matrix.std())) for matrix in torch.cdist(embeddings, embeddings)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(call, embeddings.repeat(20, 1, 1)))
    found = float(regularizer.running_mean), float(regularizer.running_std)
    assert found in [pytest.approx(pair, rel=1e-4) for pair in expected]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_in_float32(dtype):
    embeddings = torch.randn(6, 3).to(dtype)
    regularizer = MultiLevelDistanceRegularizer()
    expected = copy.deepcopy(regularizer)(embeddings.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = regularizer(embeddings)
    assert torch.equal(value, expected)
    assert regularizer.running_mean.dtype == regularizer.levels.dtype == torch.float32


def test_another_distance_and_reducer_are_used():
    embeddings = torch.randn(6, 3)
    cosine = MultiLevelDistanceRegularizer(distance=distances.CosineSimilarity())
    assert not torch.equal(cosine(embeddings), MultiLevelDistanceRegularizer()(embeddings))
    between_rows = distances.CosineSimilarity()(embeddings).fill_diagonal_(0)  # rows count as 0 from themselves
    torch.testing.assert_close(cosine.running_mean, between_rows.mean())
    torch.testing.assert_close(cosine.running_std, between_rows.std())
    total = MultiLevelDistanceRegularizer(reducer=reducers.SumReducer())(embeddings)
    torch.testing.assert_close(total, 6 * MultiLevelDistanceRegularizer()(embeddings))


@pytest.mark.parametrize(
    "make_loss",
    [
        losses.TripletMarginLoss,
        losses.MultiSimilarityLoss,
        lambda **options: losses.ProxyAnchorLoss(2, 3, **options),
        lambda **options: EmbeddingExpansion(losses.ContrastiveLoss(**options), miner=miners.PairMarginMiner()),
        lambda **options: ProxySynthesis(losses.ProxyNCALoss(2, 3, **options)),
    ],
    ids=["triplet", "multi-similarity", "proxy anchor", "expansion", "synthesis"],
)
def test_it_regularizes_the_batch_of_any_loss_once_a_call(make_loss):
    embeddings, labels = torch.randn(8, 3), torch.arange(8) % 2
    regularizer = MultiLevelDistanceRegularizer()
    expected = 0.5 * copy.deepcopy(regularizer)(embeddings)
    regularized = make_loss(embedding_regularizer=regularizer, embedding_reg_weight=0.5)
    plain = make_loss()
    plain.load_state_dict(regularized.state_dict(), strict=False)
    values = []
    for loss in (regularized, plain):
        torch.manual_seed(1)
        values.append(loss(embeddings, labels))
    torch.testing.assert_close(values[0] - values[1], expected, rtol=1e-4, atol=1e-5)
    matrix = torch.cdist(embeddings, embeddings)
    torch.testing.assert_close(regularizer.running_mean, matrix.mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": []}, "levels must contain at least one number, but is empty"),
        ({"levels": [0.0, float("nan")]}, r"levels\[1\] must be a number, but got nan"),
        ({"levels": "03"}, r"levels\[0\] must be a number, but got '0'"),
        ({"level_weight": float("inf")}, "level_weight must be at least 0 and finite, but got inf"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, but got 1.0"),
        ({"momentum": -0.1}, "momentum must be at least 0 and below 1, but got -0.1"),
        ({"level_weight": -1}, "level_weight must be at least 0, but got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MultiLevelDistanceRegularizer(**arguments)
