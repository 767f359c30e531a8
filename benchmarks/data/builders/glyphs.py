"""Characters drawn by the fonts that matplotlib installs: the builder of the shipped ``data=glyphs``.

``pml-aug data build glyphs`` builds it again. The shipped file is the one to compare on: fonts change
between matplotlib's releases, and each FreeType draws the same outline slightly differently.
"""

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import PIL
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, features

SIDE = 64  # pixels
FONT_SIZE = 40  # pixels per em: 12 of the 22,783 drawings touch the border
BASELINE = 46  # pixels from the top
MIN_FACES = 8
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)

Drawings = dict[int, np.ndarray]  # code point -> (SIDE, SIDE), uint8


def build() -> dict[str, np.ndarray]:
    """The arrays of the npz file: images, labels, class_names, source, source_names, meta.

    A class is a character, an image is that character drawn by one font face, grey on black. Rules:

    1. Characters are letters, numbers, punctuation and symbols. Those with a ``<...>`` compatibility decomposition
       (styled variants of another character), combining marks and private ones are left out.
    2. Characters drawn identically in any face (Latin A, Greek Alpha) are one class, named by the lowest code point;
       each face draws the lowest that it has.
    3. Identical drawings within a class are kept once, from the first face.
    4. A class needs ``MIN_FACES`` drawings.

    Classes are sorted by code point, images in the order of ``FACES``. Of matplotlib's fonts these are left out:
    LastResort, which claims every character; STIXNonUni, STIXSiz*, cmmi, cmsy and cmex, whose code points mean
    something else; the Display faces; and cmr, cmb, cmss, cmti, cmtt, because matplotlib's font folder does not
    include their licence. The licences of the others are in NOTICE.txt.
    """
    drawn = [draw_face(name) for name in FACES]
    images: list[np.ndarray] = []
    labels: list[int] = []
    source: list[int] = []
    class_names: list[str] = []
    for members in merge_identical(drawn):
        unique: dict[bytes, tuple[int, np.ndarray]] = {}
        for face, drawings in enumerate(drawn):
            character = next((member for member in members if member in drawings), None)
            if character is not None:
                unique.setdefault(drawings[character].tobytes(), (face, drawings[character]))
        if len(unique) >= MIN_FACES:
            source += [face for face, _ in unique.values()]
            images += [image for _, image in unique.values()]
            labels += [len(class_names)] * len(unique)
            class_names.append(f"U+{members[0]:04X} {unicodedata.name(chr(members[0]))}")
    return {
        "images": np.stack(images),
        "labels": np.array(labels, dtype=np.int32),
        "class_names": np.array(class_names),
        "source": np.array(source, dtype=np.int16),
        "source_names": np.array(FACES),
        "meta": np.array(json.dumps(versions())),
    }


def versions() -> dict[str, str | None]:
    """Versions that determine the fonts, their characters, and how an outline becomes pixels."""
    return {
        "matplotlib": matplotlib.__version__,
        "pillow": PIL.__version__,
        "freetype": features.version("freetype2"),
        "unicode": unicodedata.unidata_version,
    }


def draw_face(name: str) -> Drawings:
    """Images of all usable characters of a face, at one size, on one baseline, centered by the advance width."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    font = ImageFont.truetype(path, FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    drawings = {}
    for code_point in sorted(FT2Font(str(path)).get_charmap()):
        if is_usable(chr(code_point)):
            canvas = Image.new("L", (SIDE, SIDE))
            ImageDraw.Draw(canvas).text((SIDE // 2, BASELINE), chr(code_point), fill=255, font=font, anchor="ms")
            if canvas.getbbox():
                drawings[code_point] = np.asarray(canvas)
    return drawings


def is_usable(character: str) -> bool:
    """Whether a character is visible, named, and not a styled variant of another.

    Example:
        >>> [is_usable(character) for character in ("A", "\N{SUPERSCRIPT TWO}", "\N{COMBINING TILDE}", " ")]
        [True, False, False, False]
    """
    visible = unicodedata.category(character)[0] in "LNPS"
    return visible and not unicodedata.decomposition(character).startswith("<")


def merge_identical(drawn: Iterable[Drawings]) -> list[list[int]]:
    """Groups of characters that some face draws identically, directly or through others; all ascending.

    Example:
        >>> dot, bar = np.eye(2), np.ones((2, 2))
        >>> merge_identical([{1: dot, 2: bar, 3: dot}, {3: bar, 4: bar, 5: dot}])
        [[1, 3, 4], [2], [5]]
    """
    parent: dict[int, int] = {}

    def root(code_point: int) -> int:
        while parent.setdefault(code_point, code_point) != code_point:
            code_point = parent[code_point]
        return code_point

    for drawings in drawn:
        first: dict[bytes, int] = {}
        for code_point, image in drawings.items():
            low, high = sorted((root(first.setdefault(image.tobytes(), code_point)), root(code_point)))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for code_point in sorted(parent):
        groups.setdefault(root(code_point), []).append(code_point)
    return list(groups.values())
