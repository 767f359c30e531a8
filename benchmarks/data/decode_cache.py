"""Decoded images, kept on disk so that each file is decoded once."""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock
from PIL import features
from tqdm import tqdm

from ..files import read_arrays, require_regular
from .decoding import Form, decode
from .ragged import RaggedImages, digest, starts

FORMAT = 1


def store_path(files: Sequence[Path], form: Form, cache: Path, name: str) -> Path:
    """The directory of the decoded images, named by a hash of everything that determines their pixels.

    That is the files (path, size and modification time), the form, and the versions of Pillow and its JPEG library.
    """
    libraries = [PIL.__version__, features.version("jpg"), features.version("libjpeg_turbo")]
    key = hashlib.sha256(json.dumps([FORMAT, form, libraries]).encode())
    for file in files:
        status = file.stat()
        key.update(json.dumps([str(file.resolve()), status.st_size, status.st_mtime_ns]).encode())
    return cache / f"{name}-{key.hexdigest()[:16]}"


def decoded(files: Sequence[Path], form: Form, cache: Path, name: str, workers: int | None = None) -> RaggedImages:
    """The images of all files, decoded unless they are in the cache; memory-mapped, so they need not fit into memory.

    A store is either complete or absent: it is written to a temporary directory that is renamed at the end. If several
    processes need the same one, the first decodes and the others wait for it.

    Args:
        files: image files, in the order of the rows.
        form: form of every image.
        cache: directory of all stores.
        name: name of the data set, for the name of the store and the progress bar.
        workers: threads that decode (Pillow decodes and resizes several images at once); None for one per core.

    Raises:
        OSError: if the disk is too small.
        ValueError: if a file is damaged, or a finished store is.
    """
    folder = store_path(files, form, cache, name)
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"):
            if not folder.exists():
                _require_space(len(files), form, cache)
                _build(files, form, folder, name, workers or os.cpu_count() or 1)
    return open_store(folder, len(files))


def open_store(folder: Path, num_images: int) -> RaggedImages:
    """The images of a finished store, memory-mapped.

    Raises:
        ValueError: if its files are damaged or do not fit together.
    """
    try:
        index = read_arrays(folder / "index.npz", ("sizes", "digests"))
        sizes, digests = index["sizes"], index["digests"]
        if sizes.shape != (num_images, 2) or sizes.dtype != np.int64 or not np.all((sizes > 0) & (sizes < 1 << 31)):
            raise ValueError(f"index.npz does not hold the sizes of {num_images} images")
        if digests.shape != (num_images, 32) or digests.dtype != np.uint8:
            raise ValueError(f"index.npz does not hold the digests of {num_images} images")
        pixels = require_regular(folder / "pixels.bin")
        expected, found = sum(height * width * 3 for height, width in sizes.tolist()), pixels.stat().st_size
        if found != expected:
            raise ValueError(f"pixels.bin has {found:,} bytes instead of {expected:,}")
        mapped = np.memmap(pixels, dtype=np.uint8, mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{folder}: this store of decoded images is damaged ({error}); delete the directory"
        ) from error
    return RaggedImages(mapped, starts(sizes, 3), sizes, 3, digests)


def _require_space(num_images: int, form: Form, cache: Path) -> None:
    if form.image_size is None:
        return
    needed, free = 3 * num_images * form.image_size**2, shutil.disk_usage(cache).free
    if needed > free:
        raise OSError(
            f"{cache}: {num_images:,} images with data.image_size={form.image_size} take at least {needed / 1e9:,.1f} "
            f"GB, but {free / 1e9:,.1f} GB are free; use another data.cache or a smaller data.image_size"
        )


def _build(files: Sequence[Path], form: Form, folder: Path, name: str, workers: int) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    if unfinished.exists():  # left by a process that was killed: this one holds the lock
        shutil.rmtree(unfinished)
    unfinished.mkdir()
    try:
        sizes, digests = np.empty((len(files), 2), dtype=np.int64), np.empty((len(files), 32), dtype=np.uint8)
        bar = tqdm(total=len(files), desc=f"decoding {name}", unit="image", disable=None)
        with open(unfinished / "pixels.bin", "wb") as pixels, bar:
            for row, (image, its_digest) in enumerate(_in_order(files, form, workers)):
                pixels.write(image.data)
                sizes[row], digests[row] = image.shape[:2], np.frombuffer(its_digest, dtype=np.uint8)
                bar.update()
            pixels.flush()
            os.fsync(pixels.fileno())
        np.savez(unfinished / "index.npz", allow_pickle=False, sizes=sizes, digests=digests)
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _in_order(files: Sequence[Path], form: Form, workers: int) -> Iterator[tuple[np.ndarray, bytes]]:
    """Every decoded image with its digest, in the order of the files; at most a few per worker are in memory."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[tuple[np.ndarray, bytes]]] = deque()
        try:
            for file in files:
                ahead.append(pool.submit(_decode, file, form))
                if len(ahead) > 4 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _decode(file: Path, form: Form) -> tuple[np.ndarray, bytes]:
    image = np.ascontiguousarray(decode(file, form))
    return image, digest(image)
