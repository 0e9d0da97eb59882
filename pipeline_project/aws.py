"""boto3 clients from the settings, one construction for all of them. Clients are passed on, never looked up."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline_project.settings import Settings

CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    # Emulators and other S3 servers are reached by address, where a bucket cannot be a host name.
    s3={"addressing_style": "path"},
)


def client(settings: Settings, service: str, *, attempts: int = 5) -> Any:
    """A boto3 client for `service` (`s3`, `sqs`, `dynamodb`, `sns`, `secretsmanager`, …). Thread-safe; make it once.

    `attempts` of one call: the fifth begins up to 15 seconds after the first, the third up to 3.
    """
    return boto3.client(
        service,  # pyright: ignore[reportArgumentType, reportCallIssue] the overloads know only literal names
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
        config=CONFIG.merge(Config(retries={"mode": "standard", "max_attempts": attempts})),
    )


def is_transient(error: BaseException) -> bool:
    """Return whether AWS was busy or could not be reached, after all the retries of the client itself."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        return status >= 500 or "Throttl" in code or "Exceeded" in code
    return isinstance(error, BotoCoreError)
