import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data.npz import read_npz


def arrays(**changes: Any) -> dict[str, Any]:
    images = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    return {"images": images, "labels": np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)} | changes


def write(folder: Path, **content: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("shape", [(6, 4, 4), (6, 4, 4, 1), (6, 4, 4, 3)])
def test_grey_and_colour_images_come_back_in_four_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    read = read_npz(write(tmp_path, **arrays(images=images)), "mine")
    assert read.name == "mine"
    assert read.images.shape == (6, 4, 4, shape[3] if len(shape) == 4 else 1)
    assert np.array_equal(read.images.ravel(), images.ravel())
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2] and read.labels.dtype == np.int64


def test_names_and_sources_come_back(tmp_path: Path) -> None:
    content = arrays(class_names=["x", "y", "z"], source=np.array([0, 1] * 3), source_names=["left", "right"])
    read = read_npz(write(tmp_path, **content), "mine")
    assert read.class_names == ["x", "y", "z"]
    assert read.source is not None and read.source.tolist() == [0, 1] * 3
    assert read.source_names == ["left", "right"]


def test_missing_names_are_numbers_and_missing_sources_are_none(tmp_path: Path) -> None:
    read = read_npz(write(tmp_path, **arrays()), "mine")
    assert read.class_names == ["0", "1", "2"]
    assert read.source is None and read.source_names == []
    assert read_npz(write(tmp_path, **arrays(source=np.arange(6) % 2)), "mine").source_names == ["0", "1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((6, 4, 4))}, "images must be uint8 .* are float64"),
        ({"images": np.zeros((6, 4, 4, 2), dtype=np.uint8)}, r"images must be .* shape \(6, 4, 4, 2\)"),
        ({"images": np.zeros((0, 4, 4), dtype=np.uint8)}, r"images must be .* shape \(0, 4, 4\)"),
        ({"labels": np.array([0, 0, 1, 1, 2])}, r"labels must be integers of shape \(6,\)"),
        ({"labels": np.array([0.0, 0, 1, 1, 2, 2])}, "labels must be integers .* are float64"),
        ({"labels": np.array([0, 0, -1, -1, 2, 2])}, "labels must be at least 0, but row 2 is -1"),
        ({"labels": np.array([0, 0, 1, 1, 3, 3])}, r"without a gap, but \[2\] have no image"),
        ({"labels": np.array([1, 1, 2, 2, 3, 3])}, r"without a gap, but \[0\] have no image"),
        ({"labels": np.zeros(6, dtype=int)}, "found 1 class"),
        ({"labels": np.array([0, 0, 0, 1, 1, 2])}, r"1 of 3 classes have a single image \(2\)"),
        ({"labels": np.array([0, 0, 1, 1, 2, 2**30])}, f"6 images cannot have label {2**30}"),
        ({"labels": np.array([0, 0, 1, 1, 2, 2**63], dtype=np.uint64)}, f"6 images cannot have label {2**63}"),
        ({"labels": np.array([0, 0, 1, 1, 2, 2], dtype="m8[s]")}, "labels must be integers .* are timedelta"),
        ({"source": np.array([0, 0, 1, 1, 2, 2**30])}, f"source must be below 1,048,576 .* but got {2**30}"),
        ({"class_names": ["a", "b"]}, "class_names has 2 entries, but the image 4 has entry 2"),
        ({"class_names": ["a", "b", "c", "d"]}, r"run from 0 to 3 without a gap, but \[3\] have no image"),
        ({"class_names": np.array(["a", "b", "\udc80"])}, "class_names holds characters that are not Unicode"),
        ({"class_names": np.full(3, 2**31, "<u4").view("<U1")}, "class_names holds characters that are not Unicode"),
        ({"class_names": np.arange(3)}, "class_names must be a vector of strings"),
        ({"class_names": np.array(["a", "b", None])}, "not a readable npz file .*pickled objects"),
        ({"source": np.arange(5)}, r"source must be integers of shape \(6,\)"),
        ({"source": np.arange(6), "source_names": ["one"]}, "source_names has 1 entries, but .* entry 5"),
    ],
)
def test_unsound_arrays_are_refused_by_path(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, **arrays(**changes))
    with pytest.raises(ValueError, match=f"^{path}: .*{message}"):
        read_npz(path, "mine")


@pytest.mark.parametrize("key", ["images", "labels"])
def test_missing_array_is_named(tmp_path: Path, key: str) -> None:
    content = arrays()
    del content[key]
    path = write(tmp_path, **content)
    with pytest.raises(ValueError, match=f"^{path}: expected an array '{key}'"):
        read_npz(path, "mine")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{tmp_path / 'none.npz'}: no such file; data.path"):
        read_npz(tmp_path / "none.npz", "mine")


def test_truncated_file_is_refused_by_path(tmp_path: Path) -> None:
    path = write(tmp_path, **arrays())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"^{path}: not a readable npz file"):
        read_npz(path, "mine")


def test_damaged_compressed_data_is_refused_by_path(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **arrays(images=np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)))
    damaged = bytearray(path.read_bytes())
    damaged[1000:1200] = bytes(200)
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match=f"^{path}: not a readable npz file"):
        read_npz(path, "mine")


@pytest.mark.parametrize("content", [b"", b"no archive at all"])
def test_file_of_another_kind_is_refused_by_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: not a readable npz file"):
        read_npz(path, "mine")


def test_single_npy_array_is_refused_by_path(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(ValueError, match=f"^{path}: not a readable npz file"):
        read_npz(path, "mine")


def header_of(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (header_of((10**12,)), r"claims shape \(1000000000000,\) of uint8, but holds 0 bytes"),
        (header_of((10**12, 10**12, 10**12)), "claims shape"),
        (header_of((-1, -4, 4)) + bytes(16), "claims shape"),
        (header_of((2, 4, 4)) + bytes(33), "claims shape .* but holds 33 bytes"),
        (b"no array", "magic string"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "format"),
        (b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 0x76, r"\("),
    ],
)
def test_member_that_is_not_the_array_it_claims_is_refused_by_path(tmp_path: Path, member: bytes, message: str) -> None:
    path = write(tmp_path, labels=arrays()["labels"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", member)
    with pytest.raises(ValueError, match=f"^{path}: not a readable npz file .*{message}"):
        read_npz(path, "mine")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_than_that_of_numpy_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("images.npy", header_of((10**9,)) + bytes(10**6))
    with pytest.raises(ValueError, match=f"^{path}: .*images.npy is compressed in a way that numpy does not write"):
        read_npz(path, "mine")


@pytest.mark.parametrize(("offset", "value", "message"), [(8, 1, "encrypted"), (10, 99, "compressed in a way")])
def test_member_that_claims_encryption_or_unknown_compression_is_refused(
    tmp_path: Path, offset: int, value: int, message: str
) -> None:
    path = write(tmp_path, **arrays())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + offset] = value  # of the directory at the end of the archive
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=f"^{path}: not a readable npz file .*{message}"):
        read_npz(path, "mine")


def test_member_that_claims_more_than_its_content_can_give_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, **arrays())
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02") + 24
    content[start : start + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=f"^{path}: .*images.npy claims 2,147,483,648 bytes"):
        read_npz(path, "mine")


def test_array_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, **arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels", b"")
    with pytest.raises(ValueError, match=f"^{path}: .*holds 'labels' 2 times"):
        read_npz(path, "mine")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.npz")
    with pytest.raises(ValueError, match="data.npz: not a regular file"):
        read_npz(tmp_path / "data.npz", "mine")
