"""Gaussian copies: recorded numbers, hand-made cases, limits, gradients, refusals."""

import pytest
import torch

from pml_aug.synthesis import class_gaussian_copies

RECORDED = [f"iaasynth_{number:02d}" for number in range(4)]


@pytest.mark.parametrize("name", RECORDED)
def test_copies_are_the_recorded_ones(golden, name):
    file = golden(name)
    before = file.covariance.clone()
    copies = class_gaussian_copies(
        file.features,
        file.labels,
        file.covariance,
        file.meta["lamda"],
        file.meta["aug_num"],
        noise_std="repeated_sqrt",
        noise=file.noise,
    )
    torch.testing.assert_close(copies.embeddings, file.features_aug, rtol=1e-10, atol=1e-12)
    assert torch.equal(copies.labels, file.labels_aug)
    assert torch.equal(copies.source, torch.arange(len(file.labels)).repeat(file.meta["aug_num"]))
    assert torch.equal(file.covariance, before) and torch.equal(before, file.covariance_state_after)


def test_two_rows_two_copies_by_hand():
    embeddings, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 0])
    variance = torch.tensor([[4.0, 0.0], [0.0, 16.0]])
    noise = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.0, -1.0], [2.0, 0.0]]])
    copies = class_gaussian_copies(embeddings, labels, variance, strength=0.25, num_copies=2, noise=noise)
    assert copies.embeddings.tolist() == [[1.0, 2.0], [1.0, 1.0], [1.0, -2.0], [2.0, 1.0]]
    assert copies.labels.tolist() == [1, 0, 1, 0]
    assert copies.source.tolist() == [0, 1, 0, 1]


def test_repeated_roots_by_hand():
    variance, noise = torch.tensor([[16.0]]), torch.ones(3, 1, 1)
    arguments = (torch.zeros(1, 1), torch.tensor([0]), variance, 1.0, 3)
    assert class_gaussian_copies(*arguments, noise=noise).embeddings.flatten().tolist() == [4.0, 4.0, 4.0]
    official = class_gaussian_copies(*arguments, "repeated_sqrt", noise=noise).embeddings.flatten()
    torch.testing.assert_close(official, torch.tensor([4.0, 2.0, 2.0**0.5]))


def test_drawn_copies_have_the_variance_times_the_strength():
    variance = torch.tensor([[0.5, 2.0], [1.0, 0.0]])
    labels = torch.tensor([0, 1])
    copies = class_gaussian_copies(torch.zeros(2, 2), labels, variance, strength=0.8, num_copies=20_000)
    found = torch.stack([copies.embeddings[copies.labels == label].var(dim=0) for label in labels])
    torch.testing.assert_close(found, 0.8 * variance, rtol=0.05, atol=0)


@pytest.mark.parametrize("change", [{"strength": 0.0}, {"variance": torch.zeros(2, 3)}])
def test_without_strength_or_variance_copies_are_duplicates(change):
    embeddings, labels = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    arguments = {"variance": torch.ones(2, 3), "strength": 0.8} | change
    copies = class_gaussian_copies(embeddings, labels, num_copies=2, **arguments)
    assert torch.equal(copies.embeddings, embeddings.repeat(2, 1))


def test_no_copies_are_none():
    copies = class_gaussian_copies(torch.randn(4, 3), torch.zeros(4, dtype=torch.long), torch.ones(1, 3), num_copies=0)
    assert copies.embeddings.shape == (0, 3) and len(copies.labels) == len(copies.source) == 0


def test_a_generator_repeats_its_draw_and_another_does_not():
    arguments = (torch.randn(4, 3), torch.tensor([0, 1, 0, 1]), torch.ones(2, 3))
    first, second, other = (
        class_gaussian_copies(*arguments, generator=torch.Generator().manual_seed(seed)).embeddings
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("noise_std", ["sqrt", "repeated_sqrt"])
def test_gradients_reach_each_row_through_all_its_copies(noise_std):
    embeddings = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    variance = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 4, 3, dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 0])

    def copies(rows):
        return class_gaussian_copies(rows, labels, variance, 0.8, 2, noise_std, noise=noise).embeddings

    assert torch.autograd.gradcheck(copies, embeddings)
    copies(embeddings).sum().backward()
    assert torch.equal(embeddings.grad, torch.full_like(embeddings, 2.0))
    assert variance.grad is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_std": "root"}, "noise_std must be one of 'sqrt', 'repeated_sqrt', but got 'root'"),
        ({"num_copies": -1}, "num_copies must be at least 0, but got -1"),
        ({"noise": torch.zeros(3, 2, 3)}, r"`noise` must be of shape \(3, 4, 3\).*but got \(3, 2, 3\)"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        class_gaussian_copies(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), torch.ones(1, 3), **arguments)
