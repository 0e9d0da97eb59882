"""All settings, typed and immutable, read from the environment.

A field `landing_bucket` is the variable `PIPELINE_LANDING_BUCKET`. No other module reads the environment, except that options
of the command line may name a variable. On a laptop, the local stack writes the variables to `.pipeline/stack.env`. This file
supplies the variables that are not set, so that `pipeline …` works in another terminal.

The structs are from msgspec and not from pydantic, because the Lambda function pays for the import at each cold start.
"""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec

from pipeline_project.errors import ConfigurationError

PREFIX = "PIPELINE_"
STACK_ENVIRONMENT_FILE = Path(".pipeline/stack.env")
RENAMED = {
    "api_open_jobs": "api_max_unfinished_jobs",
    "confirmation_days": "confirmation_retention_days",
    "landing_listens": "landing_long_polling",
    "local_ready_seconds": "local_start_timeout_seconds",
}
"""Old names of settings, with their new names. An old name works for one release."""


class FromEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """Settings whose fields are read from the environment."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ`. Default: the process environment, and `.pipeline/stack.env` for what it lacks.

        Raises ConfigurationError with one line that names each missing or malformed variable.
        """
        if environ is None:
            environ = {**_stack_environment(STACK_ENVIRONMENT_FILE), **os.environ}
        environ = _with_new_names(environ)
        given = {
            name: environ[PREFIX + name.upper()]
            for name in cls.__struct_fields__
            if environ.get(PREFIX + name.upper(), "") != ""
        }
        required = (f.name for f in msgspec.structs.fields(cls) if f.required)
        if missing := [PREFIX + name.upper() for name in required if name not in given]:
            raise ConfigurationError(
                f"not set: {', '.join(missing)} (on a laptop, `make run` writes them to {STACK_ENVIRONMENT_FILE})"
            )
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$.")
            raise ConfigurationError(f"{PREFIX}{path.rstrip('`').upper()}: {reason}") from None


class PluginSettings(FromEnvironment, frozen=True, kw_only=True):
    """Settings that find a company's own declarations. They are needed where there is no platform, too."""

    plugins: str | None = None
    """A folder of plug-ins, as docs/extending.md describes. Its code runs with the rights of the platform."""


class Settings(PluginSettings, frozen=True, kw_only=True):
    """Addresses and limits of the platform. Sizes are in bytes, times in seconds."""

    environment: str = "local"
    """Name of the deployment (`local`, `dev`, `staging`, `prod`)."""

    # --- AWS
    aws_region: str = "eu-central-1"
    aws_endpoint_url: str | None = None
    """Address of an emulator or of another S3 server. Unset for AWS itself."""
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    """Keys for `aws_endpoint_url`. Unset for AWS itself, where roles give credentials."""
    landing_bucket: str
    results_bucket: str
    landing_queue_url: str
    table_name: str
    """The DynamoDB table of job records, of the query cache and of the outbox."""
    events_topic_arn: str
    """The SNS topic for events about finished jobs and failed files."""

    # --- PostgreSQL: names of Secrets Manager secrets, each {"host","port","dbname","username","password"[,"sslmode"]}
    owner_secret: str = "pipeline/database/owner"
    loader_secret: str = "pipeline/database/loader"
    reader_secret: str = "pipeline/database/reader"

    # --- Dagster and REST
    dagster_url: str = "http://127.0.0.1:3000"
    """Address of the Dagster webserver. GraphQL is at `/graphql` below it."""
    run_retention_days: int = 30
    """Age at which Dagster's runs and their logs are deleted. The newest run of each asset and partition is kept."""
    api_url: str | None = None
    """Public address of the REST facade, for links."""
    api_allowed_origins: str = ""
    """Origins whose pages may call the REST facade (CORS), separated by commas. Each is compared as a whole."""
    api_authentication: Literal["none", "gateway"] = "none"
    """`gateway`: API Gateway must name the caller (API key, IAM or JWT authoriser). `none`: all callers count as one person."""
    api_max_unfinished_jobs: int = 20
    """Greatest number of unfinished jobs of one principal."""
    api_cache_seconds: int = 3_600
    """Lifetime of a cached result. If the data changes, the result is not used any more."""
    api_link_seconds: int = 900
    """Lifetime of a link to a result file."""

    traces: Literal["none", "x-ray"] = "none"
    """Where runs report their duration and the request that caused them (tracing.py)."""

    # --- Dagster on AWS (deploy/dagster/). The local stack does not use these settings.
    admin_secret: str = "pipeline/database/admin"
    """Secret of the database user who may create roles and databases. Only `pipeline migrate` uses it."""
    dagster_secret: str = "pipeline/database/dagster"
    """Secret of Dagster's own database. Each new connection reads it again."""
    dagster_logs_bucket: str | None = None
    """Bucket for the output of runs."""
    code_server_host: str | None = None
    """Host name of the code server's task. The code server listens on port 4000."""
    run_workers: str | None = None
    """`host:port` of the warm workers, which are in the code server's task."""
    run_task_definition: str | None = None
    """The ECS task definition of runs that get a task of their own."""

    # --- Ingestion
    landing_long_polling: bool = True
    """True if landing sensors wait for uploads within their ticks. Otherwise, each tick reads the queue once."""
    ingest_batch_objects: int = 200
    """Greatest number of objects in one ingest run."""
    ingest_batch_bytes: int = 256 * 1024 * 1024
    """Most bytes in one ingest run. A larger single object gets a run of its own."""
    ingest_heavy_bytes: int = 64 * 1024 * 1024
    """Size from which a batch runs in a process of its own (on AWS: a task), instead of in a warm worker."""
    ingest_claim_seconds: int = 900
    """Time for which a worker may hold an object. Then another worker may take it."""
    ingest_max_attempts: int = 5
    """Number of attempts after which an object is `failed`. Transient errors and deaths of the worker count as attempts."""
    ingest_object_seconds: int = 60
    ingest_object_seconds_per_megabyte: int = 10
    """Time limit for decoding and mapping an object: a constant, and more for each megabyte as it is stored in S3. The time in
    which PostgreSQL works does not count."""
    ingest_suspect_memory_bytes: int = 1024**3
    """Most memory of the process that loads a suspect: an object that a worker had open when it died. Two run at a time."""
    confirmation_retention_days: int = 35
    """Age at which confirmations are deleted. A row that arrives later may find that a long, unchanged version ended earlier
    than it did."""

    # --- Notifications
    notify_reject_share: float = 0.05
    """Share of rejected records from which an event about the object is sent over SNS."""

    # --- Analytics
    inline_rows: int = 1_000
    inline_bytes: int = 256 * 1024
    """A result above either limit goes to S3 as a file."""
    query_timeout_seconds: int = 25
    """Time limit of an inline query. API Gateway itself stops after 29 seconds."""
    job_timeout_seconds: int = 3_600
    job_retention_days: int = 30

    def environment_variables(self) -> dict[str, str]:
        """Return the variables from which `load` makes an equal object. Unset fields are left out."""
        return {
            PREFIX + name.upper(): str(value)
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        }


ORIGINS = r"^(https?://[^/,\s]+(,https?://[^/,\s]+)*)?$"
"""Origins as browsers send them, separated by commas. An origin with a slash at its end would never match."""


class LocalSettings(FromEnvironment, frozen=True, kw_only=True):
    """Settings of `make run` itself. They are needed before there is a platform."""

    api_allowed_origins: Annotated[str, msgspec.Meta(pattern=ORIGINS)] = ""
    """As in Settings, for the local REST facade."""

    local_start_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Longest wait for a part that starts. Unset: the start waits as long as the process of the part runs."""


def request_trace() -> str | None:
    """Return X-Ray's header of the request that Lambda handles now. Lambda sets the variable for each request."""
    return os.environ.get("_X_AMZN_TRACE_ID")


def _with_new_names(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Rename settings that have an old name, and warn about each. If both names are set, the new name counts."""
    renamed: dict[str, str] = {}
    for old, new in RENAMED.items():
        old_variable, new_variable = PREFIX + old.upper(), PREFIX + new.upper()
        if environ.get(old_variable, "") != "":
            # Python shows a FutureWarning to everybody, and a DeprecationWarning to developers only.
            warnings.warn(f"{old_variable} has a new name: set {new_variable} instead.", FutureWarning, stacklevel=3)
            renamed[new_variable] = environ.get(new_variable) or environ[old_variable]
    return {**environ, **renamed}


def _stack_environment(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text("utf-8").splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs if not name.startswith("#")}
