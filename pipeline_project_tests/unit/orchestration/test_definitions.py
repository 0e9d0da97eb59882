"""What the definitions offer, without settings, database or network."""

from typing import Any

import dagster as dg
import pytest

from pipeline_project.analytics.catalogue import operations
from pipeline_project.canonical.checks import Check, checks
from pipeline_project.canonical.tables import tables
from pipeline_project.datasets.registry import datasets
from pipeline_project.definitions import defs
from pipeline_project.jobs.launch import DAGSTER_JOB
from pipeline_project.orchestration.assets.analytics import refreshed_operations, tables_read
from pipeline_project.orchestration.assets.checks import BUCKET_CHECK, SEVERITIES
from pipeline_project.orchestration.assets.ingest import IngestConfig
from pipeline_project.orchestration.automation.analytics_job import JobConfig
from pipeline_project.orchestration.names import ingest_key, landing_key, result_key, table_key
from pipeline_project.schema.dataset import Dataset
from pipeline_project.sources.registry import sources

REPOSITORY = defs.get_repository_def()
GRAPH = REPOSITORY.asset_graph
[ENTITIES] = [table_key(table) for table in tables() if table.name == "entities"]


def test_lineage_runs_from_the_bucket_to_the_results() -> None:
    for source in sources():
        assert GRAPH.get(ingest_key(source)).parent_keys == {landing_key(source)}
    for table in tables():
        assert GRAPH.get(table_key(table)).parent_keys == {ingest_key(source) for source in sources()}
    for operation in refreshed_operations():
        views = {table.name for table in tables() if f"analytics.{table.name}" in operation.statement.decode()}
        parents = {key.to_user_string().partition("__")[2] for key in GRAPH.get(result_key(operation.name)).parent_keys}
        assert views and parents == {*views, "objects"}, operation.name


@pytest.mark.parametrize("key", sorted(GRAPH.get_all_asset_keys()))
def test_every_asset_is_described(key: dg.AssetKey) -> None:
    node = GRAPH.get(key)
    assert node.group_name in {"landing", "canonical", "analytics"}
    assert node.description and node.owners and node.kinds
    assert not node.is_materializable or node.freshness_policy_or_from_metadata is not None


def test_every_operation_that_has_defaults_is_an_asset() -> None:
    names = {key.to_user_string() for key in GRAPH.get_all_asset_keys()}
    missing = {name for name in operations() if f"analytics__{name}" not in names}
    refreshed = {operation.name for operation in refreshed_operations()}
    assert missing == set(operations()) - refreshed
    assert {"relationship_network", "custom_complex_query"} <= missing


def test_every_check_is_there_and_says_what_it_is_about() -> None:
    found = {key.name for key in GRAPH.asset_check_keys}
    assert {check.name for check in checks()} | {"whole_objects", "reject_rate", BUCKET_CHECK} == found
    for check in checks():
        assert check.description.endswith("."), check.name
        assert check.severity == "error" or not check.blocking, f"{check.name}: only errors can block"


def test_what_the_rest_facade_launches_exists() -> None:
    job = REPOSITORY.get_job(DAGSTER_JOB["jobName"])
    assert REPOSITORY.name == DAGSTER_JOB["repositoryName"]
    assert [node.name for node in job.nodes] == ["run_operation"]


def test_everything_that_watches_is_switched_on() -> None:
    for sensor in REPOSITORY.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name
    for schedule in REPOSITORY.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING, schedule.name


def test_all_that_a_person_can_start_or_configure_is_described() -> None:
    for each in (*REPOSITORY.sensor_defs, *REPOSITORY.get_all_jobs()):
        assert each.name.startswith("__") or each.description, each.name
    for key in GRAPH.asset_check_keys:
        assert REPOSITORY.asset_graph.get_check_spec(key).description, key
    for config in (IngestConfig, JobConfig):
        assert all(field.description for field in config.model_fields.values())
    for job in REPOSITORY.get_all_jobs():
        if job.name in ("housekeeping", DAGSTER_JOB["jobName"]):
            assert all(node.definition.description for node in job.nodes)
    described = {sensor.name: str(sensor.description) for sensor in REPOSITORY.sensor_defs}
    compare = [name for name in described if "compares the bucket with the ledger" in described[name]]
    assert compare == ["landing_sensor_1"]


def test_columns_say_where_they_come_from() -> None:
    lineage = GRAPH.get(ingest_key("erp")).metadata["dagster/column_lineage"].deps_by_column
    revenue = lineage["entities/revenue"]
    aliases = ("financials.annualRevenue", "annualRevenue", "revenue")
    assert {dep.column_name for dep in revenue} == {f"entities/{alias}" for alias in aliases}
    assert {dep.asset_key for dep in revenue} == {landing_key("erp")}
    schema = GRAPH.get(ingest_key("erp")).metadata["dagster/column_schema"]
    types = {column.name: column.type for column in schema.columns}
    assert [types[f"entities/{name}"] for name in ("revenue", "employees", "name", "updated_at")] == [
        *("Decimal", "int", "str", "datetime")
    ]
    descriptions = {column.name: column.description for column in schema.columns}
    assert descriptions["entities/revenue"] == datasets()["entities"].record.model_fields["revenue"].description
    up = GRAPH.get(ENTITIES).metadata["dagster/column_lineage"].deps_by_column
    assert {dep.asset_key for dep in up["revenue"]} == {ingest_key(source) for source in sources()}


@pytest.mark.parametrize("dataset", datasets().values(), ids=lambda dataset: dataset.name)
def test_every_dataset_has_columns_from_the_folder_to_its_table(dataset: Dataset) -> None:
    [key] = [table_key(table) for table in tables() if table.name == dataset.table]
    lineage = GRAPH.get(key).metadata["dagster/column_lineage"].deps_by_column
    assert set(lineage) == {column.name for column in dataset.columns if column.field is not None}
    for source in sources():
        records = GRAPH.get(ingest_key(source)).metadata
        fields = {column.name for column in records["dagster/column_schema"].columns}
        folder = {column.name for column in GRAPH.get(landing_key(source)).metadata["dagster/column_schema"].columns}
        for column, deps in lineage.items():
            [dep] = [each for each in deps if each.asset_key == ingest_key(source)]
            assert dep.column_name in fields, column
            sent = records["dagster/column_lineage"].deps_by_column[dep.column_name]
            assert sent and {each.column_name for each in sent} <= folder


def test_columns_of_results_come_from_tables_that_are_read() -> None:
    for operation in refreshed_operations():
        node = GRAPH.get(result_key(operation.name))
        lineage = node.metadata["dagster/column_lineage"].deps_by_column
        assert {dep.asset_key for deps in lineage.values() for dep in deps} <= node.parent_keys


class Automation:
    """The ticks of the sensor that refreshes results, and what happens between them."""

    def __init__(self) -> None:
        self._instance = dg.DagsterInstance.ephemeral()
        self._cursor: Any = None

    def tick(self) -> set[dg.AssetKey]:
        """What it asks for."""
        results = dg.AssetSelection.groups("analytics")
        found = dg.evaluate_automation_conditions(defs, self._instance, asset_selection=results, cursor=self._cursor)
        self._cursor = found.cursor
        return {key for key in GRAPH.get_all_asset_keys() if found.get_num_requested(key)}

    def materialize(self, *keys: dg.AssetKey) -> None:
        for key in keys:
            self._instance.report_runless_asset_event(dg.AssetMaterialization(key))

    def check(self, check: Check, *, passed: bool) -> None:
        """It was evaluated, with this outcome."""
        severity = SEVERITIES[check.severity]
        evaluation = dg.AssetCheckEvaluation(table_key(check.table), check.name, passed, {}, severity=severity)
        self._instance.report_runless_asset_event(evaluation)


@pytest.fixture
def automation() -> Automation:
    """It has looked at everything once."""
    found = Automation()
    found.tick()
    return found


def readers_of_entities() -> set[dg.AssetKey]:
    quick = [operation for operation in refreshed_operations() if not (operation.long or operation.monthly)]
    return {result_key(each.name) for each in quick if "entities" in {table.name for table in tables_read(each)}}


def test_new_data_refreshes_what_depends_on_it(automation: Automation) -> None:
    automation.materialize(ENTITIES)
    requested = automation.tick()
    assert requested == readers_of_entities()
    assert result_key("time_series_patterns") not in requested
    assert result_key("multi_dimensional_analytics") not in requested
    assert automation.tick() == set()


def test_data_that_comes_just_after_a_request_is_not_forgotten(automation: Automation) -> None:
    automation.materialize(ENTITIES)
    requested = automation.tick()
    automation.materialize(*requested)
    automation.materialize(ENTITIES)
    assert automation.tick() == requested == readers_of_entities()
    automation.materialize(*requested)
    assert automation.tick() == automation.tick() == set()


@pytest.mark.parametrize("name", ["entities_from_known_objects", "objects_add_up"])
def test_no_result_is_made_of_a_table_while_its_blocking_check_fails(automation: Automation, name: str) -> None:
    [check] = [each for each in checks() if each.name == name and each.blocking]
    automation.check(check, passed=False)
    automation.materialize(ENTITIES)
    assert automation.tick() == automation.tick() == set()
    automation.check(check, passed=True)
    assert automation.tick() == readers_of_entities()
    assert automation.tick() == set()


def test_other_checks_stop_nothing(automation: Automation) -> None:
    for check in checks():
        automation.check(check, passed=check.blocking)
    automation.materialize(ENTITIES)
    assert automation.tick() == readers_of_entities()


def test_each_day_all_results_but_the_monthly_ones() -> None:
    def refreshed(job: str) -> set[dg.AssetKey]:
        return set(defs.get_repository_def().get_job(job).asset_layer.asset_graph.materializable_asset_keys)

    assert result_key("data_integrity_analysis") in refreshed("daily_refresh")
    monthly_only = refreshed("monthly_refresh") - refreshed("daily_refresh")
    assert monthly_only == {result_key(each.name) for each in refreshed_operations() if each.monthly}
    assert result_key("multi_dimensional_analytics") in monthly_only
