"""The done mark of a run: the sha256 of each of its files, in the format of ``sha256sum --check done``."""

import hashlib
import re
from pathlib import Path

from ..errors import UserError
from .checked_json import damaged, read_regular
from .schema import CONFIG, DONE, ENVIRONMENT, MODEL, RESULT

MAX_BYTES = 2**30  # of a sealed file that is read whole
_REMEDY = "delete the run directory and run it again"
_LINE = re.compile(r"([0-9a-f]{64})  (\w[\w.-]*)")


def seal(directory: Path) -> bytes:
    """The content of the done mark for ``directory``: of configuration, environment, result, model and arrays.

    The weights are left out: the description of the model has their sha256, and deleting them to save space leaves a
    run that can be reported.
    """
    names = [name for name in (CONFIG, ENVIRONMENT, RESULT, MODEL) if (directory / name).exists()]
    names += sorted(path.name for path in directory.iterdir() if path.suffix in (".npz", ".npy"))
    return "".join(f"{_sha256(directory / name)}  {name}\n" for name in names).encode()


def read_seals(directory: Path) -> dict[str, str]:
    """The sha256 by file name that the done mark of ``directory`` records.

    Raises:
        UserError: it is missing or no done mark.
    """
    path = directory / DONE
    lines = read_regular(path, 2**16).decode("utf-8", errors="replace").splitlines()
    found = [_LINE.fullmatch(line) for line in lines]
    if not found or not all(found):
        raise damaged(path, "not a list of sha256 and file names")
    return {match[2]: match[1] for match in found if match}


def check_sealed(directory: Path) -> None:
    """Compare every file of a finished run with its done mark.

    Raises:
        UserError: a file is missing or has changed since the run ended.
    """
    for name, expected in read_seals(directory).items():
        if not (directory / name).is_file():
            raise _missing(directory / name)
        if _sha256(directory / name) != expected:
            raise _changed(directory / name)


def sealed_bytes(directory: Path, name: str) -> bytes:
    """The content of a file of a finished run.

    Raises:
        UserError: it is missing, unreadable, or not the file that was there when the run ended.
    """
    expected = read_seals(directory).get(name)
    if not (directory / name).exists():
        raise _missing(directory / name)
    content = read_regular(directory / name, MAX_BYTES)
    if hashlib.sha256(content).hexdigest() != expected:
        raise _changed(directory / name)
    return content


def _missing(path: Path) -> UserError:
    return damaged(path, f"missing, though the run is finished; {_REMEDY}")


def _changed(path: Path) -> UserError:
    return damaged(path, f"changed since the run ended (its sha256 is not the one in {DONE}); {_REMEDY}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
