"""Prepares the started servers for the platform: databases, secrets and the app stack of deploy/.

Template and function bundle are those of AWS. Another run is quick and changes nothing that is up to date.
"""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import boto3
from botocore.config import Config

from pipeline_project import plugins
from pipeline_project.canonical.migrations import create_database, migrate
from pipeline_project.database import Role
from pipeline_project.local.postgres import HOST, PostgresServer
from pipeline_project.local.state import DATABASE, ROLES
from pipeline_project.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
# The local platform runs from a checkout. deploy/ is beside the package and is not installed.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from deploy import bundle, cloudformation  # noqa: E402

DAGSTER_DATABASE = "dagster"
STACK = "pipeline-local"
CODE_BUCKET = "pipeline-local-code"
REGION = "eu-central-1"
ACCESS_KEY_ID = "000000000000"
"""Access key ID, which the emulator takes as the account. The secret key belongs to this platform alone."""
SECRETS: dict[Role, str] = {role: f"pipeline/database/{role}" for role in ROLES}
DAGSTER_SECRET = "pipeline/database/dagster"  # noqa: S105 the name of one


def create_dagster_database(server: PostgresServer, passwords: Mapping[str, str]) -> None:
    """Create database and role of Dagster's own storage. Dagster creates its tables."""
    admin = server.conninfo(passwords["postgres"])
    create_database(admin, DAGSTER_DATABASE, owner=DAGSTER_DATABASE, password=passwords["dagster"])


def migrate_database(server: PostgresServer, passwords: Mapping[str, str]) -> None:
    migrate(server.conninfo(passwords["postgres"], dbname=DATABASE), {role: passwords[role] for role in ROLES})


def client(endpoint: str, secret: str, service: str) -> Any:
    """Make a boto3 client for the emulator, before there are settings."""
    return boto3.client(
        service,  # pyright: ignore[reportArgumentType, reportCallIssue] the overloads know only literal names
        endpoint_url=endpoint,
        region_name=REGION,
        # Without the proxy that the machine may use for other addresses.
        config=Config(s3={"addressing_style": "path"}, proxies={}),
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=secret,
    )


def store_secrets(endpoint: str, server: PostgresServer, passwords: Mapping[str, str]) -> None:
    """Store the logins of the platform in Secrets Manager, as on AWS."""
    secrets_manager = client(endpoint, passwords["aws"], "secretsmanager")
    logins = {
        **{SECRETS[role]: (f"pipeline_{role}", passwords[role], DATABASE) for role in ROLES},
        DAGSTER_SECRET: (DAGSTER_DATABASE, passwords["dagster"], DAGSTER_DATABASE),
    }
    for name, (user, password, database) in logins.items():
        address = {"host": HOST, "port": server.port, "dbname": database}
        value = json.dumps({**address, "username": user, "password": password, "sslmode": "disable"})
        try:
            if secrets_manager.get_secret_value(SecretId=name)["SecretString"] != value:
                secrets_manager.put_secret_value(SecretId=name, SecretString=value)
        except secrets_manager.exceptions.ResourceNotFoundException:
            secrets_manager.create_secret(Name=name, SecretString=value)


def build_bundle(path: Path) -> None:
    """Build the zip of the API function for this interpreter, with which the emulator runs it, if its sources changed."""
    bundle.build(path, bundle.HOST)


def deploy(endpoint: str, secret: str, dagster_url: str, bundle_path: Path, *, allowed_origins: str = "") -> Settings:
    """Deploy the app stack; returns the settings that lead to everything in it.

    `allowed_origins` is for the function alone. In the returned settings, which are written to a file, it would outlive its use.
    """
    s3 = client(endpoint, secret, "s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    outputs = cloudformation.deploy_app(
        cloudformation=client(endpoint, secret, "cloudformation"),
        dynamodb=client(endpoint, secret, "dynamodb"),
        s3=s3,
        stack_name=STACK,
        code_bucket=CODE_BUCKET,
        bundle=bundle_path,
        parameters={
            "AllowedOrigins": allowed_origins,
            "AwsEndpointUrl": endpoint,
            "DagsterUrl": dagster_url,
            "EnvironmentName": "local",
            "ReaderCredentials": SECRETS["reader"],
        },
        poll_seconds=0.1,
    )
    return Settings(
        aws_region=REGION,
        aws_endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=secret,
        landing_bucket=outputs["LandingBucket"],
        results_bucket=outputs["ResultsBucket"],
        # The emulator gives the port that it had when the queue was created.
        landing_queue_url=urlunsplit(urlsplit(endpoint)[:2] + urlsplit(outputs["LandingQueueUrl"])[2:]),
        table_name=outputs["TableName"],
        events_topic_arn=outputs["EventsTopicArn"],
        owner_secret=SECRETS["owner"],
        loader_secret=SECRETS["loader"],
        reader_secret=SECRETS["reader"],
        dagster_secret=DAGSTER_SECRET,
        dagster_url=dagster_url,
        api_url=outputs["ApiUrl"],
        # As a whole path, since other terminals and servers may be in another folder.
        plugins=str(folder) if (folder := plugins.folder()) else None,
    )
