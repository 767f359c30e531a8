from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.data import ImageArrays
from benchmarks.data.ragged import RaggedImages
from benchmarks.training import pixel_store as module
from benchmarks.training.pixel_store import ImageStore, Pictures, store_of

CPU = torch.device("cpu")


def ragged(count: int = 7) -> RaggedImages:
    random = np.random.default_rng(0)
    return RaggedImages.of(
        [random.integers(0, 256, (*random.integers(2, 9, 2), 3), dtype=np.uint8) for _ in range(count)]
    )


def pixels_of(pictures: Pictures) -> list[np.ndarray]:
    found = []
    for start, (height, width) in zip(pictures.starts.tolist(), pictures.sizes.tolist(), strict=True):
        flat = pictures.pixels[start : start + height * width * pictures.channels]
        found.append(flat.cpu().numpy().reshape(height, width, pictures.channels))
    return found


def assert_same(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("on_device", [True, False])
def test_pictures_are_those_asked_for_wherever_they_are_kept(on_device: bool) -> None:
    images = ragged()
    got = ImageStore(images, CPU, on_device).pictures([5, 0, 5, 6])
    assert_same(pixels_of(got), [images.one(row) for row in (5, 0, 5, 6)])


@pytest.mark.parametrize("on_device", [True, False])
def test_a_selection_of_pictures_keeps_to_its_own(on_device: bool) -> None:
    images = ragged()
    got = ImageStore(images[np.array([6, 2, 3])], CPU, on_device).pictures([0, 2])
    assert_same(pixels_of(got), [images.one(6), images.one(3)])


@pytest.mark.parametrize("on_device", [True, False])
def test_every_picture_may_be_read_as_wide_as_the_widest(on_device: bool) -> None:
    images = ragged()
    store = ImageStore(images, CPU, on_device)
    for row in range(len(images)):
        got = store.pictures([row])
        end = int(got.starts[0] + got.sizes[0].prod() * 3)
        assert len(got.pixels) - end >= images.sizes[:, 1].max() * 3


def test_large_data_sets_are_moved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = ragged(20)
    monkeypatch.setattr(module, "UPLOADED_AT_ONCE", 300)
    got = ImageStore(images, CPU, on_device=True).pictures(range(20))
    assert_same(pixels_of(got), list(images))


def test_files_mapped_to_memory_are_read_in_place(tmp_path: Path) -> None:
    arrays = np.random.randint(0, 256, (5, 4, 3, 1)).astype(np.uint8)
    np.save(tmp_path / "images.npy", arrays)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    store = ImageStore(mapped, CPU)
    assert np.shares_memory(store.source, mapped) and not store.on_device
    assert_same(pixels_of(store.pictures([3, 1])), [arrays[3], arrays[1]])


def test_one_store_serves_all_trainings_on_a_data_set() -> None:
    images = ragged()
    data = ImageArrays("few", images, np.arange(len(images)), [], None, [])
    assert store_of(data, CPU) is store_of(data, CPU)
    other = ImageArrays("few", images, np.arange(len(images)), [], None, [])
    assert store_of(other, CPU) is not store_of(data, CPU)


def test_it_says_how_much_lies_where() -> None:
    arrays = np.zeros((100, 100, 100, 3), np.uint8)
    assert str(ImageStore(arrays, CPU)) == "0.00 GB of images stay in host memory"
    assert ImageStore(arrays, CPU).bytes == 3_000_000


@pytest.mark.parametrize(("per_gpu", "kept"), [(1, True), (2, True), (3, False)])
def test_trainings_that_share_a_gpu_plan_for_as_many_copies(
    per_gpu: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (12_000_000, 80_000_000))
    monkeypatch.setattr(ImageStore, "_upload", lambda store: torch.empty(0))
    arrays = np.zeros((100, 100, 100, 3), np.uint8)  # 3 MB
    assert ImageStore(arrays, torch.device("cuda"), per_gpu=per_gpu).on_device is kept


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_keeps_what_fits_and_gets_copies_of_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    images, device = ragged(), torch.device("cuda")
    kept = ImageStore(images, device)
    monkeypatch.setattr(module, "LARGEST_SHARE", 0.0)
    copied = ImageStore(images, device)
    assert (kept.on_device, copied.on_device) == (True, False)
    for store in (kept, copied):
        got = store.pictures([5, 0, 6])
        assert got.pixels.is_cuda
        assert_same(pixels_of(got), [images.one(row) for row in (5, 0, 6)])
