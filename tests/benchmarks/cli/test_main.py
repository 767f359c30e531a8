import subprocess
import sys

import pytest
import yaml

from benchmarks.__main__ import main


def test_a_misspelt_command_is_refused_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["siute", "quickstart"]) == 2
    assert "unknown command 'siute'; the nearest known one is 'suite'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], ["run", "suite", "report"]), (["run"], ["multi_similarity", "glyphs"]), (["suite"], ["quickstart", "seeds"])],
)
def test_help_lists_what_there_is(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        main([*arguments, "--help"])
    assert exit_status.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in words)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileExistsError(17, "File exists", "/a/report"), "pml-aug: /a/report: File exists\n"),
        (OSError(28, "No space left on device"), "pml-aug: No space left on device\n"),
        (OSError("no connection"), "pml-aug: no connection\n"),
    ],
)
def test_what_the_system_does_not_allow_is_said_in_one_sentence(
    error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> int:
        raise error

    monkeypatch.setattr("benchmarks.cli.report.main", failing)
    assert main(["report", "runs"]) == 1
    assert capsys.readouterr().err == sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["run", "loss=tripelt"], 2),
        (["run", "protocol.epochs=many"], 2),
        (["run", "--epochs", "3"], 2),
        (["run", "--cfg", "loss=triplet"], 0),
        (["suite", "--help"], 0),
        (["suite", "smoke", "sedes=[1]"], 2),
        (["suite", "smoke", "comparisons=[{loss: tripelt, methods: [none]}]"], 2),
    ],
)
def test_help_and_typing_errors_are_answered_without_torch(words: list[str], status: int) -> None:
    program = f"""
import sys
from benchmarks.__main__ import main
try:
    status = main({words})
except SystemExit as end:
    status = end.code
assert status == {status}, status
assert not {{"torch", "scipy", "PIL", "optuna"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--epochs", "3"], "unknown option --epochs: settings are written KEY=VALUE, here protocol.epochs=3"),
        (["run", "--batch-size=8"], "here protocol.batch_size=8"),
        (["run", "--epoch", "3", "seed=1"], "here protocol.epochs=3"),
        (["suite", "smoke", "--seed", "3"], "here seed=3"),
        (["report"], "the following arguments are required: RUNS"),
        (["report", "runs", "--margin", "wide"], "argument --margin"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_options_that_do_not_exist_are_answered_with_what_to_write(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert sentence in shown and len(shown.splitlines()) == 1


def test_the_composed_configuration_is_printed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cfg", "job", "loss=triplet", "seed=5"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["loss"]["name"], printed["seed"], printed["device"]) == ("triplet", 5, "auto")
