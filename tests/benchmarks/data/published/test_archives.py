import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.data.published.archives import CHUNK, TRAILER, Limits, extract

LIMITS = Limits(bytes=10_000, files=5)

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"content", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    return info, content


def tar(path: Path, *members: Member, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, *names: str, content: bytes = b"content", mode: int = stat.S_IFREG | 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def everything_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_tar_comes_out_as_it_went_in(tmp_path: Path, mode: str) -> None:
    members = [member("./set", kind=tarfile.DIRTYPE), member("./set/a/1.jpg", b"one"), member("set/2.jpg", b"")]
    extract(tar(tmp_path / "a.tar", *members, mode=mode), tmp_path / "out", LIMITS)
    assert everything_under(tmp_path / "out") == ["set/2.jpg", "set/a/1.jpg"]
    assert (tmp_path / "out" / "set" / "a" / "1.jpg").read_bytes() == b"one"


def test_zip_comes_out_as_it_went_in(tmp_path: Path) -> None:
    extract(zipped(tmp_path / "a.zip", "set/a/1.jpg", "set/2.jpg"), tmp_path / "deep" / "out", LIMITS)
    assert everything_under(tmp_path / "deep" / "out") == ["set/2.jpg", "set/a/1.jpg"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_permissions_of_the_archive_are_not_taken_over(tmp_path: Path) -> None:
    info, content = member("run.sh")
    info.mode = 0o4777
    extract(tar(tmp_path / "a.tar", (info, content)), tmp_path / "out", LIMITS)
    assert not (tmp_path / "out" / "run.sh").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


OUTSIDE = ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:evil", "a/.."]
MALICIOUS: dict[str, Callable[[Path], Path]] = {
    **{f"tar path {name}": (lambda path, name=name: tar(path, member(name))) for name in OUTSIDE},  # type: ignore[misc]
    **{f"zip path {name}": (lambda path, name=name: zipped(path, name)) for name in OUTSIDE},  # type: ignore[misc]
    "symlink": lambda path: tar(path, member("a", kind=tarfile.SYMTYPE, link="/etc"), member("a/passwd")),
    "hard link": lambda path: tar(path, member("a", kind=tarfile.LNKTYPE, link="/etc/passwd")),
    "device": lambda path: tar(path, member("a", kind=tarfile.CHRTYPE)),
    "fifo": lambda path: tar(path, member("a", kind=tarfile.FIFOTYPE)),
    "zip symlink": lambda path: zipped(path, "a", content=b"/etc", mode=stat.S_IFLNK | 0o777),
    "tar bomb": lambda path: tar(path, member("a", bytes(6000)), member("b", bytes(6000))),
    "zip bomb": lambda path: zipped(path, "a", content=bytes(10_001)),
    "many files in a tar": lambda path: tar(path, *(member(str(name)) for name in range(6))),
    "many files in a zip": lambda path: zipped(path, *map(str, range(6))),
    "a file twice": lambda path: tar(path, member("a", b"first"), member("./a", b"second")),
    "a file where a folder is": lambda path: tar(path, member("a/b"), member("a")),
    "a folder where a file is": lambda path: tar(path, member("a"), member("a/b")),
}


@pytest.mark.parametrize("kind", MALICIOUS)
def test_malicious_archive_is_refused_by_path_and_nothing_of_it_stays(tmp_path: Path, kind: str) -> None:
    archive = MALICIOUS[kind](tmp_path / "a.archive")
    with pytest.raises(ValueError, match=f"^{archive}: "):
        extract(archive, tmp_path / "in" / "out", LIMITS)
    assert everything_under(tmp_path) == ["a.archive"]
    assert list((tmp_path / "in").iterdir()) == []
    assert not os.path.lexists("/tmp/evil")


def test_size_is_counted_as_written_and_not_as_announced(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", "a", content=bytes(20_000))
    honest = archive.read_bytes()
    archive.write_bytes(honest.replace((20_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert archive.read_bytes() != honest
    with pytest.raises(ValueError, match=f"^{archive}: "):
        extract(archive, tmp_path / "out", LIMITS)
    assert everything_under(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("damage", ["cut", "no archive"])
def test_damaged_archive_is_refused_by_path(tmp_path: Path, damage: str) -> None:
    archive = tar(tmp_path / "a.tgz", member("a", os.urandom(5000)))
    archive.write_bytes(archive.read_bytes()[:2000] if damage == "cut" else b"no archive" * 100)
    with pytest.raises(ValueError, match=f"^{archive}: cannot be unpacked .* download it again"):
        extract(archive, tmp_path / "out", LIMITS)
    assert everything_under(tmp_path) == ["a.tgz"]


@pytest.mark.parametrize("position", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_archive_with_a_changed_byte_is_refused(tmp_path: Path, position: float) -> None:
    content = os.urandom(3000) + bytes(3000)
    for archive in (zipped(tmp_path / "a.zip", "a", content=content), tar(tmp_path / "a.tgz", member("a", content))):
        damaged = bytearray(archive.read_bytes())
        damaged[int(position * len(damaged))] ^= 0xFF
        archive.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"^{archive}: "):
            extract(archive, tmp_path / "out", LIMITS)
        assert not (tmp_path / "out").exists()


def test_archive_that_goes_on_after_its_end_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", member("a"), mode="w")
    with gzip.open(tmp_path / "a.tgz", "wb") as compressed:
        compressed.write(archive.read_bytes() + bytes(TRAILER + CHUNK))
    with pytest.raises(ValueError, match="trailing data after its last member"):
        extract(tmp_path / "a.tgz", tmp_path / "out", LIMITS)


def test_folder_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="which exists; remove that first"):
        extract(tar(tmp_path / "a.tar", member("a")), tmp_path / "out", LIMITS)
    assert list((tmp_path / "out").iterdir()) == []
