"""`pipeline health | verify | metrics | serve` as an operator or a container runs them: what they print, and their status."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline_project.cli.main import app
from pipeline_project.errors import ConfigurationError
from pipeline_project.notify.metrics import emit
from pipeline_project.services import Services
from pipeline_project.settings import Settings
from pipeline_project_tests.deploy.test_image import ON_AWS
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.fix_dagster import FakeDagster
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.integration.test_drills import list_and_load, upload

Pipeline = Callable[..., Result]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def dagster_url(dagster: FakeDagster, settings: Settings, aws: Account, database: FreshDatabase) -> str:
    """Of a Dagster whose database is there, too: of what is in it nothing is asked."""
    aws.secretsmanager.create_secret(Name=settings.dagster_secret, SecretString=database.secret("loader"))
    return dagster.url


@pytest.fixture
def pipeline(settings: Settings, dagster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """`pipeline …` in a folder of its own, with the settings in the environment; `changes` are settings, too."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **changes: str) -> Result:
        changed = {f"PIPELINE_{name.upper()}": value for name, value in changes.items()}
        found = {**settings.environment_variables(), "PIPELINE_DAGSTER_URL": dagster_url}
        variables = {"COLUMNS": "200", **found, **changed}
        return CliRunner(env=variables).invoke(app, list(arguments))

    return run


def test_health_of_a_sound_platform(pipeline: Pipeline, settings: Settings) -> None:
    done = pipeline("health")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "database: ok",
        f"table {settings.table_name}: ok",
        f"bucket {settings.results_bucket}: ok",
        f"queue {settings.landing_queue_url.rpartition('/')[2]}: ok",
        f"bucket {settings.landing_bucket}: ok",
        "reader's database: ok",
        "Dagster's database: ok",
        "Dagster: ok",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"loader_secret": "not/there"}, "database: the secret not/there does not exist, or has no value"),
        ({"loader_secret": "wrong"}, "database: PostgreSQL refuses the password of pipeline-loader"),
        ({"reader_secret": "wrong"}, "reader's database: PostgreSQL refuses the password of pipeline-reader"),
        ({"dagster_secret": "wrong"}, "Dagster's database: PostgreSQL refuses the password of dagster"),
        (
            {"dagster_url": NOBODY},
            f"Dagster: {NOBODY} does not answer (<urlopen error [Errno 111] Connection refused>)",
        ),
        ({"landing_bucket": "not-a-bucket"}, "bucket not-a-bucket: does not exist"),
        ({"results_bucket": "not-a-bucket"}, "bucket not-a-bucket: does not exist"),
        ({"landing_queue_url": f"{NOBODY}/0/not-a-queue"}, "queue not-a-queue: does not exist"),
    ],
)
def test_health_names_the_part_that_is_away_and_why(
    pipeline: Pipeline, aws: Account, database: FreshDatabase, changes: dict[str, str], told: str
) -> None:
    login = json.loads(database.secret("loader"))
    aws.secretsmanager.create_secret(Name="wrong", SecretString=json.dumps({**login, "password": "wrong"}))
    done = pipeline("health", **changes)
    assert done.exit_code == 1
    assert [line for line in done.output.splitlines() if not line.endswith(": ok")] == [told]
    assert login["password"] not in done.output


def test_health_where_nothing_of_aws_answers(pipeline: Pipeline) -> None:
    done = pipeline("health", aws_endpoint_url=NOBODY)
    assert done.exit_code == 1
    assert done.output.count("cannot be reached (EndpointConnectionError)") == 7, done.output


def test_a_wrong_setting_is_named(pipeline: Pipeline) -> None:
    for changes, told in (
        ({"table_name": ""}, "not set: PIPELINE_TABLE_NAME"),
        ({"inline_rows": "many"}, "PIPELINE_INLINE_ROWS: Expected `int`, got `str`"),
    ):
        error = pipeline("health", **changes).exception
        assert isinstance(error, ConfigurationError)  # which cli.main makes a line and status 1 of
        assert str(error).startswith(told) and "\n" not in str(error)


def test_verify(pipeline: Pipeline, platform: Services) -> None:
    upload(platform, "crm-data/first.json", range(3))
    assert list_and_load(platform) == ["loaded"]
    done = pipeline("verify")
    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == "Bucket, ledger and tables agree."
    assert "check entities_complete" in done.output  # told, and no reason to fail: it is the data's own quality
    upload(platform, "crm-data/later.json", range(3))
    done = pipeline("verify")
    assert done.exit_code == 1
    told = done.output.splitlines()
    assert told[:2] == ["1 objects of the bucket that the ledger does not know", "    crm-data/later.json"]
    assert told[-1] == "Bucket, ledger and tables do not agree."


def test_metrics_of_programs_and_functions(pipeline: Pipeline, aws: Account, tmp_path: Path) -> None:
    assert "Nothing was measured" in pipeline("metrics").output
    logs = tmp_path / ".pipeline" / "logs"
    logs.mkdir(parents=True)
    with (logs / "code-server.log").open("w") as log, redirect_stdout(log):
        emit("local", {"RecordsLoaded": 3, "IngestLagSeconds": 0.5}, source="crm")
        emit("local", {"RecordsLoaded": 4}, source="erp")
        emit("local", {"ObjectsSettled": 2}, state="failed")
    with (tmp_path / "function").open("w+") as said, redirect_stdout(said):
        emit("local", {"CacheHits": 1}, operation="simple_demo")
        said.seek(0)
        line = said.read()
    group = {"logGroupName": "/aws/cloudformation/pipeline/ApiLogs"}
    stream = {**group, "logStreamName": "one"}
    of_functions = aws.client("logs")
    of_functions.create_log_group(**group)
    of_functions.create_log_stream(**stream)
    at = json.loads(line)["_aws"]["Timestamp"]
    of_functions.put_log_events(**stream, logEvents=[{"timestamp": at, "message": line}])
    done = pipeline("metrics")
    assert done.exit_code == 0, done.output
    rows = {tuple(line.split()) for line in done.output.splitlines()}
    assert ("RecordsLoaded", "all", "2", "7", "3.50", "4.00", "4.00") in rows
    assert ("RecordsLoaded", "crm", "1", "3", "3.00", "3.00", "3.00") in rows
    assert ("ObjectsSettled", "failed", "1", "2", "2.00", "2.00", "2.00") in rows
    assert ("CacheHits", "simple_demo", "1", "1", "1.00", "1.00", "1.00") in rows


def test_a_service_waits_and_says_why_until_what_it_needs_is_there(
    settings: Settings, aws: Account, database: FreshDatabase, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").touch()
    variables = {**settings.environment_variables(), **ON_AWS, "PIPELINE_DAGSTER_SECRET": "later"}
    command = [Path(sys.executable).with_name("pipeline"), "serve", "daemon", "--dagster-home", str(tmp_path)]
    with subprocess.Popen(command, env=variables, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr
        try:
            said = [json.loads(service.stderr.readline())["message"] for _ in range(2)]
            aws.secretsmanager.create_secret(Name="later", SecretString=database.secret("loader"))
            while "starting" not in said[-1]:
                said.append(json.loads(service.stderr.readline())["message"])
        finally:
            service.kill()
    why = "Dagster's database: the secret later does not exist, or has no value"
    assert said[:2] == [f"waiting 1 s: {why}", f"waiting 2 s: {why}"]
    assert said[-1] == "starting daemon"
