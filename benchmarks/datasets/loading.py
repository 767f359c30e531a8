"""From the ``data`` group of a configuration to images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.datasets.arrays import ImageArrays
from benchmarks.datasets.folder import read_folder
from benchmarks.datasets.npz import read_npz

SHIPPED_GLYPHS = Path(__file__).with_name("glyphs64.npz")
KINDS = ("glyphs", "npz", "folder")


def load(config: Mapping[str, Any]) -> ImageArrays:
    """The data set that a configuration describes: read, cut to ``num_classes``, resized to ``image_size``.

    Args:
        config: ``name``; ``kind``, one of glyphs, npz, folder; ``path`` of the file or folder, None for glyphs;
            ``image_size``, side of the square images, None to keep theirs; ``num_classes``, None for all, else that
            many, spread evenly.

    Raises:
        FileNotFoundError: if the path is missing.
        ValueError: if the configuration asks for something impossible, or the data is not sound.

    Example:
        >>> group = {"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 16, "num_classes": 20}
        >>> load(group).images.shape[1:], len(load(group).class_names)
        ((16, 16, 1), 20)
    """
    kind, path, image_size = config["kind"], config["path"], config["image_size"]
    if kind not in KINDS:
        raise ValueError(f"data.kind must be one of {', '.join(KINDS)}, but got {kind!r}")
    if kind == "glyphs" and path is not None:
        raise ValueError(f"data.path must be null for data.kind=glyphs, but got {path!r}; for a file use data=npz")
    if kind != "glyphs" and not path:
        raise ValueError(f"data.path is missing: say where the data lies, as in data={kind} data.path=...")
    if kind == "folder":
        arrays = read_folder(Path(path).expanduser(), config["name"], image_size)
    else:
        arrays = read_npz(SHIPPED_GLYPHS if kind == "glyphs" else Path(path).expanduser(), config["name"])
    if config["num_classes"] is not None:
        arrays = arrays.with_classes(config["num_classes"])
    return arrays if image_size is None else arrays.resized(image_size)
