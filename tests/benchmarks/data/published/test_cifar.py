"""Archives in the layout of CIFAR's binary versions, with a few images."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.published.cifar import SETS, read_cifar


def pack(folder: Path, kind: str, images: int = 3, label: int = 1) -> dict[str, bytes]:
    """Write the archive; the contents of its files."""
    cifar = SETS[kind]
    random, files = np.random.default_rng(0), {}
    for name in (*cifar.train, *cifar.test):
        pixels = random.integers(0, 256, (images, 3072), dtype=np.uint8)
        groups = np.full((images, cifar.label_bytes - 1), 19, dtype=np.uint8)
        files[name] = np.hstack([groups, np.full((images, 1), label, dtype=np.uint8), pixels]).tobytes()
    files[cifar.names] = "".join(f"class_{number}\n" for number in range(cifar.classes)).encode() + b"\n"
    with tarfile.open(folder / cifar.archive, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{cifar.folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return files


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_images_labels_and_partition_are_those_of_the_records(kind: str, tmp_path: Path) -> None:
    files, cifar = pack(tmp_path, kind), SETS[kind]
    data = read_cifar(kind, tmp_path, "small", verify=False)
    train = 3 * len(cifar.train)
    assert data.images.shape == (train + 3, 32, 32, 3) and len(data.class_names) == cifar.classes
    assert data.partition is not None and data.partition.tolist() == [0] * train + [1] * 3
    assert set(data.labels.tolist()) == {1}
    record = files[cifar.test[0]][cifar.label_bytes :]
    green_of_second_row = record[1024 + 32]
    assert data.images[train, 1, 0, 1] == green_of_second_row


def test_an_unpacked_folder_is_read_too(tmp_path: Path) -> None:
    files = pack(tmp_path, "cifar100")
    (tmp_path / SETS["cifar100"].archive).unlink()
    (tmp_path / "cifar-100-binary").mkdir()
    for name, content in files.items():
        (tmp_path / "cifar-100-binary" / name).write_bytes(content)
    assert len(read_cifar("cifar100", tmp_path, "small", verify=False).labels) == 6


def test_another_archive_than_the_published_one_is_refused(tmp_path: Path) -> None:
    pack(tmp_path, "cifar10")
    with pytest.raises(ValueError, match="expected md5 c32a1d4ab5d03f1284b67883e8d87530, but got"):
        read_cifar("cifar10", tmp_path, "small", verify=True)


def test_a_missing_archive_is_named_with_its_place_and_page(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary.tar.gz: no such file; get .*md5 .* put it there"):
        read_cifar("cifar10", tmp_path, "small", verify=True)


def test_damage_is_named(tmp_path: Path) -> None:
    pack(tmp_path, "cifar10", label=10)
    with pytest.raises(ValueError, match="expected labels below 10, but found 10"):
        read_cifar("cifar10", tmp_path, "small", verify=False)
    archive = tmp_path / SETS["cifar10"].archive
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot be read from it"):
        read_cifar("cifar10", tmp_path, "small", verify=False)
