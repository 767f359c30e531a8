"""Random colours, computed by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch

from benchmarks.training.colour import ColourNoise, jittered
from benchmarks.training.pixel_store import ImageStore
from benchmarks.training.transforms import Identity, whole

CPU = torch.device("cpu")
IMAGE = torch.tensor([[[[100.0, 200.0]], [[0.0, 0.0]], [[0.0, 0.0]]]])  # two red pixels of grey 29.9 and 59.8


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (0, [50.0, 100.0, 0.0, 0.0, 0.0, 0.0]),  # half black
        (1, [72.425, 122.425, 22.425, 22.425, 22.425, 22.425]),  # half the mean grey, 44.85
        (2, [64.95, 129.9, 14.95, 29.9, 14.95, 29.9]),  # half each pixel's grey
    ],
)
def test_one_change_mixes_with_black_mean_grey_or_grey(kind: int, expected: list[float]) -> None:
    found = jittered(IMAGE, 0.5 * torch.eye(3)[kind : kind + 1])
    torch.testing.assert_close(found.flatten(), torch.tensor(expected))


def test_the_order_of_the_changes_does_not_matter() -> None:
    shares = torch.tensor([0.3, -0.2, 0.4])
    at_once = jittered(IMAGE, shares[None])
    for order in permutations(range(3)):
        image = IMAGE
        for kind in order:
            image = jittered(image, shares[kind] * torch.eye(3)[kind : kind + 1])
        torch.testing.assert_close(image, at_once)  # but for rounding


def test_without_strength_images_are_as_they_were_and_lighting_adds_one_colour_to_an_image() -> None:
    store = ImageStore(np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), dtype=np.uint8), CPU)
    pictures, generator = store.pictures(range(64)), torch.Generator().manual_seed(0)
    images = whole(pictures).float()
    torch.testing.assert_close(ColourNoise(Identity(), jitter=0, lighting=0)(pictures, generator), images)
    added = ColourNoise(Identity(), jitter=0, lighting=0.1)(pictures, generator) - images
    assert float(added.std(dim=(2, 3)).max()) < 1e-4
    # along the first component, of which all signs are equal, with deviation 255 x .1 x .2175
    along = added[:, :, 0, 0] @ torch.tensor([-0.5675, -0.5808, -0.5836])
    assert 4.4 < float(along.std()) < 6.7


def test_grey_images_and_impossible_values_are_refused() -> None:
    store = ImageStore(np.zeros((2, 4, 4, 1), np.uint8), CPU)
    with pytest.raises(ValueError, match="needs images in colour, but these have 1 channel"):
        ColourNoise(Identity())(store.pictures([0, 1]), torch.Generator())
    with pytest.raises(ValueError, match="jitter must be between 0 and 1, but got 2"):
        ColourNoise(Identity(), jitter=2)
    with pytest.raises(ValueError, match="lighting must be at least 0"):
        ColourNoise(Identity(), lighting=-1)
