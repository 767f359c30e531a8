"""Which part of a ``data`` group decides a training's numbers."""

from collections.abc import Mapping
from typing import Any

from benchmarks.data.published.sets import PUBLISHED

HANDLING = ("cache", "workers", "download", "verify")  # how images get into memory, not what they are
JUDGING = ("twins_allowed", "identical_allowed")  # what the leakage audit lets pass


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The group without what may differ between two machines that train on the same images.

    How images are fetched, decoded, kept and judged is left out. ``path`` is left out where the counts of a published
    data set were verified, since its name says what lies there; elsewhere the path is all that tells one folder or
    file from another, and stays.

    Example:
        >>> identity({"kind": "cub", "path": "/somewhere", "verify": True, "cache": "here", "image_size": 256})
        {'kind': 'cub', 'image_size': 256}
        >>> identity({"kind": "npz", "path": "mine.npz", "image_size": None})
        {'kind': 'npz', 'path': 'mine.npz', 'image_size': None}
    """
    known = config["kind"] in PUBLISHED and config.get("verify", False)
    left_out = {*HANDLING, *JUDGING, *(("path",) if known else ())}
    return {key: value for key, value in config.items() if key not in left_out}
