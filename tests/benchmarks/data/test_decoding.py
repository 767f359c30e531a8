from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from benchmarks.data.decoding import Form, decode, fit_short_side

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


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form(8, "crop", upright=False), "data.resize must be one of square, short_side, but got 'crop'"),
        (Form(0, "square", upright=False), "data.image_size must be at least 1, but got 0"),
        (Form(None, "square", upright=False), "data.resize=square needs the side: set data.image_size"),
    ],
)
def test_impossible_form_is_refused_by_key(form: Form, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        form.check()
