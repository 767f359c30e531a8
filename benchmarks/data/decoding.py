"""From an image file to pixels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from ..files import require_regular
from .arrays import fit_square

# Pillow goes by a file's content, not by its name, and hands some formats to other programs (PostScript is executed by
# Ghostscript). These are decoded inside the process; JPEG includes the MPO files of cameras.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 1 << 27  # of a resized image: a short side of 256 with a long side of 500,000
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Form(NamedTuple):
    """The form that every decoded image has: RGB, and of this size."""

    image_size: int | None  # None: as stored
    resize: str  # square: the largest centred one; short_side: that side, the other in proportion
    upright: bool  # True: turned as EXIF says, white where transparent; False: as stored, as the official codes read


def decode(file: Path, form: Form) -> np.ndarray:
    """(H, W, 3), uint8: the pixels of an image file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a regular file of one of ``FORMATS``, is damaged, or has more than 8 bits per channel;
            the message starts with the path.
    """
    require_regular(file)
    try:
        with Image.open(file, formats=FORMATS) as opened:
            opened.load()
            mode = opened.mode
            image = as_rgb(opened, form.upright)
    except Exception as error:  # Pillow's readers raise nearly every built-in exception for damaged files
        reason = str(error).removesuffix(f" {str(file)!r}") or type(error).__name__
        raise ValueError(
            f"{file}: not a readable image ({reason}); it must be a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file. "
            "Replace it, or move it out of the folder"
        ) from error
    if mode.startswith(("I", "F")):
        raise ValueError(f"{file}: has more than 8 bits per channel (mode {mode}); convert it to 8 bits")
    if form.image_size is not None:
        if form.resize == "square":
            return np.asarray(fit_square(image, form.image_size))
        width, height = short_side_size(image.size, form.image_size)
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{file}: is {image.width} x {image.height}, so a short side of data.image_size={form.image_size} "
                f"would give {width:,} x {height:,} pixels; move the file out of the folder, or use data.resize=square"
            )
        image = fit_short_side(image, form.image_size)
    return np.asarray(image)


def as_rgb(image: Image.Image, upright: bool) -> Image.Image:
    """The image in RGB; ``upright``: turned as EXIF says, white where transparent."""
    return (_on_white(_upright(image)) if upright else image).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; as stored where the metadata cannot be read.

    ``ImageOps.exif_transpose`` also rewrites the rest of the metadata, which fails for entries of wrong types.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as for pixels, nearly every built-in exception; the pixels were read and are sound
        return image
    method = UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def short_side_size(size: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Width and height such that the shorter is ``image_size``; the longer is rounded down.

    Example:
        >>> short_side_size((500, 375), 256)
        (341, 256)
    """
    short = min(size)
    width, height = (image_size if side == short else image_size * side // short for side in size)
    return width, height


def fit_short_side(image: Image.Image, image_size: int) -> Image.Image:
    """The image with a shorter side of ``image_size``, resampled bilinearly with antialiasing.

    The same pixels as torchvision's ``Resize(image_size)`` gives.
    """
    return image.resize(short_side_size(image.size, image_size), Image.Resampling.BILINEAR)
