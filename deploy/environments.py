"""The typed settings of each AWS environment, read from deploy/settings/<name>.toml. What differs between environments is
there; what is the same everywhere is in the stacks.

A missing, unknown or malformed setting is one line that names file and setting, and nothing is synthesised.
"""

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline_project.errors import ConfigurationError

FOLDER = Path(__file__).with_name("settings")
NAMES = ("dev", "staging", "prod")

# What CloudWatch Logs admits.
Retention = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
Positive = Annotated[int, Meta(ge=1)]
# CPU units of a Fargate task and the gibibytes that go with them.
MEMORY_OF_CPU = {256: (1, 2), 512: (1, 4), 1024: (2, 8), 2048: (4, 16), 4096: (8, 30), 8192: (16, 60)}


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Fargate task: 1024 CPU units are one vCPU. Fargate admits certain pairs only."""

    cpu: Literal[256, 512, 1024, 2048, 4096, 8192]
    memory_gib: Positive

    def __post_init__(self) -> None:
        least, most = MEMORY_OF_CPU[self.cpu]
        if not least <= self.memory_gib <= most:
            raise ValueError(f"memory_gib: {self.cpu} CPU units go with {least} to {most}")


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cidr: str
    """Addresses of the VPC, a /16 to /22; not those of a network that is to be connected with it."""
    availability_zones: Annotated[list[str], Meta(min_length=2, max_length=3)]

    def __post_init__(self) -> None:
        try:
            prefix = ipaddress.IPv4Network(self.cidr).prefixlen
        except ValueError as error:
            raise ValueError(f"cidr: {error}") from None
        if not 16 <= prefix <= 22:
            raise ValueError("cidr: must be a /16 to /22")
        if len(set(self.availability_zones)) != len(self.availability_zones):
            raise ValueError("availability_zones: one is named twice")


class Database(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    instance: Annotated[str, Meta(pattern=r"^[a-z0-9]+\.[a-z0-9]+$")]
    """Class of the RDS instance without `db.`, such as `t4g.medium`."""
    multi_az: bool
    storage_gib: Annotated[int, Meta(ge=20)]
    most_storage_gib: Annotated[int, Meta(ge=22)]
    """RDS grows the storage by itself up to this."""
    backup_days: Annotated[int, Meta(ge=1, le=35)]
    deletion_protection: bool
    temp_file_gib: Positive
    """Most temporary files of one session (`temp_file_limit`): a query that sorts too much fails before the disk is full."""
    insights_days: Literal[7, 465]
    """How long the load of each statement is kept; 465 days are Database Insights' advanced mode, which costs."""
    rotation_days: Annotated[int, Meta(ge=1, le=365)]
    """How often the passwords of the roles change."""

    def __post_init__(self) -> None:
        # What RDS asks of it, lest the deployment fail half an hour later.
        if 10 * self.most_storage_gib < 11 * self.storage_gib:
            raise ValueError(f"most_storage_gib: must be a tenth above storage_gib ({self.storage_gib}), or more")


class Api(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    authentication: Literal["api-key", "iam", "jwt"]
    """Who may call: holders of an API key, of IAM rights, or of a token of the Cognito user pool."""
    user_pool_arn: (
        Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:cognito-idp:[a-z0-9-]+:\d{12}:userpool/\S+$")] | None
    ) = None
    allowed_origins: list[Annotated[str, Meta(pattern=r"^https?://[^/,\s]+$")]]
    """Origins whose pages may call the API (CORS)."""
    requests_per_second: Positive
    """Steady rate that the API admits; a burst may be twice that."""
    requests_per_day: Positive
    """Quota of one API key."""
    concurrency: Positive | None = None
    """Most calls of the function at a time, reserved for it; unset: what the account has left."""
    firewall: bool
    """AWS WAF in front of the API."""

    def __post_init__(self) -> None:
        if (self.authentication == "jwt") != (self.user_pool_arn is not None):
            raise ValueError("user_pool_arn: belongs to authentication jwt, and to it alone")


class Dagster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    webserver: Task
    most_webservers: Positive
    """Tasks that the webserver may be scaled to."""
    daemon: Task
    code_server: Task
    """Also what light runs share: they start in it."""
    run: Task
    """A heavy run has a task of its own."""


Email = Annotated[str, Meta(pattern=r"^\S+@\S+\.\S+$")]


class Monitoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    emails: Annotated[list[Email], Meta(min_length=1)]
    """Who hears of alarms; each address is asked by AWS to confirm."""
    event_emails: list[Email] = []
    """Who hears of objects that failed or lost many rows, and of runs that failed."""
    lag_seconds: Positive
    """An upload must be loaded within this."""
    job_p95_seconds: Positive
    api_p95_milliseconds: Positive
    monthly_budget_usd: Positive


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One environment. `name` is that of the file."""

    name: Literal["dev", "staging", "prod"]
    region: Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    account: Annotated[str, Meta(pattern=r"^\d{12}$")] | None = None
    """Deploys to this account only; unset: to that of the credentials at hand."""
    log_retention_days: Retention
    job_result_days: Annotated[int, Meta(ge=30)]
    """How long jobs and their result files are kept."""
    traces: bool
    """X-Ray traces of the API, its function, and runs."""
    network: Network
    database: Database
    api: Api
    dagster: Dagster
    monitoring: Monitoring

    def __post_init__(self) -> None:
        if strange := [zone for zone in self.network.availability_zones if not zone.startswith(self.region)]:
            raise ValueError(f"network.availability_zones: {', '.join(strange)} is not in {self.region}")

    @property
    def internal_domain(self) -> str:
        """Where tasks find each other by name, inside the VPC only."""
        return f"pipeline-{self.name}.internal"

    @property
    def dagster_url(self) -> str:
        return f"http://webserver.{self.internal_domain}:3000"


def load(name: str | None, folder: Path = FOLDER) -> Environment:
    """The environment of that name. ConfigurationError is one line that names the file and the setting."""
    if name not in NAMES:
        raise ConfigurationError(f"environment: {name!r} is not one of {', '.join(NAMES)} (cdk -c environment=…)")
    path = folder / f"{name}.toml"
    try:
        given = tomllib.loads(path.read_text("utf-8"))
        return msgspec.convert({**given, "name": name}, Environment)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$")
        setting = where.strip(".`")
        raise ConfigurationError(f"{path}: {setting + ': ' if setting else ''}{reason}") from None
