"""The REST facade as clients meet it: the Lambda behind the emulator's API Gateway, deployed from bundle and template.

Dagster alone is stood in for, by a thread for each launched run that does what its op does.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from deploy import bundle
from deploy.cloudformation import deploy_app
from pipeline_project.jobs.launch import JOB_TAG
from pipeline_project.jobs.run import run_job
from pipeline_project.jobs.store import JobStore
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.settings import Settings
from pipeline_project_tests.fix_api import Cloud
from pipeline_project_tests.fix_aws import SECRET, Account, create_secrets
from pipeline_project_tests.fix_dagster import FakeDagster, serve
from pipeline_project_tests.fix_postgres import FreshDatabase, SharedServer, new_database

STACK = "pipeline-live"
CODE_BUCKET = "pipeline-live-code"


@dataclass(frozen=True)
class LiveApi:
    """`url` with the stage."""

    url: str
    cloud: Cloud
    database: FreshDatabase
    dagster: FakeDagster


@pytest.fixture(scope="session")
def live_api(aws_endpoint: str, postgres: SharedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    """One for the session; a test must not count on being the only one to use it."""
    with new_database(postgres) as database, serve_api(aws_endpoint, database, tmp_path_factory.mktemp("code")) as live:
        yield live


@contextmanager
def serve_api(aws_endpoint: str, database: FreshDatabase, folder: Path, allowed_origins: str = "") -> Iterator[LiveApi]:
    access = Settings(
        aws_endpoint_url=aws_endpoint,
        aws_access_key_id="000000000000",  # the account that functions run in
        aws_secret_access_key=SECRET,
        landing_bucket="",
        results_bucket="",
        landing_queue_url="",
        table_name="",
        events_topic_arn="",
    )
    code = folder / "api.zip"
    bundle.build(code, bundle.HOST)
    with ExitStack() as stack:
        dagster = stack.enter_context(serve())
        bare = stack.enter_context(closing(Account(access)))
        create_secrets(bare, database)
        bare.s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": access.aws_region})
        outputs = deploy_app(
            cloudformation=bare.client("cloudformation"),
            dynamodb=bare.dynamodb,
            s3=bare.s3,
            stack_name=STACK,
            code_bucket=CODE_BUCKET,
            bundle=code,
            parameters={
                "AllowedOrigins": allowed_origins,
                "AwsEndpointUrl": aws_endpoint,
                "DagsterUrl": dagster.url,
                "EnvironmentName": "test",
            },
            poll_seconds=0.05,
        )
        settings = msgspec.structs.replace(
            access,
            results_bucket=outputs["ResultsBucket"],
            table_name=outputs["TableName"],
            events_topic_arn=outputs["EventsTopicArn"],
            api_url=outputs["ApiUrl"],
            dagster_url=dagster.url,
        )
        account = stack.enter_context(closing(Account(settings)))
        live = LiveApi(outputs["ApiUrl"], Cloud(account), database, dagster)
        runs: list[threading.Thread] = []

        def start(tags: dict[str, str], run_id: str) -> None:
            runs.append(threading.Thread(target=_run, args=(settings, account, database, tags[JOB_TAG], run_id)))
            runs[-1].start()

        dagster.on_launch = start
        try:
            yield live
        finally:
            for run in runs:
                run.join(30)


def _run(settings: Settings, account: Account, database: FreshDatabase, job_id: str, run_id: str) -> None:
    cloud = Cloud(account)
    run_job(
        job_id,
        run_id,
        store=JobStore(cloud.dynamodb, settings.table_name),
        database=database.reader,
        s3=cloud.s3,
        settings=settings,
        notifier=Delivery(cloud.outbox(), Notifier(cloud.sns, settings.events_topic_arn)),
        beat_seconds=0.2,
    )
