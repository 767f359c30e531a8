"""Pretrained weights from a file, checked against its hash."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


def read_weights(weights: str, url: str, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file of weights; nothing is downloaded, and no code in the file runs.

    Args:
        weights: a path, or ``imagenet`` for the published file, which is looked for where ``torch.hub`` keeps files.
        url: of the published file.
        sha256: that the file must have; otherwise the first digits of it are read from the file's name, if it has them.

    Raises:
        FileNotFoundError: if there is no file; the message says where it goes and where it comes from.
        ValueError: if the file is another one than its hash says, or holds something else than tensors.
    """
    published = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    path = published if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"weights are missing: download {url} to {path}, or set weights=null for random ones")
    named = HASH_IN_NAME.search(path.name)
    expected = sha256 or (named[1] if named else "")
    found = _sha256(path)
    if not found.startswith(expected.lower()):
        raise ValueError(f"{path} must have a sha256 that starts with {expected}, but has {found}: download it anew")
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path} must hold a dict of tensors by name")
    return dict(tensors)


def load_exactly(module: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load all tensors into a module that has exactly these.

    Raises:
        ValueError: if names or shapes differ.
    """
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit: {' '.join(str(error).split())}") from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
