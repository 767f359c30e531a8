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
    path = published_path(url) if weights == "imagenet" else Path(weights)
    if weights != "imagenet" and not path.is_file():
        raise FileNotFoundError(f"weights are missing: {path} is no file; trunk.network.weights must name one")
    if not path.is_file():
        raise FileNotFoundError(
            f"weights are missing: download {url} to {path}, or set trunk.network.weights=null for random ones"
        )
    named = HASH_IN_NAME.search(path.name)
    check_sha256(path, sha256 or (named[1] if named else None))
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path} must hold a dict of tensors by name")
    return dict(tensors)


def published_path(url: str) -> Path:
    """Where ``torch.hub`` keeps the file of that address."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)


def download_published(url: str) -> Path:
    """The file of that address, fetched if it is not there and checked against the digits in its name.

    Raises:
        OSError: if it cannot be fetched.
        ValueError: if the file that came is another one than its name says.
    """
    path = published_path(url)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    named = HASH_IN_NAME.search(path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), named[1] if named else None, progress=False)
    except RuntimeError as error:  # the hash differs
        raise ValueError(f"{url}: {error}") from error
    return path


def load_exactly(module: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load all tensors into a module that has exactly these.

    Raises:
        ValueError: if names or shapes differ.
    """
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit: {' '.join(str(error).split())}") from error


def check_sha256(path: Path, expected: str | None) -> None:
    """Refuse a file whose sha256 does not start with the expected digits; None checks nothing.

    Raises:
        ValueError: naming both.
    """
    if expected is None:
        return
    found = _sha256(path)
    if not found.startswith(expected.lower()):
        raise ValueError(f"{path} must have a sha256 that starts with {expected}, but has {found}: download it again")


def hash_of(module: torch.nn.Module) -> str:
    """sha256 of a module's weights and buffers, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
