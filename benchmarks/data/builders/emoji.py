"""The builder of ``data=emoji``: emoji as nine vendors draw them.

``pml-aug data build emoji`` fetches the drawings (npm packages, pinned in package.json beside this file)
and renders them with resvg (``pip install pml-aug[emoji]``).
"""

import importlib.resources
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

SIDE = 64  # pixels
MIN_VENDORS = 4
VENDORS = (
    *("noto", "noto-v1", "twemoji", "openmoji", "fluent-emoji", "fluent-emoji-flat", "emojione", "emojione-v1"),
    "fxemoji",  # writes names without hyphens
)
TONES_AND_LETTERS = re.compile(r"skin-tone|-(light|dark)$|^letter-")
GENDERS = re.compile(r"^(man|woman|men|women|family|kiss)-|-(man|woman)-(man|woman)$")
CONTENT_HASH = "6ac637b8a46ff37125f85a8e8f155b1db3659d138b05f5a39a70274360b363cf"  # resvg-py 0.5.0 gives it

Drawings = dict[str, str]  # vendor -> name of its icon


class Vendor(NamedTuple):
    """The content of one npm package."""

    icons: Mapping[str, Mapping[str, Any]]  # name -> body and, where it differs from the vendor's, size
    aliases: Mapping[str, Mapping[str, Any]]  # name -> parent and, for a rotated or mirrored icon, how
    size: tuple[float, float]  # width and height of the vendor's icons
    categories: Mapping[str, str]  # name -> category
    credit: str  # author, licence and address


def fetch_packages(folder: Path) -> Path:
    """The folder of the pinned npm packages, installed under ``folder`` without running their scripts.

    Raises:
        FileNotFoundError: if there is no npm.
        ConnectionError: if npm fails; the message holds its output.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm: no such command, but the drawings are npm packages; install Node.js")
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text(importlib.resources.files(__package__).joinpath(name).read_text())
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ConnectionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return folder / "node_modules" / "@iconify-json"


def read_vendor(packages: Path, name: str) -> Vendor:
    """The package of a vendor, read.

    Raises:
        FileNotFoundError: if it is not installed.
    """
    icons, info, metadata = (
        json.loads((packages / name / f"{part}.json").read_text()) for part in ("icons", "info", "metadata")
    )
    size = icons.get("width", 16), icons.get("height", 16)
    categories = {icon: category for category, found in metadata.get("categories", {}).items() for icon in found}
    credit = f"{info['name']}, {info['author']['name']}, {info['license']['title']}, {info['license']['url']}"
    return Vendor(icons["icons"], icons.get("aliases", {}), size, categories, credit)


def build(packages: Path) -> dict[str, np.ndarray]:
    """The arrays of the npz file: images, labels, class_names, source, source_names, superclass.

    A class is an emoji, an image is one vendor's drawing of it, in color on white. Rules:

    1. Skin tones, gendered variants of another emoji and single letters are left out, as are mirrored drawings.
    2. Names are taken in order of the number of vendors that use them (then the shorter, then by alphabet). A name
       that refers to an icon of an earlier one, or under which some vendor draws the same image, is left out.
    3. A class needs ``MIN_VENDORS`` drawings. Identical ones within it are then kept once, from the first vendor.

    Classes follow by name, images in the order of ``VENDORS``. The superclass is Noto's category, or
    "?" where it has none.

    Args:
        packages: the folder of the packages, see :func:`fetch_packages`.
    """
    vendors = {name: read_vendor(packages, name) for name in VENDORS}
    names = names_by_use(vendors)
    seen: set[tuple[str, bytes]] = set()
    classes: dict[str, dict[str, np.ndarray]] = {}
    for name, drawings in tqdm(names.items(), desc="drawing emoji", disable=None):
        images = {vendor: render(vendors[vendor], icon) for vendor, icon in drawings.items()}
        keys = {(vendor, image.tobytes()) for vendor, image in images.items()}
        if not keys & seen:
            unique = {image.tobytes(): vendor for vendor, image in reversed(images.items())}
            classes[name] = {vendor: images[vendor] for vendor in unique.values()}
        seen |= keys
    ordered = sorted(classes)
    rows = [(label, vendor) for label, name in enumerate(ordered) for vendor in VENDORS if vendor in classes[name]]
    return {
        "images": np.stack([classes[ordered[label]][vendor] for label, vendor in rows]),
        "labels": np.array([label for label, _ in rows], dtype=np.int32),
        "class_names": np.array(ordered),
        "source": np.array([VENDORS.index(vendor) for _, vendor in rows], dtype=np.int16),
        "source_names": np.array(VENDORS),
        "superclass": np.array([vendors["noto"].categories.get(name, "?") for name in ordered]),
    }


def names_by_use(vendors: Mapping[str, Vendor]) -> dict[str, Drawings]:
    """The usable names that enough vendors draw, with their icons: most vendors first, then the shorter name.

    Of several names for one icon of some vendor, the first counts, usable or not.
    """
    spelled = {name.replace("-", ""): name for name in vendors["fxemoji"].icons}
    names = {name for key, vendor in vendors.items() if key != "fxemoji" for name in [*vendor.icons, *vendor.aliases]}
    found: dict[str, Drawings] = {}
    for name in names:
        own = {key: spelled.get(name.replace("-", ""), "") if key == "fxemoji" else name for key in vendors}
        drawn = {key: icon for key, vendor in vendors.items() if (icon := icon_of(vendor, own[key])) is not None}
        if len(drawn) >= MIN_VENDORS:
            found[name] = drawn
    first: dict[tuple[str, str], str] = {}
    for name in sorted(found, key=lambda name: (-len(found[name]), len(name), name)):
        for drawing in found[name].items():
            first.setdefault(drawing, name)
    firsts = {name: all(first[drawing] == name for drawing in drawn.items()) for name, drawn in found.items()}
    kept = [name for name in dict.fromkeys(first.values()) if firsts[name] and is_usable(name)]
    return {name: found[name] for name in kept}


def is_usable(name: str) -> bool:
    """Whether an emoji is neither a letter nor a variant of another by skin tone or gender.

    Example:
        >>> [is_usable(name) for name in ("bear", "woman", "woman-artist", "thumbs-up-dark-skin-tone", "letter-a")]
        [True, True, False, False, False]
    """
    return not (TONES_AND_LETTERS.search(name) or GENDERS.search(name))


def icon_of(vendor: Vendor, name: str) -> str | None:
    """The icon that a name refers to; None if there is none, or if it is rotated or mirrored."""
    while name not in vendor.icons:
        alias = vendor.aliases.get(name)
        if alias is None or set(alias) != {"parent"}:
            return None
        name = alias["parent"]
    return name


def render(vendor: Vendor, icon: str) -> np.ndarray:
    """(SIDE, SIDE, 3), uint8: an icon scaled to fit, centered, on white."""
    from resvg_py import svg_to_bytes  # an optional dependency, needed for building alone

    drawing = vendor.icons[icon]
    width, height = drawing.get("width", vendor.size[0]), drawing.get("height", vendor.size[1])
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="{drawing.get("left", 0)} {drawing.get("top", 0)} {width} {height}">'
        f"{drawing['body']}</svg>"
    )
    png = svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE, background="#ffffff", skip_system_fonts=True)
    image = Image.open(io.BytesIO(bytes(png)), formats=("PNG",)).convert("RGB")
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    canvas.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return np.asarray(canvas)


def notice(packages: Path) -> str:
    """Text with the author and licence of each vendor's drawings."""
    return "\n".join(
        [
            "Drawings of emoji, rendered from SVG to pixels and otherwise unchanged. Name, author, licence:",
            *(read_vendor(packages, name).credit for name in VENDORS),
            "",
        ]
    )
