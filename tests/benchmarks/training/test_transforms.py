import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms.v2 import RandomResizedCrop as Reference
from torchvision.transforms.v2.functional import center_crop, horizontal_flip, pad
from torchvision.transforms.v2.functional import crop as crop_image

from benchmarks.data.ragged import RaggedImages
from benchmarks.training.pixel_store import ImageStore
from benchmarks.training.transforms import (
    CenterCrop,
    Identity,
    PaddedCrop,
    RandomResizedCrop,
    RandomShift,
    shift,
    whole,
)

CPU = torch.device("cpu")


def several_sizes(count: int, channels: int = 3, sides: tuple[int, int] = (20, 60)) -> RaggedImages:
    random = np.random.default_rng(0)
    return RaggedImages.of(
        [random.integers(0, 256, (*random.integers(*sides, 2), channels), dtype=np.uint8) for _ in range(count)]
    )


def reference_boxes(crop: RandomResizedCrop, height: int, width: int, draws: int) -> torch.Tensor:
    reference = Reference(crop.size, scale=crop.scale, ratio=crop.ratio)
    image = torch.empty(1, height, width)
    boxes = (reference.make_params([image]) for _ in range(draws))
    return torch.tensor([[box[name] for name in ("top", "left", "height", "width")] for box in boxes])


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 341), (300, 90), (40, 400)])
def test_boxes_are_distributed_as_torchvisions(height: int, width: int) -> None:
    crop, draws = RandomResizedCrop(), 1500
    ours = crop.boxes(torch.tensor([[height, width]]).expand(8000, 2), torch.Generator().manual_seed(0))
    theirs = reference_boxes(crop, height, width, draws)
    for name, column in zip(("top", "left", "height", "width"), theirs.T, strict=True):
        values = getattr(ours, name)
        assert ks_2samp(values.numpy(), column.numpy()).pvalue > 1e-4, name
    area, their_area = ours.height * ours.width, theirs[:, 2] * theirs[:, 3]
    assert ks_2samp(area.numpy(), their_area.numpy()).pvalue > 1e-4
    assert abs(ours.mirrored.double().mean().item() - 0.5) < 0.03


@pytest.mark.parametrize(("height", "width"), [(10, 400), (400, 10), (33, 1000), (7, 5)])
def test_where_no_try_fits_the_largest_centred_box_is_torchvisions(height: int, width: int) -> None:
    crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(0.9, 1.1))
    if (height, width) == (7, 5):
        crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    ours = crop.boxes(torch.tensor([[height, width]]), torch.Generator().manual_seed(0))
    assert [int(part) for part in ours[:4]] == reference_boxes(crop, height, width, 1)[0].tolist()


def test_boxes_lie_within_their_pictures() -> None:
    sizes = torch.randint(1, 60, (5000, 2))
    boxes = RandomResizedCrop(scale=(0.01, 1.0), ratio=(0.1, 10.0)).boxes(sizes, torch.Generator().manual_seed(0))
    assert (boxes.height >= 1).all() and (boxes.width >= 1).all()
    assert (boxes.top >= 0).all() and (boxes.top + boxes.height <= sizes[:, 0]).all()
    assert (boxes.left >= 0).all() and (boxes.left + boxes.width <= sizes[:, 1]).all()


def test_images_draw_the_same_numbers_whatever_the_others_sizes() -> None:
    crop = RandomResizedCrop()
    first = crop.boxes(torch.tensor([[50, 50], [40, 90]]), torch.Generator().manual_seed(3))
    other = crop.boxes(torch.tensor([[900, 2], [40, 90]]), torch.Generator().manual_seed(3))
    assert [int(part[1]) for part in first] == [int(part[1]) for part in other]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_centre_is_torchvisions_pixel_by_pixel(channels: int) -> None:
    images = several_sizes(30, channels)
    squares = CenterCrop(20)(ImageStore(images, CPU).pictures(range(30)), torch.Generator())
    assert squares.dtype == torch.uint8
    for picture, square in zip(images, squares, strict=True):
        assert torch.equal(square, center_crop(torch.from_numpy(picture.copy()).movedim(-1, 0), [20, 20]))


def test_what_cannot_be_cropped_is_refused() -> None:
    with pytest.raises(ValueError, match="shortest side of the images, 20 pixels, but got 21"):
        CenterCrop(21).check(torch.tensor([[40, 20]]))
    with pytest.raises(ValueError, match="size must be at least 1, but got 0"):
        CenterCrop(0)
    with pytest.raises(ValueError, match="scale must go up from above 0 to at most 1, but got 0.5 to 0.2"):
        RandomResizedCrop(scale=(0.5, 0.2))
    with pytest.raises(ValueError, match="ratio must go up from above 0"):
        RandomResizedCrop(ratio=(0.0, 0.2))
    with pytest.raises(ValueError, match="flip must be between 0 and 1, but got 2"):
        RandomResizedCrop(flip=2)


def test_a_shift_moves_each_image_by_its_own_pixels_and_repeats_the_border() -> None:
    images = torch.rand(5, 2, 6, 7)
    moves = torch.tensor([[0, 2, -2, 1, -5], [0, 3, 1, -4, 6]])
    shifted = shift(images, moves)
    for n, (down, right) in enumerate(moves.T.tolist()):
        for row in range(6):
            for column in range(7):
                source = images[n, :, min(max(row - down, 0), 5), min(max(column - right, 0), 6)]
                assert torch.equal(shifted[n, :, row, column], source)


@pytest.mark.parametrize("channels", [1, 3])
def test_whole_pictures_and_pictures_without_shift_are_the_arrays(channels: int) -> None:
    arrays = np.random.randint(0, 256, (6, 8, 10, channels)).astype(np.uint8)
    pictures = ImageStore(arrays, CPU).pictures([4, 1])
    expected = torch.from_numpy(arrays[[4, 1]]).movedim(-1, 1)
    for transform in (Identity(), RandomShift(0.0)):
        assert torch.equal(transform(pictures, torch.Generator()), expected)


def test_a_random_shift_takes_every_move_up_to_its_limit_and_none_beyond() -> None:
    arrays = np.zeros((1, 11, 20, 1), np.uint8)
    arrays[0, 5, 10] = 255
    pictures = ImageStore(arrays, CPU).pictures([0] * 2000)
    moved = RandomShift(0.2)(pictures, torch.Generator().manual_seed(0))[:, 0]
    _, down, right = moved.nonzero(as_tuple=True)
    moves = set(zip((down - 5).tolist(), (right - 10).tolist(), strict=True))
    assert moves == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}


def test_pictures_of_several_sizes_are_refused_with_the_way_out() -> None:
    sizes = torch.from_numpy(RaggedImages.of([np.zeros((2, 3, 1), np.uint8), np.ones((4, 2, 1), np.uint8)]).sizes)
    for transform in (Identity(), RandomShift(0.1)):
        with pytest.raises(ValueError, match=r"from \[2, 2\] to \[4, 3\].*RandomResizedCrop"):
            transform.check(sizes)


def test_a_shift_by_more_than_the_side_is_refused() -> None:
    with pytest.raises(ValueError, match="max_shift must be at least 0 and below 1, but got 1.0"):
        RandomShift(1.0)


def test_padded_crops_are_torchvisions_at_the_same_places() -> None:
    images = ImageStore(np.random.default_rng(0).integers(0, 256, (40, 8, 6, 3), dtype=np.uint8), CPU)
    pictures = images.pictures(range(40))
    crop, generator = PaddedCrop(padding=2, flip=0.5), torch.Generator().manual_seed(3)
    found = crop(pictures, generator)
    generator.manual_seed(3)
    top, left = torch.randint(5, (2, 40), generator=generator)
    mirrored = torch.rand(40, generator=generator) < 0.5
    assert 10 < mirrored.sum() < 30
    for row, image in enumerate(pad(whole(pictures), [2, 2])):
        expected = crop_image(image, int(top[row]), int(left[row]), 8, 6)
        assert torch.equal(found[row], horizontal_flip(expected) if mirrored[row] else expected)
