"""From the ``data`` group of a configuration to images."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.data.arrays import ImageArrays
from benchmarks.data.decode_cache import decoded, store_path
from benchmarks.data.decoding import Form
from benchmarks.data.folder import list_folder, read_folder
from benchmarks.data.listing import Listing
from benchmarks.data.npz import read_npz
from benchmarks.data.published.sets import PUBLISHED, list_published

SHIPPED_GLYPHS = Path(__file__).with_name("glyphs64.npz")
KINDS = ("glyphs", "emoji", "npz", "folder", *PUBLISHED)


def load(config: Mapping[str, Any]) -> ImageArrays:
    """The data set that a configuration describes: read, cut to ``num_classes``, resized to ``image_size``.

    Args:
        config: ``name``; ``kind``, one of KINDS; ``path`` of the file or folder, None for glyphs; ``image_size`` in
            pixels, None to keep the images as they are; ``num_classes``, None for all, else that many, spread evenly.
            For folders of images also ``resize``, see :class:`Form`, and ``cache`` and ``workers``, see
            :func:`decoded`; for published data sets also ``verify`` and ``download``, see :func:`list_published`.

    Raises:
        FileNotFoundError: if the path is missing.
        ValueError: if the configuration asks for something impossible, or the data is not sound.

    Example:
        >>> group = {"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 16, "num_classes": 20}
        >>> load(group).images.shape[1:], len(load(group).class_names)
        ((16, 16, 1), 20)
    """
    kind, image_size, num_classes = config["kind"], config["image_size"], config["num_classes"]
    path = _path(config)
    if is_decoded(config):
        return _from_store(config, listing(config))
    if kind == "folder":
        arrays = read_folder(path, config["name"], image_size)
    else:
        arrays = read_npz(path, config["name"])
    if num_classes is not None:
        arrays = arrays.with_classes(num_classes)
    return arrays if image_size is None else arrays.resized(image_size)


def is_decoded(config: Mapping[str, Any]) -> bool:
    """Whether the images are decoded into a cache, instead of read into memory."""
    short_side = config["kind"] == "folder" and config.get("resize", "square") == "short_side"
    return config["kind"] in PUBLISHED or short_side


def listing(config: Mapping[str, Any]) -> Listing:
    """The image files that a configuration of a folder or published data set describes, cut to ``num_classes``."""
    path = _path(config)
    if config["kind"] == "folder":
        files = list_folder(path)
    else:
        files = list_published(config["kind"], path, config["verify"], config["download"])
    return files if config["num_classes"] is None else files.with_classes(config["num_classes"])


def store_of(config: Mapping[str, Any], files: Listing) -> Path:
    """The folder of the decoded images, which need not exist."""
    return store_path(files.files, _form(config), Path(config["cache"]).expanduser(), config["name"])


def _form(config: Mapping[str, Any]) -> Form:
    return Form(config["image_size"], config["resize"], upright=config["kind"] == "folder")


def _path(config: Mapping[str, Any]) -> Path:
    kind, path = config["kind"], config["path"]
    if kind not in KINDS:
        raise ValueError(f"data.kind must be one of {', '.join(KINDS)}, but got {kind!r}")
    if kind == "glyphs":
        if path is not None:
            raise ValueError(f"data.path must be null for data.kind=glyphs, but got {path!r}; for a file use data=npz")
        return SHIPPED_GLYPHS
    if not path:
        raise ValueError(f"data.path is missing: say where the data lies, as in data={kind} data.path=...")
    expanded = Path(path).expanduser()
    if kind == "emoji" and not expanded.exists():
        raise FileNotFoundError(f"{path}: no such file; build it with: python -m benchmarks data build emoji")
    return expanded


def _from_store(config: Mapping[str, Any], files: Listing) -> ImageArrays:
    cache = Path(config["cache"]).expanduser()
    ragged = decoded(files.files, _form(config), cache, config["name"], config["workers"])
    arrays = ImageArrays(config["name"], ragged, files.labels, files.class_names, None, [], files.partition)
    if config["resize"] == "short_side":
        return arrays
    side = config["image_size"]
    return replace(arrays, images=ragged.pixels.reshape(len(ragged), side, side, ragged.channels))
