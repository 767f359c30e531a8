"""Training on mapped features, and on mapped images, that would not fit into memory."""

import sys
from pathlib import Path

import limited_training
import numpy as np
import pytest
from forked import start
from PIL import Image
from tiny_runs import numbers

ROWS, FEATURES = 12_000, 3_000  # 72 MB in float16, 144 MB in float32
ALLOWED = 190 * 2**20  # keeping all of them takes twice 144 MB for a moment; a training without them, about 60

SIDE, OF_CLASSES = 400, 80  # 6 images a class: 230 MB of pixels, more than all that a training of images may take
ALLOWED_WITH_IMAGES = 200 * 2**20  # a training without them takes about 170 beyond its imports


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapped")
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(ROWS // 12), 12)
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float16, (ROWS, FEATURES))
    for row in range(0, ROWS, 2000):
        features[row : row + 2000] = random.normal(size=(2000, FEATURES)).astype(np.float16)
    features[:, 7] = 1  # left out
    features.flush()
    np.savez(folder / "rest.npz", labels=labels)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("pictures") / "images", np.random.default_rng(0)
    for number in range(OF_CLASSES):
        (folder / f"{number:03}").mkdir(parents=True)
        for n in range(6):
            pixels = random.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03}" / f"{n}.bmp")
    return folder


def train(kind: str, data: Path, runs: Path, allowed: int, kept: str) -> tuple[int | None, str]:
    """The exit code of a training in a process of its own, and what it printed."""
    output = runs.with_suffix(".txt")
    process = start(limited_training.train_limited, kind, data, runs, allowed, kept, output=output)
    process.join()
    return process.exitcode, output.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
@pytest.mark.parametrize(
    ("kind", "fixture", "allowed"), [("features", "mapped", ALLOWED), ("images", "pictures", ALLOWED_WITH_IMAGES)]
)
def test_data_larger_than_memory_train_with_the_numbers_of_those_in_memory(
    kind: str, fixture: str, allowed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(fixture)
    status, limited = train(kind, data, tmp_path / "limited", allowed, "read")
    assert status == 0, limited
    status, too_much = train(kind, data, tmp_path / "too_much", allowed, "held")
    assert status != 0 and "alloc" in too_much.lower()  # so the limit is one
    status, plenty = train(kind, data, tmp_path / "plenty", 2**33, "held")
    assert status == 0, plenty
    assert numbers(Path(limited.split()[-1])) == numbers(Path(plenty.split()[-1]))
