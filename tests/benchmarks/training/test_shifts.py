import numpy as np
import pytest
import torch

from benchmarks.data.ragged import RaggedImages
from benchmarks.training.pixel_store import ImageStore
from benchmarks.training.shifts import RandomShift, Whole, shift

CPU = torch.device("cpu")


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
    for transform in (Whole(), RandomShift(0.0)):
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
    for transform in (Whole(), RandomShift(0.1)):
        with pytest.raises(ValueError, match=r"from \[2, 2\] to \[4, 3\].*RandomResizedCrop"):
            transform.check(sizes)


def test_a_shift_by_more_than_the_side_is_refused() -> None:
    with pytest.raises(ValueError, match="max_shift must be at least 0 and below 1, but got 1.0"):
        RandomShift(1.0)
