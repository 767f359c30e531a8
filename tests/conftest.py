"""Settings of all tests: one thread, one seed, the recorded numbers."""

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).resolve().parents[1]
# programs that tests start import the benchmark of this checkout, as pytest itself does (pythonpath in setup.cfg)
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        metavar="SECONDS",
        help="how long each fuzz test runs, instead of its own number of tries",
    )


@pytest.fixture
def fuzz_seeds(request: pytest.FixtureRequest) -> Callable[[int], Iterator[int]]:
    """`fuzz_seeds(tries)` yields the seeds 0 .. tries - 1, or with `--fuzz-seconds` as many as that time allows."""

    def seeds(tries: int) -> Iterator[int]:
        seconds = request.config.getoption("--fuzz-seconds")
        if seconds is None:
            yield from range(tries)
            return
        end = time.monotonic() + seconds
        for seed in count():
            if time.monotonic() > end:
                return
            yield seed

    return seeds


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes milliseconds without a CUDA device
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)
    np.random.seed(0)


@pytest.fixture
def golden() -> Callable[[str], SimpleNamespace]:
    """Reader of recorded files: arrays as tensors, `meta` as a dictionary."""

    def read(name: str) -> SimpleNamespace:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            arrays = {key: torch.from_numpy(np.array(file[key])) for key in file.files if key != "meta"}
            return SimpleNamespace(**arrays, meta=json.loads(str(file["meta"])))

    return read
