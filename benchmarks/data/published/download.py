"""Fetching a large file over an unreliable line."""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

CHUNK = 1 << 20  # bytes
TIMEOUT = 60  # seconds without a byte
TRIES = 5  # in a row that bring nothing
PAUSE = 1.0  # second before the next of them, doubled each time


def fetch(url: str, file: Path, checksum: str | None = None) -> None:
    """Download to ``file``, which is seen whole or not at all.

    What has arrived lies in ``file.part``. A later call, in this process or another, goes on from there, if the server
    says that the file is still the same one; else it starts anew. Without a known checksum, the sha256 of the first
    download is written to ``file.sha256``, and later downloads must have it.

    Args:
        url: http or https.
        file: where it goes; nothing is done if it is there and its checksum is right.
        checksum: such as ``"md5:0123..."`` or ``"sha256:..."``, where the publisher's is known.

    Raises:
        ConnectionError: if the server does not give the file; what has arrived stays.
        ValueError: if what arrived is not the file that was expected (it is deleted), or a page instead of a file.
        OSError: if the disk is too small.
    """
    record = file.with_name(file.name + ".sha256")
    if checksum is None and record.exists():
        checksum = f"sha256:{record.read_text().split()[0]}"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + ".part")
        with tqdm(desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
            _try_often(url, part, bar)
        _require(part, checksum, url)
        os.replace(part, file)
        _validator_file(part).unlink(missing_ok=True)
    else:
        _require(file, checksum, url)
    if checksum is None:
        record.write_text(f"{_hash(file, 'sha256')}  {file.name}\n")


def _try_often(url: str, part: Path, bar: tqdm) -> None:
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(url, part, bar)
            return
        except (http.client.HTTPException, TimeoutError, ConnectionError, urllib.error.URLError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise ConnectionError(f"{url}: the server answered {error.code} {error.reason}") from error
            brought = (part.stat().st_size if part.exists() else 0) > before
            failures = 0 if brought else failures + 1
            if failures == TRIES:
                raise ConnectionError(
                    f"{url}: no answer in {TRIES} tries ({error}); what arrived is kept in {part}, and the same "
                    "command goes on from there"
                ) from error
            if not brought:
                time.sleep(PAUSE * 2**failures)


def _receive(url: str, part: Path, bar: tqdm) -> None:
    """One request; ends normally only when the file is complete."""
    validator = _validator_file(part)
    start = part.stat().st_size if part.exists() and validator.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "pml_aug", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", validator.read_text())
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{start}":
            return  # everything had arrived before
        if error.code == 416:
            part.unlink()
            raise http.client.HTTPException("the part that had arrived is no part of the file") from error
        raise
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise ValueError(f"{url}: the server gave a page instead of a file; open it in a browser and see why")
        if answer.status != 206 or not (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            start = 0
        same = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        length = answer.headers.get("Content-Length")
        if length is not None and int(length) > shutil.disk_usage(part.parent).free:
            raise OSError(f"{part.parent}: has too little room for {url}, which needs {int(length):,} bytes more")
        if same and not same.startswith("W/"):
            validator.write_text(same)
        else:
            validator.unlink(missing_ok=True)
        bar.total = None if length is None else start + int(length)
        bar.n = start
        arrived = 0
        with open(part, "ab" if start else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                arrived += len(chunk)
                bar.update(len(chunk))
        if length is not None and arrived < int(length):
            raise http.client.IncompleteRead(b"", int(length) - arrived)


def _validator_file(part: Path) -> Path:
    """Holds what the server calls this version of the file."""
    return part.with_name(part.name + ".version")


def _require(file: Path, checksum: str | None, url: str) -> None:
    if checksum is None:
        return
    algorithm, expected = checksum.split(":")
    found = _hash(file, algorithm)
    if found != expected:
        file.unlink()
        raise ValueError(
            f"{file}: expected {algorithm} {expected}, but got {found} from {url}; it was deleted. The same command "
            "tries again; if that does not help, the file has changed where it comes from"
        )


def _hash(file: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
