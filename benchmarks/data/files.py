"""Checked access to files: named pipes, devices and directories are refused before they are opened."""

from pathlib import Path

MAX_LIST_BYTES = 1 << 28  # of a text file that lists images; the longest published list has 8 MB


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
