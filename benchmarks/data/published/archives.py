"""Safe unpacking of downloaded archives."""

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

CHUNK = 1 << 20  # bytes
TRAILER = 1 << 26  # bytes that may follow a tar archive's last member
DAMAGES = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error),
    *(EOFError, FileExistsError, NotImplementedError),
)


class Limits(NamedTuple):
    """The most that an archive may unpack to."""

    bytes: int
    files: int


def extract(archive: Path, target: Path, limits: Limits) -> None:
    """Unpack a tar (compressed or not) or zip archive into a new folder, completely or not at all.

    Only regular files and folders under ``target`` are created, with the permissions of the process. Anything else in
    the archive (a path that leads outside, a link, a device, an encrypted file, a file that comes twice), or more than
    the limits, is refused, and everything unpacked so far is removed.

    Args:
        archive: path of the archive.
        target: folder to create; must not exist.
        limits: applied to what is written, not to what the archive claims.

    Raises:
        ValueError: if the archive is refused or damaged; the message starts with its path.
    """
    if target.exists():
        raise ValueError(f"{archive}: cannot be unpacked into {target}, which exists; remove that first")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _unpack(archive, unfinished, limits)
        unfinished.chmod(0o755)
        os.replace(unfinished, target)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, DAMAGES):
            reason = str(error).partition("\n")[0].removesuffix(":")
            raise ValueError(f"{archive}: cannot be unpacked ({reason}); delete it and download it again") from error
        raise


def _unpack(archive: Path, folder: Path, limits: Limits) -> None:
    left, files = limits.bytes, 0
    for name, content in _zip(archive) if zipfile.is_zipfile(archive) else _tar(archive):
        place = folder / _inside(name, archive)
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        files += 1
        if files > limits.files:
            raise ValueError(f"{archive}: holds more than {limits.files:,} files, but fewer were expected")
        place.parent.mkdir(parents=True, exist_ok=True)
        with content, open(place, "xb") as written:
            while chunk := content.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"{archive}: unpacks to more than {limits.bytes:,} bytes, but fewer were expected")
                written.write(chunk)


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise ValueError(f"{archive}: holds {name!r}, which leads outside the folder; do not use this archive")
    return path


def _tar(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every member; None as the content of a folder."""
    with tarfile.open(archive) as opened:
        for member in opened:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{archive}: holds {member.name!r}, a link or device; do not use this archive")
            yield member.name, opened.extractfile(member) if member.isfile() else None
        for _ in range(TRAILER // CHUNK):  # read on to the checksum, which follows the padding
            if opened.fileobj is None or not opened.fileobj.read(CHUNK):
                return
        raise ValueError(f"{archive}: has trailing data after its last member; the archive may be corrupt")


def _zip(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of every member; None as the content of a folder."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"{archive}: holds {member.filename!r}, a link or device; do not use this archive")
            if member.flag_bits & 1:
                raise ValueError(f"{archive}: holds {member.filename!r}, which is encrypted; do not use this archive")
            yield member.filename, None if member.is_dir() else opened.open(member)
