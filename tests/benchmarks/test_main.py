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
