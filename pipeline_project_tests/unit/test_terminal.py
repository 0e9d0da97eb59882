"""What commands print: nothing is lost, and nothing of a stranger's steers the terminal."""

import json
import logging
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from pipeline_project.cli import main as cli
from pipeline_project.ingest.ledger import COUNTS
from pipeline_project.local.examples import Upload, show
from pipeline_project.logs import JsonLines
from pipeline_project.terminal import print_line, print_table

KEY = "crm-data/" + "x" * 300


def test_a_long_key_is_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("object", "state", rows=[(KEY, "failed")])
    assert KEY in capsys.readouterr().out


def test_a_long_key_goes_on_in_the_next_line_of_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    print_table("object", "state", rows=[(KEY, "failed")])
    shown = capsys.readouterr().out
    assert shown.count("x") == 300
    assert "…" not in shown


def test_what_others_wrote_is_no_markup_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("object", rows=[("\x1b[2J\x1b]0;owned\x07[red]a\tb",)], title="[red]\x1b")
    print_line("\x9b31m [bold]\r")
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(shown)
    assert "\\x1b[2J\\x1b]0;owned\\x07[red]a" in shown
    assert "\\x9b31m [bold]\\x0d" in shown


HIDDEN = "\n\u202e\u2066\u200f\u2028\ufeff\u200b\x7f\U000e0041"
ESCAPED = r"\x0a\u202e\u2066\u200f\u2028\ufeff\u200b\x7f\U000e0041"


def test_a_key_cannot_add_a_line_or_turn_the_text_around(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("object", "state", rows=[(f"crm-data/{HIDDEN}x", "failed")])
    print_line(f"crm-data/{HIDDEN}y", "red")
    shown = capsys.readouterr().out
    assert not ({*HIDDEN} - {"\n"}) & set(shown)
    assert f"crm-data/{ESCAPED}x" in shown
    assert f"crm-data/{ESCAPED}y\n" in shown


def test_names_of_any_script_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    names = "Müller\u00a0AG 漢字\u3000株式会社 مثال हिन्दी 😀"
    print_line(names)
    assert names in capsys.readouterr().out


def test_examples_show_keys_and_reasons_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    key = f"crm-data/{HIDDEN}[red]"
    row = {"key": key, "state": "failed", "records": 0, "error_message": f"is [bold] {HIDDEN}", "error_line": 1}
    counts = dict.fromkeys(COUNTS, 0)
    rejected = {"key": key, "ordinal": 1, "line": None, "field": HIDDEN, "message": HIDDEN}
    show(Console(width=1000), Upload("b", {key: "1"}), [{**counts, **row, "error_column": None}], [rejected])
    shown = capsys.readouterr().out
    assert not ({*HIDDEN} - {"\n"}) & set(shown)
    assert shown.count(f"crm-data/{ESCAPED}[red]") == 3
    assert f"is [bold] {ESCAPED}" in shown


def test_a_line_of_the_log_is_printable_and_read_as_it_was() -> None:
    record = logging.makeLogRecord({"msg": "seen", "key": f"crm-data/{HIDDEN}é😀"})
    line = JsonLines().format(record)
    assert line.isprintable()
    assert json.loads(line)["key"] == f"crm-data/{HIDDEN}é😀"


def test_what_aws_refuses_is_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise ClientError({"Error": {"Code": "NoSuchBucket"}}, "ListObjectVersions")

    monkeypatch.setattr(cli, "app", refused)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(each in told for each in ("NoSuchBucket", "ListObjectVersions", "`pipeline health`"))


def test_where_nothing_runs_a_command_says_so_in_a_line() -> None:
    nowhere = {
        f"PIPELINE_{name}": value
        for name, value in {
            "LANDING_BUCKET": "b",
            "RESULTS_BUCKET": "b",
            "LANDING_QUEUE_URL": "http://127.0.0.1:1/q",
            "TABLE_NAME": "t",
            "EVENTS_TOPIC_ARN": "a",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }.items()
    }
    code = "from pipeline_project.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "status"], check=False, capture_output=True, text=True, env=nowhere, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make run" in done.stderr
