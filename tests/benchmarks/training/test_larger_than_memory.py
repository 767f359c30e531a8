"""Training on mapped features that would not fit into memory as float32."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import numbers

HELPER = Path(__file__).parents[2] / "helpers" / "limited_training.py"
ROWS, FEATURES = 12_000, 3_000  # 72 MB in float16, 144 MB in float32
ALLOWED = 190 * 2**20  # keeping all of them takes twice 144 MB for a moment; a training without them, about 60


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapped")
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(ROWS // 12), 12)
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float16, (ROWS, FEATURES))
    for start in range(0, ROWS, 2000):
        features[start : start + 2000] = random.normal(size=(2000, FEATURES)).astype(np.float16)
    features[:, 7] = 1  # left out
    features.flush()
    np.savez(folder / "rest.npz", labels=labels)
    return folder


def train(mapped: Path, runs: Path, allowed: int, kept: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HELPER), str(mapped), str(runs), str(allowed), kept]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_features_larger_than_memory_train_with_the_numbers_of_those_in_memory(mapped: Path, tmp_path: Path) -> None:
    limited = train(mapped, tmp_path / "limited", ALLOWED, "read")
    assert limited.returncode == 0, limited.stderr
    too_much = train(mapped, tmp_path / "too_much", ALLOWED, "held")
    assert too_much.returncode != 0 and "alloc" in too_much.stderr.lower()  # so the limit is one
    plenty = train(mapped, tmp_path / "plenty", 2**33, "held")
    assert plenty.returncode == 0, plenty.stderr
    assert numbers(Path(limited.stdout.split()[-1])) == numbers(Path(plenty.stdout.split()[-1]))
