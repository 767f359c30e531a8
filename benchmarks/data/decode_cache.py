"""Decoded pictures, kept on disk so that each is decoded once."""

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

from benchmarks.data.decoding import Form, decode
from benchmarks.data.ragged import RaggedImages, digest, starts

FORMAT = 1


def store_path(files: Sequence[Path], form: Form, cache: Path, name: str) -> Path:
    """The folder of the decoded pictures, named by what decides their pixels.

    That is the files (path, size and time of change), the form, and the versions of Pillow and its JPEG library,
    which decide how a file becomes pixels.
    """
    libraries = [PIL.__version__, features.version("jpg"), features.version("libjpeg_turbo")]
    key = hashlib.sha256(json.dumps([FORMAT, form, libraries]).encode())
    for file in files:
        status = file.stat()
        key.update(json.dumps([str(file.resolve()), status.st_size, status.st_mtime_ns]).encode())
    return cache / f"{name}-{key.hexdigest()[:16]}"


def decoded(files: Sequence[Path], form: Form, cache: Path, name: str, workers: int | None = None) -> RaggedImages:
    """The pictures of all files, decoded now or before; in a memory map, so that they need not fit into memory.

    A store is seen whole or not at all: it is written beside its place and renamed. Where several processes ask for
    it at once, one decodes and the others wait.

    Args:
        files: in the order of the rows.
        form: of every picture.
        cache: the folder of all stores.
        name: of the data set, for the folder's name and the progress bar.
        workers: threads that decode (Pillow decodes and resizes several at once); None for one a core.

    Raises:
        ValueError: if a file is damaged, or a finished store is.
    """
    folder = store_path(files, form, cache, name)
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"):
            if not folder.exists():
                _build(files, form, folder, name, workers or os.cpu_count() or 1)
    return open_store(folder)


def open_store(folder: Path) -> RaggedImages:
    """The pictures of a finished store.

    Raises:
        ValueError: if its files do not fit together.
    """
    try:
        with np.load(folder / "index.npz", allow_pickle=False) as index:
            sizes, digests = index["sizes"], index["digests"]
        expected, found = int(sizes.prod(axis=1).sum()) * 3, (folder / "pixels.bin").stat().st_size
        if found != expected:
            raise ValueError(f"pixels.bin has {found:,} bytes instead of {expected:,}")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder}: this store of decoded images is damaged ({error}); delete the folder") from error
    pixels = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r")
    return RaggedImages(pixels, starts(sizes, 3), sizes, 3, digests)


def _build(files: Sequence[Path], form: Form, folder: Path, name: str, workers: int) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    if unfinished.exists():  # of a process that was killed: whoever holds the lock is the only one who builds
        shutil.rmtree(unfinished)
    unfinished.mkdir()
    try:
        sizes, digests = np.empty((len(files), 2), dtype=np.int64), np.empty((len(files), 32), dtype=np.uint8)
        bar = tqdm(total=len(files), desc=f"decoding {name}", unit="image", disable=None)
        with open(unfinished / "pixels.bin", "wb") as pixels, bar:
            for row, (picture, its_digest) in enumerate(_in_order(files, form, workers)):
                pixels.write(picture.data)
                sizes[row], digests[row] = picture.shape[:2], np.frombuffer(its_digest, dtype=np.uint8)
                bar.update()
            pixels.flush()
            os.fsync(pixels.fileno())
        np.savez(unfinished / "index.npz", allow_pickle=False, sizes=sizes, digests=digests)
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _in_order(files: Sequence[Path], form: Form, workers: int) -> Iterator[tuple[np.ndarray, bytes]]:
    """Every picture with its digest; at most a few of each worker are in memory."""
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
    picture = np.ascontiguousarray(decode(file, form))
    return picture, digest(picture)
