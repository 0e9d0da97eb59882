"""Every setting, typed, from the environment, in one frozen object.

Nothing else in the package reads the environment, but for options of the command line that name a variable. A field
`landing_bucket` is the variable `PIPELINE_LANDING_BUCKET`. On a laptop the local stack writes the variables to
`.pipeline/stack.env`, which stands in for what is not set, so that `pipeline …` works in another terminal. msgspec and not
pydantic: the Lambda pays for this import at each cold start.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec

from pipeline_project.errors import ConfigurationError

PREFIX = "PIPELINE_"
STACK_ENVIRONMENT_FILE = Path(".pipeline/stack.env")


class FromEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """Settings whose fields are read from the environment."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Settings from `environ` (default: the process environment over `.pipeline/stack.env`).

        Raises ConfigurationError with one line that names each missing or malformed variable.
        """
        if environ is None:
            environ = {**_stack_environment(STACK_ENVIRONMENT_FILE), **os.environ}
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
    """Where a company's own declarations are. They are needed where there is no platform, too."""

    plugins: str | None = None
    """A folder of plug-ins, as docs/extending.md describes. Its code runs with the rights of the platform."""


class Settings(PluginSettings, frozen=True, kw_only=True):
    """Where the parts are and how much they may take. Sizes are bytes, times are seconds."""

    environment: str = "local"
    """Name of the deployment (`local`, `dev`, `staging`, `prod`)."""

    # --- AWS
    aws_region: str = "eu-central-1"
    aws_endpoint_url: str | None = None
    """Set for an emulator or another S3 server; unset for AWS itself."""
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    """Keys for `aws_endpoint_url`; unset for AWS itself, where roles give credentials."""
    landing_bucket: str
    results_bucket: str
    landing_queue_url: str
    table_name: str
    """The DynamoDB table of job records, query cache and events to be sent."""
    events_topic_arn: str
    """The SNS topic that hears of job ends and ingest failures."""

    # --- PostgreSQL: names of Secrets Manager secrets, each {"host","port","dbname","username","password"[,"sslmode"]}
    owner_secret: str = "pipeline/database/owner"
    loader_secret: str = "pipeline/database/loader"
    reader_secret: str = "pipeline/database/reader"

    # --- Dagster and REST
    dagster_url: str = "http://127.0.0.1:3000"
    """The Dagster webserver; GraphQL is at `/graphql` below it."""
    run_retention_days: int = 30
    """After this long Dagster's runs and their logs are deleted, but for the newest of each asset and partition."""
    api_url: str | None = None
    """The public address of the REST facade, for links."""
    api_allowed_origins: str = ""
    """Origins whose pages may call the REST facade (CORS), separated by commas; each is compared as a whole."""
    api_authentication: Literal["none", "gateway"] = "none"
    """`gateway`: who is not named by API Gateway (API key, IAM or JWT authoriser) is refused. `none`: all are one person."""
    api_open_jobs: int = 20
    """Most jobs of one principal that are not at an end."""
    api_cache_seconds: int = 3_600
    """How long an answer is kept; it is not used after the data has changed in any case."""
    api_link_seconds: int = 900
    """How long a link to a result file works."""

    traces: Literal["none", "x-ray"] = "none"
    """Where runs tell how long they took, and of which request they are (tracing.py)."""

    # --- Dagster on AWS (deploy/dagster/); the local stack has its own ways
    admin_secret: str = "pipeline/database/admin"
    """Secret of the database user who may make roles and databases; `pipeline migrate` alone uses it."""
    dagster_secret: str = "pipeline/database/dagster"
    """Secret of Dagster's own database; read again at each new connection."""
    dagster_logs_bucket: str | None = None
    """Where the output of runs is kept."""
    code_server_host: str | None = None
    """Name under which the code server's task is found; it answers at port 4000."""
    run_workers: str | None = None
    """`host:port` of the warm workers, which are in the code server's task."""
    run_task_definition: str | None = None
    """The ECS task definition of runs that get a task of their own."""

    # --- Ingestion
    landing_listens: bool = True
    """Landing sensors wait for uploads within their ticks. Otherwise each tick looks once, as sensors mostly do."""
    ingest_batch_objects: int = 200
    """Most objects one ingest run is given."""
    ingest_batch_bytes: int = 256 * 1024 * 1024
    """Most bytes one ingest run is given (a larger single object is a run of its own)."""
    ingest_heavy_bytes: int = 64 * 1024 * 1024
    """A batch from this size on runs in a process (in AWS: a task) of its own, and not in a warm worker."""
    ingest_claim_seconds: int = 900
    """How long a worker may hold an object before another may take it."""
    ingest_max_attempts: int = 5
    """After this many attempts that ended in a transient failure, or in the death of the worker, an object is `failed`."""
    ingest_object_seconds: int = 60
    ingest_object_seconds_per_megabyte: int = 10
    """How long an object may be decoded and mapped: a constant, and more for each megabyte as it is stored in S3. Time in
    which PostgreSQL works does not count."""
    ingest_suspect_memory_bytes: int = 1024**3
    """Most memory of the process of one suspect: an object that a worker had open when it died. Two run at a time."""
    confirmation_days: int = 35
    """A row that is later than this may find the end of a state that did not change for long not quite where it was."""

    # --- Notifications
    notify_reject_share: float = 0.05
    """An object that lost this share of its records, or more, is told of over SNS."""

    # --- Analytics
    inline_rows: int = 1_000
    inline_bytes: int = 256 * 1024
    """A result above either bound goes to S3 as a file."""
    query_timeout_seconds: int = 25
    """Bound of an inline query; API Gateway itself gives up after 29."""
    job_timeout_seconds: int = 3_600
    job_retention_days: int = 30

    def environment_variables(self) -> dict[str, str]:
        """The variables that `load` would read back to this object; unset fields are left out."""
        return {
            PREFIX + name.upper(): str(value)
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None
        }


ORIGINS = r"^(https?://[^/,\s]+(,https?://[^/,\s]+)*)?$"
"""Origins as browsers send them, separated by commas. With a slash at its end, an origin would match none."""


class LocalSettings(FromEnvironment, frozen=True, kw_only=True):
    """Settings of `make run` itself, which are needed before there is a platform."""

    api_allowed_origins: Annotated[str, msgspec.Meta(pattern=ORIGINS)] = ""
    """As in Settings, for the local REST facade."""

    local_ready_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """The longest wait for a part that starts. Unset: the start waits as long as the part's process lives."""


def request_trace() -> str | None:
    """X-Ray's header of the request that Lambda answers just now; it sets the variable anew for each."""
    return os.environ.get("_X_AMZN_TRACE_ID")


def _stack_environment(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text("utf-8").splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs if not name.startswith("#")}
