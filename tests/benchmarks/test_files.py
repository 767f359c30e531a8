import os
from pathlib import Path

import pytest

from benchmarks.files import read_lines, require_regular


def test_regular_files_and_links_to_them_pass(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a\nb\n")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert require_regular(tmp_path / "link") == tmp_path / "link"
    assert read_lines(tmp_path / "link") == ["a", "b"]


def test_folder_pipe_device_and_missing_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(ValueError, match=f"^{path}: not a regular file"):
            read_lines(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "none", tmp_path / "dangling"):
        with pytest.raises(FileNotFoundError, match=f"^{path}: no such file"):
            read_lines(path)


def test_text_of_another_encoding_is_refused_by_path(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("Citroën".encode("latin-1"))
    with pytest.raises(ValueError, match=f"^{tmp_path / 'list.txt'}: not UTF-8 text .*at byte 5"):
        read_lines(tmp_path / "list.txt")


def test_list_of_impossible_length_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "list.txt", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'list.txt'}: expected a list of at most"):
        read_lines(tmp_path / "list.txt")
