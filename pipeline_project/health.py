"""Checks whether each part that the platform needs can be reached, and says in one line which part cannot, and why.

Serves `/health`, `pipeline health` and programs that wait for the parts before they start.
"""

import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline_project.database import Database
from pipeline_project.errors import PipelineError, Transient
from pipeline_project.settings import Settings

Check = Callable[[], object]
NOT_THERE = {"404", "NoSuchBucket", "NotFound", "ResourceNotFoundException", "QueueDoesNotExist", "NonExistentQueue"}
REFUSED = {"403", "AccessDenied", "AccessDeniedException", "Forbidden"}
DAGSTER_SECONDS = 5
NO_ITEM = {"pk": {"S": "HEALTH"}, "sk": {"S": "HEALTH"}}


def checks(settings: Settings, database: Database, client: Callable[[str], Any]) -> dict[str, Check]:
    """By the name of the part. `client` gives the boto3 client of a service."""
    queue = settings.landing_queue_url
    return {
        "database": lambda: answers(database),
        f"table {settings.table_name}": lambda: client("dynamodb").get_item(TableName=settings.table_name, Key=NO_ITEM),
        f"bucket {settings.results_bucket}": lambda: client("s3").head_bucket(Bucket=settings.results_bucket),
        f"queue {queue.rpartition('/')[2]}": lambda: client("sqs").get_queue_attributes(
            QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
        ),
    }


def landing_checks(settings: Settings, client: Callable[[str], Any]) -> dict[str, Check]:
    """What ingestion needs beside the rest; the REST facade has no right to it."""
    bucket = settings.landing_bucket
    return {f"bucket {bucket}": lambda: client("s3").head_bucket(Bucket=bucket)}


def dagster_checks(settings: Settings, secrets: Any) -> dict[str, Check]:
    """Dagster, seen from outside of it; the REST facade does without, as what it accepts is launched later."""
    database = Database.of_dagster(settings, secrets)
    return {"Dagster's database": lambda: answers(database), "Dagster": lambda: _serves(settings.dagster_url)}


def faults(parts: Mapping[str, Check]) -> dict[str, str]:
    """What is wrong with each part that cannot be used; nothing if all can."""
    found = {name: _fault(check) for name, check in parts.items()}
    return {name: fault for name, fault in found.items() if fault}


def answers(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("SELECT 1")


def _serves(dagster_url: str) -> None:
    try:
        urllib.request.urlopen(f"{dagster_url.rstrip('/')}/server_info", timeout=DAGSTER_SECONDS).close()  # noqa: S310 a setting
    except OSError as error:
        raise Transient(f"{dagster_url} does not answer ({error})") from error


def _fault(check: Check) -> str | None:
    try:
        check()
    except PipelineError as error:
        return str(error)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code.rpartition(".")[2] in NOT_THERE:
            return "does not exist"
        return "access is denied" if code in REFUSED else f"AWS answers {code}"
    except BotoCoreError as error:
        return f"cannot be reached ({type(error).__name__})"
    return None
