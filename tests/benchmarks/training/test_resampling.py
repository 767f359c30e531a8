from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from benchmarks.data.ragged import RaggedImages
from benchmarks.profiling.op_counter import count
from benchmarks.training import resampling
from benchmarks.training.pixel_store import ImageStore, Pictures
from benchmarks.training.resampling import Boxes, at_once, filter_weights, one_by_one, resample, windows

CPU = torch.device("cpu")
Resample = Callable[[Pictures, Boxes, int], torch.Tensor]
SIZES = pytest.mark.parametrize(
    ("channels", "sides", "size"),
    [(3, (1, 12), 16), (3, (30, 90), 20), (1, (10, 200), 33), (3, (200, 400), 7), (3, (256, 300), 227)],
    ids=["much larger", "smaller", "gray", "much smaller", "as in training"],
)
BOTH = pytest.mark.parametrize("resized", [at_once, one_by_one])


def random_pictures(count: int, channels: int, sides: tuple[int, int]) -> list[np.ndarray]:
    """Half of them noise, half smooth."""
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (*random.integers(*sides, 2), channels), dtype=np.uint8) for _ in range(count)]
    for k in range(0, count, 2):
        height, width = pictures[k].shape[:2]
        wave = np.sin(np.arange(height)[:, None, None] / 9) + np.cos(
            np.arange(width)[:, None] / 7 + np.arange(channels)
        )
        pictures[k] = (127.5 + 63 * wave).astype(np.uint8)
    return pictures


def random_boxes(sizes: torch.Tensor) -> Boxes:
    height, width = ((torch.rand(len(sizes)) * side).long() + 1 for side in sizes.T)
    top, left = ((torch.rand(len(sizes)) * (room + 1)).long() for room in (sizes[:, 0] - height, sizes[:, 1] - width))
    return Boxes(top, left, height, width, torch.randint(2, (len(sizes),)))


def pillow(picture: np.ndarray, box: list[int], size: int) -> np.ndarray:
    top, left, height, width, mirrored = box
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    image = image.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(ImageOps.mirror(image) if mirrored else image).reshape(size, size, -1)


def store_and_boxes(count: int, channels: int, sides: tuple[int, int]) -> tuple[list[np.ndarray], Pictures, Boxes]:
    pictures = random_pictures(count, channels, sides)
    batch = ImageStore(RaggedImages.of(pictures), CPU).pictures(range(count))
    return pictures, batch, random_boxes(batch.sizes)


def on(device: str, pictures: Pictures) -> Pictures:
    return pictures._replace(pixels=pictures.pixels.to(device))


@SIZES
def test_boxes_are_pillows_within_a_level(channels: int, sides: tuple[int, int], size: int) -> None:
    pictures, batch, boxes = store_and_boxes(40 if size < 100 else 8, channels, sides)
    got = at_once(batch, boxes, size).permute(0, 2, 3, 1).numpy()
    expected = np.stack([pillow(p, box, size) for p, box in zip(pictures, torch.stack(boxes, 1).tolist(), strict=True)])
    error = np.abs(got - expected)
    assert error.max() <= 1.001  # Pillow rounds twice, by half a level each time
    assert error.mean() <= 0.36

    rounded = one_by_one(batch, boxes, size).permute(0, 2, 3, 1).numpy()
    differs = np.abs(rounded.astype(int) - expected)
    assert (differs > 0).mean() <= 0.08 and differs.max() <= 2  # weights of 16 bits move what lies near a half


@SIZES
def test_boxes_on_the_host_are_those_of_the_accelerator_but_for_rounding(
    channels: int, sides: tuple[int, int], size: int
) -> None:
    _, batch, boxes = store_and_boxes(40 if size < 100 else 8, channels, sides)
    rounded = one_by_one(batch, boxes, size)
    error = (rounded.float() - at_once(batch, boxes, size)).abs()
    # half a level for each of two sides, and 2^-15 of 255 levels for each weight
    assert rounded.dtype == torch.uint8 and error.max() <= 1.1 and error.mean() <= 0.36


def test_the_host_takes_the_way_for_bytes() -> None:
    _, batch, boxes = store_and_boxes(3, 3, (20, 60))
    assert torch.equal(resample(batch, boxes, 24), one_by_one(batch, boxes, 24))


@BOTH
def test_a_box_of_the_outputs_size_comes_out_pixel_by_pixel(resized: Resample) -> None:
    pictures, batch, _ = store_and_boxes(6, 3, (9, 20))
    eight = torch.full((6,), 8)
    got = resized(batch, Boxes(torch.zeros(6).long(), batch.sizes[:, 1] - 8, eight, eight, torch.zeros(6).long()), 8)
    for picture, square in zip(pictures, got, strict=True):
        np.testing.assert_allclose(square.permute(1, 2, 0).numpy(), picture[:8, -8:], atol=1e-4)


@BOTH
def test_an_images_pixels_depend_on_no_other_image_of_the_batch(
    resized: Resample, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, batch, boxes = store_and_boxes(9, 3, (5, 60))
    together = resized(batch, boxes, 24)
    for n in (0, 4, 8):
        alone = resized(batch._replace(starts=batch.starts[n : n + 1], sizes=batch.sizes[n : n + 1]),
                         Boxes(*(column[n : n + 1] for column in boxes)), 24)  # fmt: skip
        torch.testing.assert_close(alone[0], together[n], rtol=0, atol=1e-4)
    monkeypatch.setattr(resampling, "AT_ONCE", 60 * 60 * 3 * 2)
    torch.testing.assert_close(resized(batch, boxes, 24), together, rtol=0, atol=1e-4)


@BOTH
def test_autocast_shortens_no_number(resized: Resample) -> None:
    _, batch, boxes = store_and_boxes(4, 3, (20, 60))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = resized(batch, boxes, 24)
    assert torch.equal(inside, resized(batch, boxes, 24))


def test_memory_is_bounded_by_the_chunk_not_by_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "AT_ONCE", 64 * 64 * 4)
    _, batch, boxes = store_and_boxes(64, 1, (60, 64))
    size = 8
    made = count(lambda device: partial(resample, on(device, batch), boxes, size)).peak_bytes
    assert made < 64 * size * size * 4 + 4 * 64 * 64 * 4 * 4


def test_kernels_do_not_grow_with_the_batch_and_the_host_waits_for_none() -> None:
    _, batch, boxes = store_and_boxes(30, 3, (20, 60))
    two = batch._replace(starts=batch.starts[:2], sizes=batch.sizes[:2])
    few = count(lambda device: partial(resample, on(device, two), Boxes(*(part[:2] for part in boxes)), 24))
    many = count(lambda device: partial(resample, on(device, batch), boxes, 24))
    assert few.kernels == many.kernels <= 60
    assert few.waits == many.waits == 0


def test_weights_of_a_side_add_up_to_one_and_stay_within_it() -> None:
    lengths = torch.tensor([[1], [5], [40], [64]])
    weights = filter_weights(lengths, 64, 16, torch.tensor([[0], [1], [0], [1]]))
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(4, 16))
    assert not weights[torch.arange(64).expand(4, 16, 64) >= lengths[:, :, None]].any()


def test_a_mirrored_side_is_weighed_from_the_other_end() -> None:
    length = torch.tensor([[11]])
    mirrored = filter_weights(length, 11, 4, torch.tensor([[1]]))
    assert torch.equal(mirrored, filter_weights(length, 11, 4).flip(1))


def test_windows_may_overlap() -> None:
    assert windows(torch.arange(6), torch.tensor([[0, 1], [3, 3]]), 3).tolist() == [
        [[0, 1, 2], [1, 2, 3]], [[3, 4, 5], [3, 4, 5]]
    ]  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpus_boxes_are_the_hosts() -> None:
    _, batch, boxes = store_and_boxes(16, 3, (100, 300))
    on_gpu = resample(batch._replace(pixels=batch.pixels.cuda()), boxes, 227)
    torch.testing.assert_close(on_gpu.cpu(), at_once(batch, boxes, 227), rtol=0, atol=0.01)
