"""Logs of runs as lines of JSON, from level INFO: in warm workers, in processes and tasks of runs, and in the code server.

Dagster stores every event in its database and shows it in its UI. Operators read these lines next to the platform's own.
"""

import logging
from typing import Any

import dagster as dg

from pipeline_project import logs
from pipeline_project.orchestration.compatibility import internals

LOGGER = "pipeline.runs"
META = "dagster_meta"
"""Attribute of a log record in which Dagster stores run, step and event."""


class RunLines(logs.JsonLines):
    """A formatter with the fields `run_id`, `job_name`, `step` and `event` instead of Dagster's text."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        about: dict[str, Any] = getattr(record, META, {})
        event = about.get("dagster_event")
        found = {
            "message": about.get("orig_message"),
            "run_id": about.get("run_id"),
            "job_name": about.get("job_name"),
            "step": about.get("step_key"),
            "event": event.event_type_value if event else None,
            # Dagster's own text ends with the traceback.
            "detail": record.getMessage() if record.levelno >= logging.ERROR else None,
        }
        return {name: value for name, value in found.items() if value is not None}


@dg.logger
def run_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logs.StandardError(RunLines()))
    return logger


def install() -> None:
    """Install the logger for all runs and all loggers of this process.

    Dagster uses the loggers of definitions only for runs whose configuration names them. Its fallback is coloured text, and
    no setting changes it.
    """
    logs.configure()
    if not internals.are_known():
        return
    from dagster._core.execution import context_creation_job  # noqa: PLC0415 an unknown one may not have it

    context_creation_job.default_system_loggers = _loggers  # pyright: ignore[reportPrivateImportUsage] see above


def _loggers(_instance: dg.DagsterInstance | None) -> list[tuple[dg.LoggerDefinition, dict[str, Any]]]:
    return [(run_logger, {})]
