"""What lies in a folder, as far as people see it."""

from pathlib import Path


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of its names, without names that start with a dot."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
