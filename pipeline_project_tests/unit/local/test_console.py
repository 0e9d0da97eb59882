"""Lines of the console, for a person and for a file."""

import pytest

from pipeline_project.local.console import GivenUp, StepConsole


def test_a_file_has_lines_of_140_characters() -> None:
    console = StepConsole()
    assert not console.is_terminal
    assert console.width == 140


def test_a_step_is_a_line_with_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    console = StepConsole()
    with console.step("first [bold]") as progress:
        progress.text = f"{progress.text} made precise"
    with pytest.raises(ZeroDivisionError), console.step("second"):
        raise ZeroDivisionError
    with pytest.raises(GivenUp), console.step("third"):
        raise GivenUp("another step failed")
    console.note("a note")
    first, second, note = capsys.readouterr().out.splitlines()
    assert first.startswith("✓ first [bold] made precise ")
    assert second.startswith("✗ second ")
    assert first.endswith(" 0.0 s") or first.endswith(" s")
    assert len(second) == len("✗ ") + 84 + len("   0.0 s")
    assert note == "! a note"


def test_a_note_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    console = StepConsole()

    def full(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(console, "print", full)
    console.note("a note")
