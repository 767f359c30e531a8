import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.data.published import download
from benchmarks.data.published.download import fetch

CONTENT = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; tests set what goes wrong, and read what was asked."""

    content = CONTENT
    tag: str | None = '"one"'
    ranges = True  # whether it can serve parts
    stops_after: list[int] = []  # bytes of each answer after which the line breaks; then no more breaks
    status = 200
    kind = "application/octet-stream"
    requests: list[str | None]  # the Range header of each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        same = server.tag is not None and self.headers.get("If-Range") == server.tag
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges and same else 0
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.tag is not None:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.stops_after.pop(0)] if server.stops_after else body)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_arrives_whole_and_leaves_its_checksum_for_later(server: Server, tmp_path: Path) -> None:
    fetch(server.url, tmp_path / "deep" / "set.zip")
    assert (tmp_path / "deep" / "set.zip").read_bytes() == CONTENT
    assert names(tmp_path / "deep") == ["set.zip", "set.zip.sha256"]
    assert (tmp_path / "deep" / "set.zip.sha256").read_text() == f"{SHA256}  set.zip\n"


def test_broken_line_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.stops_after = [300_000, 200_000]
    fetch(server.url, tmp_path / "set.zip", f"sha256:{SHA256}")
    assert (tmp_path / "set.zip").read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=500000-"]
    assert names(tmp_path) == ["set.zip"]


def test_another_process_goes_on_from_what_arrived(server: Server, tmp_path: Path) -> None:
    server.stops_after = [400_000, *[0] * download.TRIES]
    with pytest.raises(ConnectionError, match="no data in 5 tries .* the same command resumes from there"):
        fetch(server.url, tmp_path / "set.zip")
    assert names(tmp_path) == ["set.zip.part", "set.zip.part.version"]
    server.stops_after, server.requests = [], []
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == CONTENT and server.requests == ["bytes=400000-"]


@pytest.mark.parametrize("change", ["new version", "no ranges", "no version"])
def test_what_arrived_is_dropped_unless_the_rest_is_sure_to_fit(server: Server, tmp_path: Path, change: str) -> None:
    server.tag = None if change == "no version" else '"one"'
    server.stops_after = [400_000, *[0] * download.TRIES]
    with pytest.raises(ConnectionError):
        fetch(server.url, tmp_path / "set.zip")
    server.stops_after = []
    if change == "new version":
        server.tag, server.content = '"two"', CONTENT[::-1]
    server.ranges = change != "no ranges"
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content


def test_part_that_was_complete_is_only_renamed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    (tmp_path / "set.zip.part.version").write_text('"one"')
    fetch(server.url, tmp_path / "set.zip", f"sha256:{SHA256}")
    assert server.requests == [f"bytes={len(CONTENT)}-"] and names(tmp_path) == ["set.zip"]


def test_part_that_is_too_long_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "set.zip.part.version").write_text('"one"')
    fetch(server.url, tmp_path / "set.zip", f"sha256:{SHA256}")
    assert (tmp_path / "set.zip").read_bytes() == CONTENT


def test_file_that_is_there_is_checked_and_not_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "set.zip", f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    assert server.requests == []


@pytest.mark.parametrize("known", [True, False])
def test_other_content_than_the_known_or_recorded_is_deleted(server: Server, tmp_path: Path, known: bool) -> None:
    if not known:
        fetch(server.url, tmp_path / "set.zip")
        (tmp_path / "set.zip").unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(ValueError, match=f"expected sha256 {SHA256}, but got .* it was deleted"):
        fetch(server.url, tmp_path / "set.zip", f"sha256:{SHA256}" if known else None)
    assert not (tmp_path / "set.zip").exists() and not (tmp_path / "set.zip.part").exists()


def test_refusal_of_the_server_is_told_at_once(server: Server, tmp_path: Path) -> None:
    server.status = 403
    with pytest.raises(ConnectionError, match="the server answered 403"):
        fetch(server.url, tmp_path / "set.zip")
    assert len(server.requests) == 1


def test_page_in_place_of_the_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(ValueError, match="the server sent an HTML page"):
        fetch(server.url, tmp_path / "set.zip")
    assert names(tmp_path) == []


def test_full_disk_is_told_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match="needs 1,024,000 more bytes, but .* are free"):
        fetch(server.url, tmp_path / "set.zip")
    assert names(tmp_path) == []
