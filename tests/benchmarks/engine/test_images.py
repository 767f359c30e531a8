import numpy as np
import torch

from benchmarks.engine.images import MemoryImages, ShiftedImages, shift

CPU = torch.device("cpu")


def some_images(channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return np.random.randint(0, 256, (6, 8, 10, channels)).astype(np.uint8), np.arange(6)


def test_images_come_as_floats_between_minus_one_and_one() -> None:
    arrays, labels = some_images(channels=3)
    images, got = MemoryImages(arrays, labels, CPU).__getitems__([4, 1])
    assert images.shape == (2, 3, 8, 10) and got.tolist() == [4, 1]
    torch.testing.assert_close(images[1, 2, 5, 7].item(), arrays[1, 5, 7, 2] / 127.5 - 1)


def test_a_shift_moves_each_image_by_its_own_pixels_and_repeats_the_border() -> None:
    images = torch.rand(5, 2, 6, 7)
    moves = torch.tensor([[0, 2, -2, 1, -5], [0, 3, 1, -4, 6]])
    shifted = shift(images, moves)
    for n, (down, right) in enumerate(moves.T.tolist()):
        for row in range(6):
            for column in range(7):
                source = images[n, :, min(max(row - down, 0), 5), min(max(column - right, 0), 6)]
                assert torch.equal(shifted[n, :, row, column], source)


def test_no_shift_leaves_images_unchanged() -> None:
    arrays, labels = some_images()
    still = ShiftedImages(arrays, labels, CPU, max_shift=0.0, seed=0)
    still.start_epoch(1)
    rows = list(range(6))
    assert torch.equal(still.__getitems__(rows)[0], MemoryImages(arrays, labels, CPU).__getitems__(rows)[0])


def test_an_epochs_shifts_depend_on_seed_and_epoch_alone() -> None:
    arrays, labels = some_images()

    def augmented(seed: int, epoch: int) -> torch.Tensor:
        images = ShiftedImages(arrays, labels, CPU, max_shift=0.3, seed=seed)
        torch.rand(7)  # the shared generator moves, the images do not
        images.start_epoch(epoch)
        return images.__getitems__([0, 1, 2, 3, 4, 5] * 5)[0]

    assert torch.equal(augmented(0, 2), augmented(0, 2))
    assert not torch.equal(augmented(0, 2), augmented(0, 3))
    assert not torch.equal(augmented(0, 2), augmented(1, 2))
