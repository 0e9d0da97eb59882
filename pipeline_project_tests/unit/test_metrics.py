"""The embedded metric format as CloudWatch takes it, and what `pipeline metrics` makes of it."""

import json
import logging

import pytest

from pipeline_project import logs
from pipeline_project.cli.metrics import figures
from pipeline_project.notify.metrics import DIMENSIONS, UNITS, emit, line

AT = 1_700_000_000.0
CLOUDWATCH_UNITS = {"Seconds", "Bytes", "Count", "Milliseconds", "Percent"}


def test_a_line_is_what_cloudwatch_takes() -> None:
    document = json.loads(line("prod", {"RecordsLoaded": 3, "BatchBytes": 10}, at=AT, source="crm"))
    assert document == {
        "_aws": {
            "Timestamp": 1_700_000_000_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Pipeline",
                    "Dimensions": [["Environment"], ["Environment", "Source"]],
                    "Metrics": [{"Name": "RecordsLoaded", "Unit": "Count"}, {"Name": "BatchBytes", "Unit": "Bytes"}],
                }
            ],
        },
        "Environment": "prod",
        "Source": "crm",
        "RecordsLoaded": 3,
        "BatchBytes": 10,
    }
    assert set(UNITS.values()) <= CLOUDWATCH_UNITS


def test_a_metric_that_nobody_knows_is_a_bug() -> None:
    for values, of in (({"RecordsLoded": 1}, {}), ({"RecordsLoaded": 1}, {"operation": "x"}), ({}, {"colour": "x"})):
        with pytest.raises(KeyError):
            emit("prod", {**values, "CacheHits": 1}, **of)
    assert set().union(*DIMENSIONS.values()) <= set(UNITS)


def test_figures_of_many_lines(capsys: pytest.CaptureFixture[str]) -> None:
    emit("local", {"RecordsLoaded": 3, "IngestLagSeconds": 0.5}, source="crm")
    emit("local", {"RecordsLoaded": 4}, source="erp")
    lines = capsys.readouterr().out.splitlines()
    strangers = [
        "",
        "no JSON",
        '{"_aws": 1}',
        '{"_aws": {"CloudWatchMetrics": [{"Namespace": "Theirs"}], "Timestamp": 1}}',
    ]
    found = figures([*lines, *strangers, *lines], since=0)  # Dagster passes on what it keeps: lines come twice
    assert {key: (figure.count, figure.total) for key, figure in found.items()} == {
        ("RecordsLoaded", "all"): (2, 7),
        ("RecordsLoaded", "crm"): (1, 3),
        ("RecordsLoaded", "erp"): (1, 4),
        ("IngestLagSeconds", "all"): (1, 0.5),
        ("IngestLagSeconds", "crm"): (1, 0.5),
    }
    assert figures(lines, since=float("inf")) == {}


def test_a_log_line_says_what_it_is_about() -> None:
    record = logging.makeLogRecord({"name": "pipeline.jobs", "levelname": "WARNING", "msg": "try %d", "args": (2,)})
    record.object_id = 7
    with logs.about(run_id="r", job_id="j"), logs.about(source="crm"):
        said = json.loads(logs.JsonLines().format(record))
    assert said.pop("timestamp").endswith("Z")
    about = {"run_id": "r", "job_id": "j", "source": "crm", "object_id": 7}
    assert said == {"level": "WARNING", "logger": "pipeline.jobs", "message": "try 2", **about}
    assert "run_id" not in json.loads(logs.JsonLines().format(record))


def test_an_error_is_one_line_too() -> None:
    try:
        raise ValueError("of two\nlines")
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (ValueError, error, error.__traceback__)})
    text = logs.JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: of two" in json.loads(text)["exception"]


def test_it_is_set_up_once() -> None:
    logger = logging.getLogger(logs.LOGGER)
    handlers, level = list(logger.handlers), logger.level
    try:
        logs.configure()
        logs.configure()
        assert sum(isinstance(each.formatter, logs.JsonLines) for each in logger.handlers) == 1
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
