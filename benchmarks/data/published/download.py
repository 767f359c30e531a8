"""Download of large files, resumed where it was interrupted."""

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
TIMEOUT = 60  # seconds without data
TRIES = 5  # consecutive tries without data
PAUSE = 1.0  # second before the next try, doubled each time


def fetch(url: str, file: Path, checksum: str | None = None) -> None:
    """Download a file, which appears only when it is complete.

    Data received so far is in ``file.part``. A later call resumes there if the server confirms that the file has not
    changed, and otherwise starts over. Without a known checksum, the sha256 of the first download is written to
    ``file.sha256``, and later downloads must match it.

    Args:
        url: http or https.
        file: destination; if it exists with the right checksum, nothing is downloaded.
        checksum: such as ``"md5:0123..."`` or ``"sha256:..."``, if known.

    Raises:
        ConnectionError: if the server does not deliver the file; the data received so far is kept.
        ValueError: if the checksum is wrong (the file is deleted), or the server sent an HTML page.
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
                    f"{url}: no data in {TRIES} tries ({error}); what was received is in {part}, and the same "
                    "command resumes from there"
                ) from error
            if not brought:
                time.sleep(PAUSE * 2**failures)


def _receive(url: str, part: Path, bar: tqdm) -> None:
    """Send one request; return only when the file is complete."""
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
            return  # everything was received before
        if error.code == 416:
            part.unlink()
            raise http.client.HTTPException("the data received so far is not a part of the file") from error
        raise
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise ValueError(
                f"{url}: the server sent an HTML page instead of the file; open the address in a browser to see why"
            )
        if answer.status != 206 or not (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            start = 0
        same = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        length = answer.headers.get("Content-Length")
        free = shutil.disk_usage(part.parent).free
        if length is not None and int(length) > free:
            raise OSError(f"{part.parent}: {url} needs {int(length):,} more bytes, but {free:,} are free")
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
    """Path of the file that holds the server's ETag or modification time of the download."""
    return part.with_name(part.name + ".version")


def _require(file: Path, checksum: str | None, url: str) -> None:
    if checksum is None:
        return
    algorithm, expected = checksum.split(":")
    found = _hash(file, algorithm)
    if found != expected:
        file.unlink()
        raise ValueError(
            f"{file}: expected {algorithm} {expected}, but got {found} from {url}; it was deleted. Run the command "
            "again; if that does not help, the file has changed on the server"
        )


def _hash(file: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
