import pytest

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
        (FileExistsError(17, "File exists", "/a/report"), "python -m benchmarks: /a/report: File exists\n"),
        (OSError(28, "No space left on device"), "python -m benchmarks: No space left on device\n"),
        (OSError("no connection"), "python -m benchmarks: no connection\n"),
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
