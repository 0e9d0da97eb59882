"""Pruning of runs, and partitions made ahead."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from pipeline_project.definitions import definitions
from pipeline_project.orchestration.automation import housekeeping
from pipeline_project.orchestration.automation.housekeeping import prune
from pipeline_project.services import Services
from pipeline_project_tests.fix_postgres import FreshDatabase

DAYS = dg.DailyPartitionsDefinition("2025-01-01")
KEY = dg.AssetKey("a")


@dg.asset(key=KEY, partitions_def=DAYS)
def a() -> None: ...


def materialize(instance: dg.DagsterInstance, day: str) -> str:
    return dg.materialize([a], instance=instance, partition_key=day).run_id


def test_what_was_last_said_of_a_partition_stays(instance: dg.DagsterInstance) -> None:
    first, second, other = (materialize(instance, day) for day in ("2025-01-01", "2025-01-01", "2025-01-02"))
    going = str(uuid.uuid4())
    instance.add_run(dg.DagsterRun(job_name="x", run_id=going, status=dg.DagsterRunStatus.STARTED))
    assert prune(instance, datetime.now(UTC) - timedelta(days=1)) == 0
    assert prune(instance, datetime.now(UTC) + timedelta(days=1)) == 1
    assert {run.run_id for run in instance.get_runs()} == {second, other, going}
    assert not instance.all_logs(first)
    assert instance.get_materialized_partitions(KEY) == {"2025-01-01", "2025-01-02"}


def test_what_a_run_printed_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: { enabled: false }", "utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        old, new = (materialize(instance, "2025-01-01") for _ in range(2))
        printed = {run_id: tmp_path / "storage" / run_id for run_id in (old, new)}
        assert printed[old].is_dir() and printed[new].is_dir()
        assert prune(instance, datetime.now(UTC) + timedelta(days=1)) == 1
    assert not printed[old].exists()
    assert printed[new].is_dir()


def test_more_runs_than_fit_on_a_page(instance: dg.DagsterInstance) -> None:
    for _ in range(450):
        instance.add_run(dg.DagsterRun(job_name="x", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.SUCCESS))
    assert prune(instance, datetime.now(UTC) + timedelta(days=1)) == 450
    assert instance.get_runs_count() == 0


def test_the_job(platform: Services, instance: dg.DagsterInstance, database: FreshDatabase) -> None:
    run = definitions(platform).get_repository_def().get_job("housekeeping").execute_in_process(instance=instance)
    assert run.success
    made = [month_after(months) for months in range(5)]
    with database.owner.connect() as connection:
        found = [connection.execute("SELECT to_regclass('canonical.' || %s)", (name,)).fetchone() for name in made]
    assert [name is not None for (name,) in filter(None, found)] == [True, True, True, True, False], (
        "three months ahead"
    )


def month_after(months: int) -> str:
    """Give the partition of the month that is so many months after this month."""
    today = datetime.now(UTC)
    number = today.year * 12 + today.month - 1 + months
    return f"time_series_data_{number // 12}_{number % 12 + 1:02}"


def test_each_kind_is_deleted_after_its_own_number_of_days(
    platform: Services, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: dict[str, datetime] = {}

    def note(name: str) -> Callable[[Any, datetime], int]:
        def noted(_: Any, before: datetime) -> int:
            bounds[name] = before
            return len(bounds)

        return noted

    for name in ("prune", "prune_confirmations", "prune_patches"):
        monkeypatch.setattr(housekeeping, name, note(name))
    platform.settings = msgspec.structs.replace(
        platform.settings, run_retention_days=7, confirmation_retention_days=400
    )
    began = datetime.now(UTC)
    run = definitions(platform).get_repository_def().get_job("housekeeping").execute_in_process(instance=instance)
    assert run.success
    days = {"prune": 7, "prune_confirmations": 400, "prune_patches": 400}
    for name, before in bounds.items():
        assert began <= before + timedelta(days=days[name]) <= datetime.now(UTC), name
    assert bounds.keys() == days.keys()


def test_a_run_of_the_bound_itself_stays(instance: dg.DagsterInstance) -> None:
    run_id = str(uuid.uuid4())
    instance.add_run(dg.DagsterRun(job_name="x", run_id=run_id, status=dg.DagsterRunStatus.SUCCESS))
    [record] = instance.get_run_records()
    assert prune(instance, record.create_timestamp) == 0
    assert prune(instance, record.create_timestamp + timedelta(seconds=1)) == 1
