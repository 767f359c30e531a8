"""Transforms of torchvision on training images, with draws that nothing else moves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import numbers, run_tiny
from torchvision.transforms import v2

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.training.augmentation import Augmented
from benchmarks.training.images import StoredImages, training_images
from benchmarks.training.pixel_store import ImageStore, Pictures
from benchmarks.training.transforms import Identity, RandomShift

CPU = torch.device("cpu")
THEN = (
    "[{_target_:torchvision.transforms.v2.ColorJitter,brightness:0.4,contrast:0.4},"
    "{_target_:torchvision.transforms.v2.GaussianBlur,kernel_size:3},"
    "{_target_:torchvision.transforms.v2.RandomErasing,p:0.5}]"
)
NODE = [
    "protocol.train_images={_target_:benchmarks.training.augmentation.Augmented,"
    "first:{_target_:benchmarks.training.transforms.RandomShift,max_shift:0.1},then:" + THEN + "}"
]


def pictures(count: int = 6, channels: int = 3) -> tuple[ImageStore, Pictures]:
    images = np.random.default_rng(0).integers(0, 256, (count, 10, 10, channels), dtype=np.uint8)
    store = ImageStore(images, CPU)
    return store, store.pictures(list(range(count)))


def test_draws_depend_on_the_generator_alone_and_leave_the_shared_one_as_it_was() -> None:
    _, batch = pictures()
    jitter = Augmented(RandomShift(0.2), [v2.ColorJitter(0.5, 0.5, 0.5, 0.2), v2.RandomErasing(0.5)])
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(jitter(batch, torch.Generator().manual_seed(7)))
        after = torch.rand(3)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(3))
    assert torch.equal(*found) and found[0].dtype == torch.uint8 and found[0].shape == (6, 3, 10, 10)
    assert not torch.equal(found[0], jitter(batch, torch.Generator().manual_seed(8)))


def test_every_image_has_its_own_draws() -> None:
    images = np.full((4, 8, 8, 1), 100, dtype=np.uint8)
    batch = ImageStore(images, CPU).pictures(list(range(4)))
    levels = Augmented(Identity(), [v2.ColorJitter(brightness=0.9)])(batch, torch.Generator().manual_seed(0))
    assert len({int(image[0, 0, 0]) for image in levels}) == 4
    assert all(len(image.unique()) == 1 for image in levels)


def test_images_that_float_go_from_zero_to_one_and_come_back_in_levels() -> None:
    _, batch = pictures()
    seen = []

    def brighter(image: torch.Tensor) -> torch.Tensor:
        seen.append(float(image.max()))
        return image * 1.5

    class Floats(Identity):
        def __call__(self, pictures: Pictures, generator: torch.Generator) -> torch.Tensor:
            return super().__call__(pictures, generator).float()

    plain = Floats()(batch, torch.Generator())
    levels = Augmented(Floats(), [brighter])(batch, torch.Generator())
    assert max(seen) <= 1 and torch.allclose(levels, (1.5 * plain).clamp(max=255))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol.train_images.then=[]"], "then must be a list of one or more transforms, but got"),
        (["protocol.train_images.then=[3]"], "then must be given as"),
    ],
)
def test_what_is_no_list_of_transforms_is_refused(overrides: list[str], message: str) -> None:
    store, _ = pictures()
    config, _ = compose([*NODE, *overrides])
    with pytest.raises(UserError, match=message):
        training_images(config, store, np.arange(6), np.zeros(6, dtype=np.int64))


def test_a_transform_of_torchvision_is_not_what_makes_images_of_one_size() -> None:
    with pytest.raises(ValueError, match="first must be one of .* RandomResizedCrop; put it into then"):
        Augmented(v2.RandomResizedCrop(8), [v2.RandomErasing()])


def test_a_transform_that_changes_the_shape_is_refused_by_name() -> None:
    _, batch = pictures()
    with pytest.raises(UserError, match=r"CenterCrop makes \(3, 4, 4\) of an image of shape \(3, 10, 10\)"):
        Augmented(Identity(), [v2.CenterCrop(4)])(batch, torch.Generator())


def test_an_epoch_gives_a_method_and_its_baseline_the_same_images() -> None:
    store, _ = pictures()
    batches = []
    for method in ("none", "ee"):
        config, _ = compose([*NODE, f"method={method}", "seed=3"])
        images = training_images(config, store, np.arange(6), np.zeros(6, dtype=np.int64))
        assert isinstance(images, StoredImages)
        images.start_epoch(2)
        torch.rand(5 if method == "ee" else 1)  # what the method draws between batches
        batches.append([images.__getitems__([0, 3])[0], images.__getitems__([1, 3])[0]])
    assert all(torch.equal(*pair) for pair in zip(*batches, strict=True))
    assert not torch.equal(batches[0][0][1], batches[0][1][1])  # the same image in two steps


def test_a_training_with_it_is_repeatable(tmp_path: Path) -> None:
    runs = [run_tiny(tmp_path / name, *NODE, "protocol.epochs=1") for name in ("a", "b")]
    assert numbers(runs[0]) == numbers(runs[1])
