"""Trained models that the tests of this folder share."""

from pathlib import Path

import numpy as np
import pytest
from tiny_runs import run_tiny

from benchmarks.config.compose import compose
from benchmarks.training.train import train

SETTINGS = ["protocol.test_scoring=every", "protocol.keep_embeddings=true"]
IDML = ["method=idml_no_mixup", "loss=proxy_anchor", "protocol.epochs=1"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of gray images of 12 x 12 pixels."""
    return run_tiny(tmp_path_factory.mktemp("runs"), *SETTINGS)


@pytest.fixture(scope="session")
def introspective(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trained by IDML, with uncertainties."""
    return run_tiny(tmp_path_factory.mktemp("runs"), *IDML)


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of six features, one of which is constant; they lie in ``rows.npz`` beside it."""
    folder, random = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    labels = np.repeat(np.arange(24), 4)
    rows = (3 + random.normal(size=(24, 6))[labels] + random.normal(size=(96, 6))).astype(np.float32)
    rows[:, 2] = 5
    np.savez(folder / "rows.npz", features=rows, labels=labels)
    data = ["data=features", f"data.path={folder / 'rows.npz'}", "data.drop_constant=true"]
    small = ["protocol.batch_size=8", "protocol.embedding_size=4", "protocol.epochs=1", "quiet=true", "device=cpu"]
    return train(*compose([*data, *small, *SETTINGS, "protocol.iterations_per_epoch=4", f"runs={folder}"]))
