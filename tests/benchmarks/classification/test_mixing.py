"""Mixtures, computed by hand."""

import pytest
import torch
from torch import Tensor

from benchmarks.classification.mixing import Box, Mixer, cutmix, draw_box, mixup


@pytest.fixture
def images() -> Tensor:
    """Three images of 2 x 3 pixels and one channel; image i has the levels 10 i + 0 to 5."""
    return (10 * torch.arange(3.0)[:, None] + torch.arange(6.0)).view(3, 1, 2, 3)


PARTNER = torch.tensor([1, 2, 0])


def test_mixup_blends_images_and_classes_in_the_same_proportion(images: Tensor) -> None:
    mixed, targets = mixup(images, torch.eye(3), PARTNER, weight=0.8)
    assert mixed[0, 0, 0].tolist() == pytest.approx([2.0, 3.0, 4.0])  # .8 x 0 + .2 x 10, ...
    assert mixed[2, 0, 0, 0].item() == pytest.approx(16.0)
    torch.testing.assert_close(targets, torch.tensor([[0.8, 0.2, 0], [0, 0.8, 0.2], [0.2, 0, 0.8]]))


def test_cutmix_replaces_the_box_and_weighs_classes_by_its_pixels(images: Tensor) -> None:
    mixed, targets = cutmix(images, torch.eye(3), PARTNER, Box(0, 2, 1, 2))
    assert mixed[0, 0].tolist() == [[0.0, 11.0, 2.0], [3.0, 14.0, 5.0]]
    torch.testing.assert_close(targets[0], torch.tensor([2 / 3, 1 / 3, 0]))
    assert images[0, 0, 0, 1] == 1  # the batch itself is left as it was


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_at_the_ends_a_mixture_is_one_of_the_two_images(images: Tensor, weight: float) -> None:
    mixed, targets = mixup(images, torch.eye(3), PARTNER, weight)
    whole = slice(None) if weight else PARTNER
    assert torch.equal(mixed, images[whole]) and torch.equal(targets, torch.eye(3)[whole])


def test_boxes_have_the_share_that_is_wanted_unless_the_border_cuts_them() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = [draw_box(64, 32, weight=0.75, generator=generator) for _ in range(200)]
    heights, widths = (
        [getattr(b, high) - getattr(b, low) for b in boxes] for high, low in (("bottom", "top"), ("right", "left"))
    )
    assert max(heights) == 32 and max(widths) == 16  # half of each side: a quarter of the area
    assert min(heights) < 32 and min(widths) < 16
    assert all(0 <= box.top <= box.bottom <= 64 and 0 <= box.left <= box.right <= 32 for box in boxes)


@pytest.mark.parametrize("operator", ["mixup", "cutmix"])
def test_the_mixtures_of_an_epoch_depend_on_its_seed_alone(images: Tensor, operator: str) -> None:
    mixer, labels = Mixer(operator, alpha=1.0, probability=1.0, num_classes=3), torch.arange(3)
    mixer.start_epoch(5)
    first = [mixer(images, labels) for _ in range(3)]
    torch.rand(7)  # somebody else's draws
    mixer.start_epoch(5)
    for (mixed, targets), (again, same) in zip(first, [mixer(images, labels) for _ in range(3)], strict=True):
        assert torch.equal(mixed, again) and torch.equal(targets, same)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(3))


def test_batches_are_mixed_as_often_as_the_probability_says(images: Tensor) -> None:
    mixer = Mixer("cutmix", alpha=1.0, probability=0.5, num_classes=3)
    mixer.start_epoch(0)
    mixed = sum(mixer(images, torch.arange(3))[1].ndim == 2 for _ in range(400))
    assert 160 < mixed < 240  # four standard deviations
    untouched, labels = Mixer("none", 1.0, 1.0, 3)(images, torch.arange(3))
    assert untouched is images and labels.tolist() == [0, 1, 2]
