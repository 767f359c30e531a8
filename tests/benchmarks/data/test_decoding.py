import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms import Resize

from benchmarks.data.decoding import FORMATS, Form, decode, fit_short_side

Save = Callable[..., Path]
PLAIN = Form(8, "short_side", upright=False)


@pytest.mark.parametrize("size", [(30, 20), (20, 30), (17, 17), (41, 300), (8, 9), (5, 7), (333, 251)])
@pytest.mark.parametrize("image_size", [8, 24])
def test_short_side_gives_the_pixels_of_torchvision(size: tuple[int, int], image_size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    expected = np.asarray(Resize(image_size)(picture))
    ours = np.asarray(fit_short_side(picture, image_size))
    assert min(ours.shape[:2]) == image_size
    assert np.array_equal(ours, expected)


@pytest.mark.parametrize(("mode", "suffix"), [("L", "jpg"), ("CMYK", "jpg"), ("P", "gif"), ("LA", "png"), ("1", "png")])
def test_every_mode_comes_out_as_rgb(save: Save, tmp_path: Path, mode: str, suffix: str) -> None:
    file = save(tmp_path / f"a.{suffix}", mode=mode)
    with Image.open(file) as opened:
        expected = np.asarray(opened.convert("RGB").resize((12, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(decode(file, PLAIN), expected)


def test_camera_orientation_is_followed_only_if_asked(save: Save, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    file = save(tmp_path / "a.jpg", exif=exif)
    assert decode(file, PLAIN).shape == (8, 12, 3)
    assert decode(file, PLAIN._replace(upright=True)).shape == (12, 8, 3)


@pytest.mark.parametrize("broken", [b"", b"no picture", None])
def test_damaged_image_is_refused_by_path(save: Save, tmp_path: Path, broken: bytes | None) -> None:
    file = save(tmp_path / "a.jpg", size=(200, 200))
    file.write_bytes(file.read_bytes()[:700] if broken is None else broken)
    with pytest.raises(ValueError, match=f"^{file}: not a readable image"):
        decode(file, PLAIN)


def test_postscript_is_refused_whatever_the_file_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr("subprocess.Popen", lambda *given, **_: started.append(given))  # Ghostscript would be run so
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n0 0 9 9 rectfill\nshowpage\n")
    with pytest.raises(ValueError, match=f"^{file}: not a readable image .*must be a BMP, GIF, JPEG.* or WEBP file"):
        decode(file, PLAIN)
    assert started == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_listed_format_is_read(save: Save, tmp_path: Path, name: str) -> None:
    Image.new("RGB", (12, 8), "red").save(tmp_path / "image", format=name)
    assert decode(tmp_path / "image", PLAIN).shape == (8, 12, 3)


@pytest.mark.parametrize("unlisted", ["EPS", "ICO", "TGA"])
def test_other_formats_are_refused(tmp_path: Path, unlisted: str) -> None:
    Image.new("RGB", (12, 8), "red").save(tmp_path / "image", format=unlisted)
    with pytest.raises(ValueError, match="image: not a readable image"):
        decode(tmp_path / "image", PLAIN)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
@pytest.mark.parametrize("resize", ["square", "short_side"])
def test_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path, resize: str) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="a.jpg: not a regular file"):
        decode(tmp_path / "a.jpg", Form(8, resize, upright=True))


def test_image_is_turned_upright_although_other_metadata_is_of_a_wrong_type(tmp_path: Path) -> None:
    entries = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 2, 4, b"300\0")]  # a resolution as text
    body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    noise.save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as opened:
        expected = np.rot90(np.asarray(opened), -1)
    assert np.array_equal(decode(tmp_path / "a.jpg", Form(None, "short_side", upright=True)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_images_are_those_of_pillow(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert np.array_equal(decode(tmp_path / "a.png", Form(None, "short_side", upright=True)), expected)


def test_image_whose_metadata_cannot_be_read_is_taken_as_stored(tmp_path: Path) -> None:
    Image.new("RGB", (12, 8)).save(tmp_path / "a.png", exif=b"Exif\0\0no metadata")
    assert decode(tmp_path / "a.png", PLAIN._replace(upright=True)).shape == (8, 12, 3)


def test_strip_whose_long_side_would_fill_the_memory_is_refused(save: Save, tmp_path: Path) -> None:
    file = save(tmp_path / "strip.png", size=(1, 4000))
    with pytest.raises(ValueError, match="strip.png: is 1 x 4000, so a short side of data.image_size=1024 would give"):
        decode(file, Form(1024, "short_side", upright=False))
