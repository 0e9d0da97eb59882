"""Logging, set up in one way for every process: a line of JSON for each record, with what it is about (object, job, run,
request). The names of the fields are those of the ledger and of the API.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

LOGGER = "pipeline"
"""Above all of this project's: `pipeline.<part>`."""
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 never changed, only replaced


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """What is logged in the block carries these fields, too (`run_id`, `job_id`, `source`, …)."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """`extra` of a call becomes fields of their own."""

    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_about.get(),
            **self.fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = msgspec.json.encode(line, enc_hook=str).decode()
        # JSON's own escapes, so that a key with characters that steer a terminal is still read as it is.
        return text if text.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in text)

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What belongs to this record alone; `message` among them takes the place of the record's own."""
        return {name: value for name, value in vars(record).items() if name not in STANDARD and value is not None}


def _escape(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


class StandardError(logging.Handler):
    """To the standard error as it is at that moment: Dagster replaces it while a step runs, to keep what is written."""

    def __init__(self, formatter: JsonLines) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def is_configured() -> bool:
    return any(isinstance(each, StandardError) for each in logging.getLogger(LOGGER).handlers)


def configure(level: int = logging.INFO) -> None:
    """This project's loggers: wherever its code runs in somebody else's process. Doing it again changes nothing."""
    if is_configured():
        return
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    logger.addHandler(StandardError(JsonLines()))


def configure_process() -> None:
    """Where a process begins: warnings, and the exception that ends it, become lines of JSON, too."""
    configure()
    logging.captureWarnings(capture=True)
    warnings = logging.getLogger("py.warnings")
    if not warnings.handlers:
        warnings.addHandler(StandardError(JsonLines()))
    sys.excepthook = _log_and_end


def _log_and_end(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger(LOGGER).critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
