import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.data import decode_cache as store
from benchmarks.data.decode_cache import decoded, store_path
from benchmarks.data.decoding import Form, decode

Save = Callable[..., Path]
FORM = Form(16, "short_side", upright=False)


@pytest.fixture
def files(save: Save, tmp_path: Path) -> list[Path]:
    return [save(tmp_path / "images" / f"{row}.jpg", row, (20 + 3 * row, 40 - row)) for row in range(25)]


def folders(cache: Path) -> list[Path]:
    return [child for child in cache.iterdir() if child.is_dir()]


@pytest.mark.parametrize("workers", [1, 3, None])
def test_every_picture_is_the_decoded_file_in_its_row(files: list[Path], tmp_path: Path, workers: int | None) -> None:
    images = decoded(files, FORM, tmp_path / "cache", "mine", workers)
    assert len(images) == 25 and images.sizes.min(axis=1).tolist() == [16] * 25
    assert all(np.array_equal(image, decode(file, FORM)) for image, file in zip(images, files, strict=True))
    assert isinstance(images.pixels, np.memmap)


def test_digests_kept_are_those_of_the_pixels(files: list[Path], tmp_path: Path) -> None:
    images = decoded(files, FORM, tmp_path / "cache", "mine")
    assert np.array_equal(images.digests, type(images).of(list(images)).digests)


def test_second_time_decodes_nothing(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = decoded(files, FORM, tmp_path / "cache", "mine")

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(store, "_decode", refuse)
    second = decoded(files, FORM, tmp_path / "cache", "mine")
    assert np.array_equal(first.pixels, second.pixels)


def test_changed_file_order_form_or_name_is_another_store(files: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = store_path(files, FORM, cache, "mine")
    others = {
        store_path(files[::-1], FORM, cache, "mine"),
        store_path(files[:-1], FORM, cache, "mine"),
        store_path(files, FORM._replace(image_size=17), cache, "mine"),
        store_path(files, FORM._replace(upright=True), cache, "mine"),
        store_path(files, FORM, cache, "yours"),
    }
    os.utime(files[3], ns=(0, 12345))
    others.add(store_path(files, FORM, cache, "mine"))
    assert len(others) == 6 and before not in others


def test_damaged_image_is_named_and_leaves_no_store(files: list[Path], tmp_path: Path) -> None:
    files[17].write_bytes(files[17].read_bytes()[:300])
    with pytest.raises(ValueError, match=f"^{files[17]}: not a readable image"):
        decoded(files, FORM, tmp_path / "cache", "mine", 2)
    assert folders(tmp_path / "cache") == []


def test_remains_of_a_killed_process_are_cleared(files: list[Path], tmp_path: Path) -> None:
    folder = store_path(files, FORM, tmp_path / "cache", "mine")
    remains = folder.with_name(f"{folder.name}.unfinished")
    remains.mkdir(parents=True)
    (remains / "pixels.bin").write_bytes(b"half of it")
    assert len(decoded(files, FORM, tmp_path / "cache", "mine")) == 25
    assert folders(tmp_path / "cache") == [folder]


def test_several_that_ask_at_once_decode_once(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = []
    build = store._build
    monkeypatch.setattr(store, "_build", lambda *given: (builds.append(1), build(*given)))
    readers = [threading.Thread(target=decoded, args=(files, FORM, tmp_path / "cache", "mine", 1)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(builds) == 1 and len(folders(tmp_path / "cache")) == 1


def damage_index(folder: Path, **changes: np.ndarray) -> None:
    with np.load(folder / "index.npz") as index:
        arrays = dict(index)
    np.savez(folder / "index.npz", **arrays | changes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "pixels.bin", 1000),
        lambda folder: (folder / "index.npz").unlink(),
        lambda folder: (folder / "index.npz").write_bytes(b"no archive"),
        lambda folder: (folder / "pixels.bin").unlink(),
        lambda folder: damage_index(folder, sizes=np.zeros(3)),
        lambda folder: damage_index(folder, sizes=np.full((25, 2), -16)),
        lambda folder: damage_index(folder, sizes=np.full((25, 2), 2**62)),
        lambda folder: damage_index(folder, digests=np.zeros((24, 32), dtype=np.uint8)),
        lambda folder: ((folder / "pixels.bin").unlink(), os.mkfifo(folder / "pixels.bin")),
    ],
)
def test_damaged_store_is_refused_with_what_to_delete(
    files: list[Path], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    decoded(files, FORM, tmp_path / "cache", "mine")
    (folder,) = folders(tmp_path / "cache")
    damage(folder)
    with pytest.raises(ValueError, match=f"^{folder}: this store of decoded images is damaged .* delete the directory"):
        decoded(files, FORM, tmp_path / "cache", "mine")


def test_images_that_the_disk_cannot_hold_are_refused_before_one_is_decoded(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: SimpleNamespace(free=25 * 16 * 16 * 3 - 1))
    monkeypatch.setattr(store, "_decode", None)
    with pytest.raises(OSError, match="25 images with data.image_size=16 take at least .* use another data.cache"):
        decoded(files, FORM, tmp_path / "cache", "mine")
