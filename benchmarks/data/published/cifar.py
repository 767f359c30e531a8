"""CIFAR-10 and CIFAR-100, read from their binary archives; nothing is unpickled."""

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...files import require_regular
from ..arrays import TEST, TRAIN, ImageArrays
from .archives import DAMAGES

PIXELS = 3 * 32 * 32  # bytes of an image: its red, green and blue planes
MAX_TEXT = 2**16  # bytes of a list of class names
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


class Cifar(NamedTuple):
    """One of the two data sets."""

    archive: str
    md5: str  # published on PAGE
    folder: str  # in the archive
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str  # file of the class names
    classes: int
    label_bytes: int  # before the pixels of an image; the last is the class, one before it a group of classes
    counts: tuple[int, int]  # training and test images


SETS = {
    "cifar10": Cifar(
        "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin",
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",), "batches.meta.txt",
        classes=10, label_bytes=1, counts=(50_000, 10_000),
    ),
    "cifar100": Cifar(
        "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary",
        ("train.bin",), ("test.bin",), "fine_label_names.txt",
        classes=100, label_bytes=2, counts=(50_000, 10_000),
    ),
}  # fmt: skip


def read_cifar(kind: str, path: Path, name: str, verify: bool) -> ImageArrays:
    """The images of CIFAR-10 or CIFAR-100, with the published partition.

    Args:
        kind: a key of SETS.
        path: directory of the published archive; without ``verify`` also of the folder unpacked from it.
        name: of the data set.
        verify: whether to require the published archive, by its checksum, and the published number of images.

    Raises:
        FileNotFoundError: if the archive is missing; the message says where to get it and where it goes.
        ValueError: if it is another file, is damaged, or holds something else.
    """
    cifar = SETS[kind]
    archive, folder = path / cifar.archive, path / cifar.folder
    if verify or archive.exists():
        read = _members(archive, cifar, verify)
    elif folder.is_dir():
        read = _files(folder)
    else:
        raise _missing(archive, cifar)
    parts = [[_records(read(file, -1), cifar, path / file) for file in files] for files in (cifar.train, cifar.test)]
    counts = tuple(sum(len(records) for records in part) for part in parts)
    if verify and counts != cifar.counts:
        raise ValueError(f"{archive}: expected {cifar.counts} training and test images, but found {counts}")
    records = np.concatenate([records for part in parts for records in part])
    class_names = read(cifar.names, MAX_TEXT).decode("utf-8", errors="replace").split()
    if len(class_names) != cifar.classes:
        raise ValueError(f"{path / cifar.names}: expected {cifar.classes} class names, but found {len(class_names)}")
    planes = records[:, cifar.label_bytes :].reshape(-1, 3, 32, 32)
    return ImageArrays(
        name,
        np.ascontiguousarray(planes.transpose(0, 2, 3, 1)),
        records[:, cifar.label_bytes - 1].astype(np.int64),
        class_names,
        source=None,
        source_names=[],
        partition=np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), counts),
    )


def _missing(archive: Path, cifar: Cifar) -> FileNotFoundError:
    return FileNotFoundError(
        f"{archive}: no such file; get {cifar.archive} (the binary version, md5 {cifar.md5}) from {PAGE} and put it "
        f"there as it is, or name its directory with data.path"
    )


def _members(archive: Path, cifar: Cifar, verify: bool) -> Callable[[str, int], bytes]:
    """A function that reads a file inside the archive, of which the checksum is compared first."""
    if not archive.exists():
        raise _missing(archive, cifar)
    with open(require_regular(archive), "rb") as opened:
        found = hashlib.file_digest(opened, "md5").hexdigest()
    if verify and found != cifar.md5:
        raise ValueError(
            f"{archive}: expected md5 {cifar.md5}, but got {found}: it is incomplete or not the published archive; get "
            f"it again from {PAGE}"
        )

    def read(file: str, limit: int) -> bytes:
        try:
            with tarfile.open(archive) as opened:
                member = opened.extractfile(f"{cifar.folder}/{file}")
                if member is None:
                    raise ValueError(f"{archive}: {file} in it is no regular file")
                with member:
                    return member.read(limit)
        except (*DAMAGES, KeyError) as error:
            raise ValueError(f"{archive}: {file} cannot be read from it ({error}); get it again from {PAGE}") from error

    return read


def _files(folder: Path) -> Callable[[str, int], bytes]:
    """A function that reads a file of the unpacked archive."""

    def read(file: str, limit: int) -> bytes:
        with open(require_regular(folder / file), "rb") as opened:
            return opened.read(limit)

    return read


def _records(content: bytes, cifar: Cifar, file: Path) -> np.ndarray:
    """(N, label bytes + 3072), uint8: label and pixels of each image.

    Raises:
        ValueError: if it is no whole number of images, or a label is out of range.
    """
    length = cifar.label_bytes + PIXELS
    if not content or len(content) % length:
        raise ValueError(f"{file}: expected a multiple of {length} bytes, but it has {len(content):,}")
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    largest = int(records[:, cifar.label_bytes - 1].max())
    if largest >= cifar.classes:
        raise ValueError(f"{file}: expected labels below {cifar.classes}, but found {largest}")
    return records
