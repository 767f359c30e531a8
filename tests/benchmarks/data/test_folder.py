import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.folder import list_folder, read_folder


def save(path: Path, color: object = "red", size: tuple[int, int] = (12, 12), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)  # type: ignore[arg-type]
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, color in (("b", "blue"), ("a", "red"), ("c", "lime")):
        for number in range(2):
            save(tmp_path / name / f"{number}.png", color)
    return tmp_path


def test_classes_follow_their_folders_names(folder: Path) -> None:
    read = read_folder(folder, "mine", None)
    assert (read.name, read.class_names, read.source, read.source_names) == ("mine", ["a", "b", "c"], None, [])
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2] and read.labels.dtype == np.int64
    assert read.images.shape == (6, 12, 12, 3)
    assert read.images[::2, 5, 5].tolist() == [[255, 0, 0], [0, 0, 255], [0, 255, 0]]


def test_mixed_sizes_and_modes_come_out_as_rgb_squares(folder: Path) -> None:
    save(folder / "a" / "grey.jpg", 128, (30, 20), "L")
    save(folder / "a" / "palette.gif", 0, (9, 14), "P")
    read = read_folder(folder, "mine", 8)
    assert read.images.shape == (8, 8, 8, 3)
    assert np.abs(read.images[2].astype(int) - 128).max() <= 2  # JPEG rounds


def test_transparent_pixels_come_out_white(folder: Path) -> None:
    save(folder / "a" / "9.png", (10, 20, 30, 0), mode="RGBA")
    assert np.all(read_folder(folder, "mine", None).images[2] == 255)


def test_camera_orientation_is_applied(folder: Path) -> None:
    picture = Image.new("RGB", (12, 12), "black")
    picture.paste("white", (0, 0, 12, 6))
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    picture.save(folder / "a" / "9.png", exif=exif)
    read = read_folder(folder, "mine", None).images[2]
    assert read[2].max() == 0 and read[9].min() == 255


def test_hidden_names_and_files_beside_the_classes_are_ignored(folder: Path) -> None:
    expected = read_folder(folder, "mine", None).content_hash
    (folder / "readme.txt").write_text("about")
    (folder / ".cache").mkdir()
    (folder / "a" / ".DS_Store").write_bytes(b"\0")
    assert read_folder(folder, "mine", None).content_hash == expected


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{tmp_path / 'none'}: no such folder; data.path"):
        read_folder(tmp_path / "none", "mine", None)


def test_empty_folder_is_refused_by_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{tmp_path}: found no sub-folders"):
        read_folder(tmp_path, "mine", None)


def test_flat_folder_of_images_is_refused_by_path(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=f"^{tmp_path}: found no sub-folders"):
        read_folder(tmp_path, "mine", None)


def test_empty_class_is_refused_by_path(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=f"^{folder / 'empty'}: holds no images"):
        read_folder(folder, "mine", None)


def test_one_class_is_refused_by_path(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png")
    save(tmp_path / "a" / "2.png")
    with pytest.raises(ValueError, match=f"^{tmp_path}: found 1 class"):
        read_folder(tmp_path, "mine", None)


def test_class_with_one_image_is_refused_by_path_and_name(folder: Path) -> None:
    save(folder / "lonely" / "1.png")
    with pytest.raises(ValueError, match=rf"^{folder}: 1 of 4 classes have a single image \(lonely\)"):
        read_folder(folder, "mine", None)


def test_file_that_is_no_image_is_refused_by_path(folder: Path) -> None:
    (folder / "b" / "notes.png").write_text("no picture")
    with pytest.raises(ValueError, match=f"^{folder / 'b' / 'notes.png'}: not a readable image"):
        read_folder(folder, "mine", None)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_image_is_refused_by_path(folder: Path, suffix: str) -> None:
    path = folder / "b" / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"^{path}: not a readable image"):
        read_folder(folder, "mine", 12)


def test_folder_inside_a_class_is_refused_by_path(folder: Path) -> None:
    save(folder / "c" / "deeper" / "1.png")
    with pytest.raises(ValueError, match=f"^{folder / 'c' / 'deeper'}: not a regular file"):
        read_folder(folder, "mine", None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_named_pipe_inside_a_class_is_refused_by_path(folder: Path) -> None:
    os.mkfifo(folder / "c" / "waits.png")
    with pytest.raises(ValueError, match=f"^{folder / 'c' / 'waits.png'}: not a regular file"):
        list_folder(folder)


def test_class_whose_name_is_not_unicode_is_refused(folder: Path) -> None:
    (folder / "c").rename(folder / "Citro\udceb")  # Latin-1 in a file system of UTF-8
    with pytest.raises(ValueError, match=f"^{folder}: the name of the folder .*Citro.* is not Unicode"):
        list_folder(folder)


def test_sixteen_bit_image_is_refused_by_path(folder: Path) -> None:
    path = save(folder / "c" / "deep.png", 40000, mode="I;16")
    with pytest.raises(ValueError, match=f"^{path}: has more than 8 bits"):
        read_folder(folder, "mine", None)


def test_several_sizes_without_image_size_are_refused_by_path(folder: Path) -> None:
    path = save(folder / "c" / "wide.png", size=(20, 10))
    with pytest.raises(ValueError, match=f"^{path}: is 20 x 10, but .* is 12 x 12; set data.image_size"):
        read_folder(folder, "mine", None)
