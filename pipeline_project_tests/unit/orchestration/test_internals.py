"""What is used of Dagster's internals. If one of these fails after an upgrade, read what has changed before mending it."""

import inspect
import json
import signal
from typing import Any

import dagster as dg
import pytest
from dagster._cli import api
from dagster._core.execution import context_creation_job
from dagster._core.launcher import DefaultRunLauncher
from dagster._daemon.monitoring import run_monitoring
from dagster._utils import interrupts
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage
from sqlalchemy.pool import NullPool

from pipeline_project.orchestration.compatibility import internals, run_logger
from pipeline_project.orchestration.compatibility.pooled_storage import SCHEMA_QUESTIONS, PooledPostgresStorage
from pipeline_project.orchestration.workers.launcher import WarmRunLauncher

STORAGES = (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage)
SOMEWHERE = {"hostname": "127.0.0.1", "port": 1, "db_name": "d", "username": "u", "password": "p"}


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    context.log.info("a word")
    raise dg.Failure("it has said all")


@dg.job
def speaking() -> None:
    speak()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg, "__version__", "1.14.0")


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_version_is_known() -> None:
    assert internals.are_known(), "try everything with the new version, then raise TESTED"


def test_a_worker_executes_what_the_command_of_a_process_does() -> None:
    expected = ["run_id", "instance", "write_stream_fn", "set_exit_code_on_failure"]
    assert parameters(api._execute_run_command_body) == expected
    command = api.execute_run_command.callback
    assert command and "_execute_run_command_body(" in inspect.getsource(command)


def test_the_launcher_has_no_method_but_those_that_are_called() -> None:
    theirs, ours = (
        {name for name in names if not name.startswith("_")}
        for names in (dir(DefaultRunLauncher), vars(WarmRunLauncher))
    )
    assert ours <= theirs


def test_interrupts_are_replaced_for_a_block() -> None:
    """A step is interrupted as Ctrl-C would, and a worker's run as that of a process of its own."""
    assert parameters(interrupts.raise_interrupts_as) == ["error_cls"]
    assert parameters(interrupts.capture_interrupts) == []
    with (
        pytest.raises(KeyboardInterrupt),
        interrupts.capture_interrupts(),
        interrupts.raise_interrupts_as(KeyboardInterrupt),
    ):
        signal.raise_signal(signal.SIGINT)


def test_monitoring_asks_for_the_health_of_runs_that_have_begun_and_of_no_others() -> None:
    """One that is being launched has no worker yet, and one that has ended has none any more."""
    asking = [
        name
        for name, function in inspect.getmembers(run_monitoring, inspect.isfunction)
        if "check_run_worker_health(" in inspect.getsource(function)
    ]
    assert asking == ["monitor_started_run"]
    iteration = inspect.getsource(run_monitoring.execute_run_monitoring_iteration)
    assert iteration.count("monitor_started_run(") == 1
    assert "status == DagsterRunStatus.STARTED:\n                monitor_started_run(" in iteration


def test_a_run_speaks_in_lines_of_json(capsys: pytest.CaptureFixture[str], instance: dg.DagsterInstance) -> None:
    run_logger.install()
    run = speaking.execute_in_process(instance=instance, raise_on_error=False)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {(line["run_id"], line["job_name"]) for line in lines} == {(run.run_id, "speaking")}
    assert ("a word", "speak") in {(line["message"], line.get("step")) for line in lines}
    assert "STEP_FAILURE" in {line.get("event") for line in lines}


@pytest.mark.usefixtures("unknown")
def test_a_run_of_an_unknown_dagster_speaks_as_it_always_did(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = object()
    monkeypatch.setattr(context_creation_job, "default_system_loggers", theirs)
    run_logger.install()
    assert context_creation_job.default_system_loggers is theirs  # pyright: ignore[reportPrivateImportUsage]


def engines() -> list[Any]:
    config = {"postgres_db": SOMEWHERE, "should_autocreate_tables": False, "secret": False}
    storage: Any = PooledPostgresStorage.from_config_value(None, config)
    return [storage.run_storage._engine, storage.event_log_storage._engine, storage.schedule_storage._engine]


def test_storages_take_their_connections_from_an_engine_and_have_what_is_asked_once() -> None:
    for storage in STORAGES:
        assert "create_pg_connection(self._engine)" in inspect.getsource(storage)
    assert all(any(hasattr(each, name) for each in STORAGES) for name in SCHEMA_QUESTIONS)
    [engine] = {*engines(), *engines()}
    assert not isinstance(engine.pool, NullPool)


@pytest.mark.usefixtures("unknown")
def test_the_connections_of_an_unknown_dagster_are_its_own() -> None:
    found = engines()
    assert len(set(found)) == len(found)
    assert all(isinstance(engine.pool, NullPool) for engine in found)
