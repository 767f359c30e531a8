"""Mixup training: recorded numbers, by hand, limits, draws, mining, whole trainings."""

import copy

import pytest
import torch
from measuring import relative_error
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
from pytorch_metric_learning.trainers import MetricLossOnly
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import nn
from torch.utils.data import TensorDataset

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.heads import IntrospectiveHead
from pml_aug.trainers import IntrospectiveTrainer, MixupDraw, mixup_loss

C, F, D = 8, 12, 8


def clusters(seed):
    """Points around class centres that lie in three of the coordinates; the others mean nothing."""
    centres = 3 * torch.randn(C, F, generator=torch.Generator().manual_seed(1))
    centres[:, 3:] = 0
    labels = torch.arange(C).repeat_interleave(12)
    noise = torch.randn(len(labels), F, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(centres[labels] + 0.8 * noise, labels)


def parts(introspective=True, distance=None, pairs=False):
    """What PML's trainers take, around a small network."""
    torch.manual_seed(2)
    trunk = nn.Sequential(nn.Linear(F, 32), nn.ReLU())
    embedder = IntrospectiveHead(32, D) if introspective else nn.Linear(32, D)
    if distance is None and introspective:
        distance = IntrospectiveSimilarity(D)
    mining_funcs = {}
    if pairs:
        loss = losses.MultiSimilarityLoss(distance=distance)
        mining_funcs["tuple_miner"] = miners.MultiSimilarityMiner(distance=distance)
    else:
        loss = losses.ProxyAnchorLoss(C, D, distance=distance)
    modules = {"trunk": trunk, "embedder": embedder, **({} if pairs else {"metric_loss": loss})}
    return {
        "models": {"trunk": trunk, "embedder": embedder},
        "optimizers": {
            f"{name}_optimizer": torch.optim.Adam(module.parameters(), lr=0.1 if module is loss else 0.01)
            for name, module in modules.items()
        },
        "batch_size": 24,
        "loss_funcs": {"metric_loss": loss},
        "mining_funcs": mining_funcs,
        "dataset": clusters(seed=2),
        "data_device": torch.device("cpu"),
        "dataloader_num_workers": 0,
    }


def precision(trainer):
    """Precision at 1 among points that the training never saw."""
    tester = GlobalEmbeddingSpaceTester(
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
        accuracy_calculator=AccuracyCalculator(include=("precision_at_1",), k=1, device=torch.device("cpu")),
    )
    accuracies = tester.test({"val": clusters(seed=3)}, 0, trainer.models["trunk"], trainer.models["embedder"])
    return accuracies["val"]["precision_at_1_level0"]


# ---- recorded numbers


@pytest.mark.parametrize("number", range(3))
def test_it_is_the_recorded_sum_of_three_losses(golden, number):
    file = golden(f"idmlmix_{number:02d}")
    (size, in_features), classes = file.W_embedding.shape, len(file.proxies)
    options = {"normalize_uncertainty": True} if file.meta["is_norm"] else {"bound_uncertainty": False}
    head = IntrospectiveHead(in_features, size, normalize_semantic=file.meta["is_norm"], **options).double()
    recorded = {
        "semantic_layer.weight": ("W_embedding", file.W_embedding),
        "semantic_layer.bias": ("b_embedding", file.b_embedding),
        "uncertainty_layer.weight": ("W_uncertainty", file.W_uncertainty),
        "uncertainty_layer.bias": ("b_uncertainty", file.b_uncertainty),
    }
    head.load_state_dict({name: value for name, (_, value) in recorded.items()})
    loss = losses.ProxyAnchorLoss(
        classes, size, margin=file.meta["mrg"], alpha=file.meta["alpha"], distance=IntrospectiveSimilarity(size)
    )
    loss.proxies.data = file.proxies
    inputs, rows = [], []

    def embed(data):
        inputs.append(data)
        rows.append(head(data))
        rows[-1].retain_grad()
        return rows[-1]

    value = mixup_loss(loss, embed, file.inputs, file.labels, float(file.lam), file.perm)
    value.backward()
    assert relative_error(value, file.loss) < 1e-10
    assert relative_error(inputs[1], file.mixed_inputs) < 1e-10
    for row, names in zip(rows, (("m", "v"), ("mixed_m", "mixed_v")), strict=True):
        for part, gradient, name in zip(row.split(size, 1), row.grad.split(size, 1), names, strict=True):
            assert relative_error(part, getattr(file, name)) < 1e-10
            assert relative_error(gradient, getattr(file, f"grad_{name}")) < 1e-10
    assert relative_error(loss.proxies.grad, file.grad_proxies) < 1e-10
    for name, parameter in head.named_parameters():
        expected = getattr(file, f"grad_{recorded[name][0]}")
        if file.meta["is_norm"] and "uncertainty" in name:  # exactly nothing, but for rounding, in both
            assert parameter.grad.abs().max() < 1e-10 and expected.abs().max() < 1e-10
        else:
            assert relative_error(parameter.grad, expected) < 1e-10


# ---- by hand, and limits


def error(embeddings, labels):
    return (embeddings.squeeze(1) - labels).abs().mean()


def test_three_terms_by_hand():
    data, labels, turned = torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]), torch.tensor([1, 0])
    # originals err by 0 and 3; mixtures (1/4) are 3 and 1: under y by 3 and 0, under y_pi by 2 and 1
    value = mixup_loss(error, lambda x: x, data, labels, mixing=0.25, permutation=turned)
    assert value == 1.5 + 0.25 * 1.5 + 0.75 * 1.5
    halved = mixup_loss(error, lambda x: x, data, labels, mixing=0.25, permutation=turned, combine="mean")
    assert halved == value / 2


@pytest.mark.parametrize("mixing, permutation", [(1.0, [2, 0, 1]), (0.3, [0, 1, 2])])
def test_without_mixture_the_mean_is_the_plain_loss(mixing, permutation):
    data, labels = torch.randn(3, 1), torch.arange(3)
    value = mixup_loss(error, lambda x: x, data, labels, mixing, torch.tensor(permutation), combine="mean")
    torch.testing.assert_close(value, error(data, labels))


# ---- the trainer


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_a_step_handed_its_draw_is_the_loss_of_the_same_draw(pairs, combine):
    arguments = parts(pairs=pairs)
    trainer = IntrospectiveTrainer(**arguments, mixup_combine=combine)
    data, labels = trainer.dataset[:24]
    loss, miner = arguments["loss_funcs"]["metric_loss"], arguments["mining_funcs"].get("tuple_miner")
    permutation = torch.randperm(24)
    trainer.calculate_loss((data, labels), draw=MixupDraw(0.3, permutation))
    expected = mixup_loss(
        lambda rows, y: loss(rows, y, miner(rows, y) if miner else None),
        nn.Sequential(*arguments["models"].values()),
        data,
        labels,
        0.3,
        permutation,
        combine,
    )
    assert torch.equal(trainer.losses["metric_loss"], expected)


def test_every_term_is_mined_under_its_own_labels():
    class Listening(miners.BatchHardMiner):
        asked = []

        def forward(self, embeddings, labels, *reference):
            self.asked.append((embeddings.detach(), labels))
            return super().forward(embeddings, labels, *reference)

    arguments = parts(pairs=True)
    arguments["mining_funcs"]["tuple_miner"] = Listening(distance=IntrospectiveDistance(D))
    trainer = IntrospectiveTrainer(**arguments)
    data, labels = trainer.dataset[:24]
    permutation = torch.randperm(24)
    trainer.calculate_loss((data, labels), draw=MixupDraw(0.3, permutation))
    (original, first), (mixed, second), (again, third) = Listening.asked
    assert torch.equal(first, labels) and torch.equal(second, labels) and torch.equal(third, labels[permutation])
    assert torch.equal(mixed, again) and not torch.equal(original, mixed)


def test_draws_come_from_the_generator():
    first, second, other = (
        IntrospectiveTrainer(**parts(), generator=torch.Generator().manual_seed(seed)).draw(24) for seed in (5, 5, 6)
    )
    assert first.mixing == second.mixing != other.mixing
    assert torch.equal(first.permutation, second.permutation)
    assert torch.equal(first.permutation.sort().values, torch.arange(24))


def test_mixing_follows_the_beta_distribution():
    trainer = IntrospectiveTrainer(**parts(), alpha=0.5)
    draws = torch.tensor([trainer.draw(2).mixing for _ in range(2000)])
    # Beta(1/2, 1/2) has mean 1/2 and variance 1/8; the mean of 2000 has standard error 0.008
    assert abs(draws.mean() - 0.5) < 0.032 and abs(draws.var() - 0.125) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("introspective", [False, True])
@pytest.mark.parametrize("trainer_class", [MetricLossOnly, IntrospectiveTrainer])
def test_training_finds_the_classes(trainer_class, introspective, pairs):
    trainer = trainer_class(**parts(introspective, pairs=pairs))
    before = copy.deepcopy(trainer.models)
    trainer.train(num_epochs=20)
    trained = precision(trainer)
    trainer.models = before
    assert trained > precision(trainer) + 0.05


@pytest.mark.slow
def test_the_distance_of_the_paper_trains_too():
    distance = IntrospectiveDistance(D)
    arguments = parts(distance=distance, pairs=True)
    arguments["loss_funcs"]["metric_loss"] = losses.TripletMarginLoss(margin=0.2, distance=distance)
    arguments["mining_funcs"]["tuple_miner"] = miners.BatchHardMiner(distance=distance)
    trainer = IntrospectiveTrainer(**arguments)
    before = precision(trainer)
    trainer.train(num_epochs=20)
    assert precision(trainer) > before + 0.05


def test_every_parameter_moves():
    arguments = parts()
    before = copy.deepcopy(arguments["models"]), copy.deepcopy(arguments["loss_funcs"])
    IntrospectiveTrainer(**arguments).train(num_epochs=1)
    for old, new in zip(before, (arguments["models"], arguments["loss_funcs"]), strict=True):
        for name, module in new.items():
            for parameter, was in zip(module.parameters(), old[name].parameters(), strict=True):
                assert not torch.equal(parameter, was), name


# ---- errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"alpha": 0.0}, "alpha must be above 0, but got 0.0; to train without mixup, use MetricLossOnly"),
        ({"mixup_combine": "max"}, "mixup_combine must be one of 'sum', 'mean', but got 'max'"),
    ],
)
def test_arguments_out_of_range_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        IntrospectiveTrainer(**parts(), **options)


def test_integers_cannot_be_mixed():
    with pytest.raises(ValueError, match="floating-point numbers, but got torch.uint8"):
        mixup_loss(error, lambda x: x, torch.zeros(2, 1, dtype=torch.uint8), torch.arange(2), 0.5, torch.arange(2))


def test_an_unknown_combination_is_an_error():
    with pytest.raises(ValueError, match="combine must be one of 'sum', 'mean', but got 'product'"):
        mixup_loss(error, lambda x: x, torch.zeros(2, 1), torch.arange(2), 0.5, torch.arange(2), combine="product")
