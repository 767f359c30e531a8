"""From an image file to pixels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from benchmarks.data.arrays import fit_square

RESIZE = ("square", "short_side")


class Form(NamedTuple):
    """What becomes of every picture: RGB, and of this size."""

    image_size: int | None  # None: as they are
    resize: str  # square: the largest centred one; short_side: that side, the other in proportion
    upright: bool  # turned as the camera noted, white where transparent; False: as stored, as the official codes read

    def check(self) -> None:
        """Refuses what cannot be done, by the name of its key."""
        if self.resize not in RESIZE:
            raise ValueError(f"data.resize must be one of {', '.join(RESIZE)}, but got {self.resize!r}")
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"data.image_size must be at least 1, but got {self.image_size}")
        if self.image_size is None and self.resize == "square":
            raise ValueError("data.resize=square needs the side: set data.image_size, or data.resize=short_side")


def decode(file: Path, form: Form) -> np.ndarray:
    """(H, W, 3), uint8: the pixels of an image file.

    Raises:
        ValueError: if it is damaged, no image, or of more than 8 bits a channel; the message starts with the path.
    """
    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened) if form.upright else opened
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: not a readable image ({error}); replace it or move it out of the folder") from error
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"{file}: has more than 8 bits a channel (mode {picture.mode}); convert it to 8 bits")
    if form.upright and picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(opaque, picture.convert("RGBA"))
    picture = picture.convert("RGB")
    if form.image_size is not None:
        fit = fit_square if form.resize == "square" else fit_short_side
        picture = fit(picture, form.image_size)
    return np.asarray(picture)


def fit_short_side(picture: Image.Image, image_size: int) -> Image.Image:
    """A picture whose shorter side is ``image_size``, resampled bilinearly with antialiasing.

    The same pixels as torchvision's ``Resize(image_size)`` gives; the longer side is rounded down.
    """
    short = min(picture.size)
    width, height = (image_size if side == short else image_size * side // short for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR)
