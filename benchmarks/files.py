"""Reading of files that may be damaged or hostile: regular files only, within bounds, and nothing is unpickled."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

MAX_LIST_BYTES = 1 << 28  # of a text file that lists images; the longest published list has 8 MB
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that numpy writes
DEFLATE = 1100  # bytes that one compressed byte can expand to, with some room: deflate reaches 1,032


def require_regular(path: Path) -> Path:
    """The path, if it names a regular file or a link to one.

    Opening a named pipe waits for a writer, and reading a device may never end.

    Raises:
        FileNotFoundError: if nothing is there.
        ValueError: if something else is there, such as a directory, a named pipe, a socket or a device.
    """
    if path.is_file():
        return path
    if path.exists():
        raise ValueError(f"{path}: not a regular file; remove it, or put the file itself there")
    raise FileNotFoundError(f"{path}: no such file")


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a regular file, too large, or not UTF-8; the message starts with the path.
    """
    size = require_regular(path).stat().st_size
    if size > MAX_LIST_BYTES:
        raise ValueError(f"{path}: expected a list of at most {MAX_LIST_BYTES:,} bytes, but it has {size:,}")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); convert it") from error


def read_arrays(path: Path, known: Sequence[str], content: bytes | None = None) -> dict[str, np.ndarray]:
    """Those of the ``known`` arrays that an npz file holds; never unpickled.

    Args:
        path: of the file.
        known: names of arrays.
        content: of the file, where it was read before.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or claims more than it holds; the message starts with the path.
    """
    if content is None:
        require_regular(path)
    try:
        with zipfile.ZipFile(path if content is None else io.BytesIO(content)) as archive:
            names = {key: _member(archive, key) for key in known}
            return {key: _array(archive, found) for key, found in names.items() if found is not None}
    except Exception as error:  # zipfile and numpy raise nearly every built-in exception for damaged files
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: not a readable npz file ({reason}); write it again with numpy.savez") from error


def _member(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo | None:
    found = [member for member in archive.infolist() if member.filename in (f"{key}.npy", key)]
    if len(found) > 1:
        raise ValueError(f"it holds {key!r} {len(found)} times")
    return found[0] if found else None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array of a plain dtype, read only if the sizes that its headers claim can be true."""
    if member.flag_bits & 1:
        raise ValueError(f"{member.filename} is encrypted")
    if member.compress_type not in METHODS:
        raise ValueError(f"{member.filename} is compressed in a way that numpy does not write")
    if member.file_size > DEFLATE * (member.compress_size + 1):
        raise ValueError(f"{member.filename} claims {member.file_size:,} bytes, which its content cannot give")
    with archive.open(member) as file:
        shape, _, dtype = _header(file)
        length = member.file_size - file.tell()
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects, which are not loaded")
    claimed = dtype.itemsize
    for size in shape:
        claimed *= size  # of Python, which does not overflow
    if min(shape, default=0) < 0 or claimed != length:
        raise ValueError(f"{member.filename} claims shape {shape} of {dtype}, but holds {length:,} bytes")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"arrays of format {version} have named fields, but plain ones were expected")
