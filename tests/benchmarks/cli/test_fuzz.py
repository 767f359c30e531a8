"""Random and damaged command lines: each is carried out, or refused in one sentence; nothing is trained."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.config.compose import GROUPS, compose, options_of, override_keys
from benchmarks.config.lists import SuiteConfig
from benchmarks.errors import UserError
from benchmarks.tuning.study import FinalConfig, StudyConfig

WHOLE = [
    ["run", "loss=triplet", "method=ee", "fold=0", "seed=1", "protocol.epochs=4"],
    ["run", "loss=proxy_anchor", "method=ps", "protocol=smoke", "trunk=small_cnn", "data.image_size=16"],
    ["run", "data=npz", "data.path=mine.npz", "data.name=mine", "loss.criterion.alpha=3", "threads=2"],
    ["run", "recipe=idml/cub", "method=none", "trunk=small_cnn", "device=cpu", "quiet=true"],
    ["run", "loss.criterion={alpha: 3, beta: 40}", "protocol.embedder={bias: zero}", "--cfg"],
    ["suite", "smoke", "seeds=[0,1]", "comparisons=[{loss: triplet, methods: [none, ee]}]", "--dry-run"],
    ["suite", "quickstart", "folds=[0,1]", "data=[glyphs]", "workers=2", "protocol.epochs=4"],
    ["tune", "smoke", "trials=6", "folds=[0]", "seed=7", "protocol.epochs=2", "--dry-run"],
    ["final", "smoke", "seeds=[0,1]", "workers=1", "--dry-run"],
    ["report", "runs"],
    ["compare", "runs/a", "runs/b"],
]
VALUES = [
    "", "null", "true", "nan", "inf", "1e400", "-1", "0", "1", "2.5", "99999999999999999999", "[]", "{}", "[[1]]",
    "[a,b]", "{a: {b: 1}}", "{1: 2}", "{_target_: x}", "{_target_: torch.nn.Identity}",
    "{_target_: torch.nn.Linear, in_features: a}", "'${seed}'", "${oc.env:HOME}", "???", "text", "a/b", "../x", "~/x",
    "é", " ", "'", '"', "\\", "{", "]", "1,2", "a=b", "@x", "choice(1,2)", "int(3)", "[" * 200 + "]" * 200,
    "{a: " * 100 + "1" + "}" * 100, "x" * 5000, "none", "auto", "float16",
]  # fmt: skip
SECONDS = 5.0  # of CPU, though a refusal takes a fraction of one: the machine may be loaded


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where relative paths lead
    monkeypatch.setattr("benchmarks.training.train.train", lambda *_: tmp_path)
    monkeypatch.setattr("benchmarks.cli.train_and_report.train_and_report", lambda *_, **__: 0)
    monkeypatch.setattr("benchmarks.jobs.suite.read_data", lambda config: None)
    monkeypatch.setattr("benchmarks.tuning.cells.list_cells", _end)
    monkeypatch.setattr("benchmarks.tuning.summary.load_study", _end)


def _end(*_: object) -> NoReturn:
    raise UserError("everything was read")


def keys() -> list[str]:
    def leaves(node: object, prefix: str) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, dict) else ():
            yield f"{prefix}{key}"
            yield from leaves(value, f"{prefix}{key}.")

    config, _ = compose(["loss=triplet", "method=iaa"])
    written = leaves({**config.identity(), "method": vars(config.method)}, "")
    of_lists = [name.name for schema in (SuiteConfig, StudyConfig, FinalConfig) for name in fields(schema)]
    return sorted({*override_keys(), *written, *of_lists})


def broken(word: str, draw: random.Random) -> str:
    """A word with one typing error."""
    at = draw.randrange(len(word) + 1)
    letter = draw.choice("=.+~@:-'\"[]{},$ \\/aZ0é")
    added, lost = word[:at] + letter + word[at:], word[:at] + word[at + 1 :]
    return draw.choice([added, lost, word[at:] + word[:at], letter + word])


def command_line(draw: random.Random, known: list[str]) -> list[str]:
    """A command that works, with one to three words added, changed or lost."""
    words = list(draw.choice(WHOLE))
    for _ in range(draw.randint(1, 3)):
        key, value = draw.choice(known), draw.choice(VALUES)
        group = draw.choice(GROUPS)
        change = draw.randrange(7)
        if change == 0:
            words.append(f"{key}={value}")
        elif change == 1:
            words.append(f"{group}={draw.choice([*options_of(group), value])}")
        elif change == 2:
            at = draw.randrange(len(words))
            words[at] = broken(words[at], draw)
        elif change == 3 and len(words) > 1:
            del words[draw.randrange(len(words))]
        elif change == 4:
            options = [f"--{key.rpartition('.')[2]}", "--allow", "--cfg", "-x", "--dry-run", "--force", "--", "--help"]
            words.append(draw.choice([*options, value]))
        elif change == 5:
            words.append(f"{draw.choice(['+', '++', '~', group + '@', group + '/'])}{key}={value}")
        else:
            words[0] = draw.choice([*COMMANDS, "siute", ""])
    return words


def untouched(words: list[str]) -> bool:
    """Whether a command line starts no measurement and builds no network that takes long or much memory."""
    slow = ("resnet50", "googlenet", "bn_inception", "efficientnet", "timm", "torchvision", "widths", "recipe")
    return words[:1] not in (["cost"], ["speed"], ["gpu-check"], ["data"]) and not any(
        name in word for word in words[1:] for name in slow if "trunk=small_cnn" not in words
    )


@pytest.mark.slow
def test_a_command_line_is_carried_out_or_refused_in_one_sentence(
    fuzz_seeds: Callable[[int], Iterator[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    known, statuses = keys(), []
    for seed in fuzz_seeds(200):
        words = command_line(random.Random(seed), known)
        if not untouched(words):
            continue
        started = time.process_time()
        try:
            status = main(words)
        except SystemExit as end:  # argparse's --help and --version
            assert end.code == 0, words
            status = 0
        except BaseException as error:
            raise AssertionError(f"{words} ended in {type(error).__name__}: {error}") from error
        seconds = time.process_time() - started
        said = capsys.readouterr().err
        assert status in (0, 1, 2) and seconds < SECONDS, (words, status, seconds)
        if status:
            assert said.startswith("pml-aug: ") and len(said.splitlines()) == 1, (words, said)
        statuses.append(status)
    assert statuses.count(2) > len(statuses) / 4 and statuses.count(0) > len(statuses) / 40  # both kinds were tried
