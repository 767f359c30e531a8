"""The choice of a loss on small data, from the command to the exported model."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.jobs.executors import Outcome
from benchmarks.models import load_model

SMALL = [
    "comparisons=[{loss:triplet,methods:[none,ee]}]",
    "protocol.batch_size=16",
    "protocol.embedding_size=4",
    "protocol.iterations_per_epoch=20",
    "protocol.epochs=3",
    "protocol.optimizer.lr=0.03",
    "quiet=true",
    "device=cpu",
    "workers=1",
    "minutes=5",
]


def rows_of(path: Path, noise: float) -> Path:
    """Rows of 48 classes: three features of twelve say the class, the others are noise."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(48), 4)
    rows = noise * random.normal(size=(192, 12))
    rows[:, :3] = random.normal(size=(48, 3))[labels] + 0.1 * noise * random.normal(size=(192, 3))
    np.savez(path, features=rows.astype(np.float32), labels=labels)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trials and seeds, trained in this process, which spares the start of others."""

    def here(_: str, function: Callable[[Any], object], tasks: Sequence[Any], *__: object) -> Iterator[Outcome]:
        for number, task in enumerate(tasks):
            function(task)
            yield Outcome(number, None)

    for module in ("tuning.search", "jobs.runner"):
        monkeypatch.setattr(f"benchmarks.{module}.run_all", here)
    monkeypatch.setattr("benchmarks.tuning.choose.budget.MAX_TRIALS", 4)
    for name, value in (("SEEDS", 3), ("FEW_SEEDS", 2), ("FOLDS", (1,))):
        monkeypatch.setattr(f"benchmarks.tuning.choose.finalists.{name}", value)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_loss_is_chosen_by_validation_and_its_model_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    data = ["data=features", f"data.path={rows_of(tmp_path / 'rows.npz', noise=1)}", "quiet=true"]
    command = ["choose", *data, *SMALL, f"runs={runs}"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "4 trials of 60 steps for each of 2 searches: triplet/none, triplet/ee" in said
    assert re.search(r"final: triplet.* on fold 1 with 3 seeds", said)
    assert "chosen, by validation: triplet/" in said and re.search(r"took \d+ s of 5 min", said)
    assert (runs / "report" / "report.html").exists()
    model = load_model(runs / "model")
    assert len(model.description.data.classes) == 48 and "no test score is claimed for it" in said
    result = json.loads(next((runs / "winner").glob("*/result.json")).read_text())
    assert result["selection"]["last"]["test"] is None and result["data"]["images"]["test"] == 0

    ledger = (runs / "studies" / "choose" / "ledger.jsonl").read_bytes()
    assert main(command) == 0  # what is there is neither searched nor trained again
    again = capsys.readouterr().out
    answers = [text.partition("validation MAP@R, mean")[2].partition("took")[0] for text in (said, again)]
    assert answers[0] == answers[1] and "0 trained" in again
    assert (runs / "studies" / "choose" / "ledger.jsonl").read_bytes() == ledger
    assert main([*command, "embedder=mlp"]) == 2
    assert "holds the choice for other data or settings" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_where_nothing_beats_the_features_it_says_so_and_exports_these(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    data = ["data=features", f"data.path={rows_of(tmp_path / 'rows.npz', noise=0.15)}", "data.standardize=false"]
    assert main(["choose", *data, *SMALL, "protocol.embedding_size=2", f"runs={runs}"]) == 0
    said = capsys.readouterr().out
    assert "the raw features" in said and "by cosine" in said and "chosen, by validation" not in said
    assert load_model(runs / "model").description.loss == "raw"


def test_too_little_time_is_refused_with_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rows_of(tmp_path / "rows.npz", noise=1)
    command = ["choose", "data=features", f"data.path={path}", *SMALL, f"runs={tmp_path / 'runs'}"]
    assert main([*command, "minutes=0"]) == 2
    assert "minutes must be above 0" in capsys.readouterr().err
    assert main([*command, "loss=triplet"]) == 2
    assert "loss=triplet has no place here" in capsys.readouterr().err
