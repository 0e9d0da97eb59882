"""Settings, clients and databases of one process, made on first use.

Each entry point makes one `Services` and hands it on: the API function, Dagster's definitions, each command. The settings are
loaded here and nowhere else. Imports are late, because a cold start of the function pays only for what its request needs:
psycopg takes 0.17 s and boto3 0.3 s.
"""

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from pipeline_project.settings import Settings

if TYPE_CHECKING:
    from pipeline_project.database import Database, Role
    from pipeline_project.ingest.discovery import Landing
    from pipeline_project.jobs.cache import QueryCache
    from pipeline_project.jobs.outbox import Outbox
    from pipeline_project.jobs.store import JobStore
    from pipeline_project.notify.delivery import Delivery

ATTEMPTS = 5
"""Calls to AWS before an error counts, if no person waits for the result."""
FEW_ATTEMPTS = {"xray": 1, "logs": 1}
"""Services whose loss does not matter, so that a run that has done its work need not wait for them."""


class Services:
    """Container of everything that outlives a single request or run. Safe to share between threads."""

    def __init__(
        self, settings: Settings | None = None, *, attempts: int = ATTEMPTS, keeps_connections: bool = False
    ) -> None:
        """Make an empty container.

        Without `settings`, they are loaded when they are first needed. Then Dagster's definitions load without settings, and a
        forked worker inherits no connection. `attempts` is for each call to AWS. With `keeps_connections`, each database hands
        out one connection again and again; only a process with one thread may ask for that.
        """
        self._given = settings
        self._attempts = attempts
        self._keeps_connections = keeps_connections
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}
        self._databases: dict[Role, Database] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close clients and kept connections. They are made again when needed."""
        with self._lock:
            for each in (*self._clients.values(), *self._databases.values()):
                each.close()
            self._clients.clear()
            self._databases.clear()

    @cached_property
    def settings(self) -> Settings:
        return self._given or Settings.load()

    def client(self, service: str) -> Any:
        """Give the boto3 client of a service. The lock is there because boto3 cannot make two clients at the same time."""
        with self._lock:
            if service not in self._clients:
                from pipeline_project import aws  # noqa: PLC0415

                attempts = FEW_ATTEMPTS.get(service, self._attempts)
                self._clients[service] = aws.client(self.settings, service, attempts=attempts)
            return self._clients[service]

    def database(self, role: "Role") -> "Database":
        """Give the database as a role sees it."""
        with self._lock:
            if role not in self._databases:
                from pipeline_project.database import Database, KeptDatabase  # noqa: PLC0415

                kind = KeptDatabase if self._keeps_connections else Database
                self._databases[role] = kind.from_settings(self.settings, role, self.client("secretsmanager"))
            return self._databases[role]

    @property
    def loader(self) -> "Database":
        return self.database("loader")

    @property
    def reader(self) -> "Database":
        return self.database("reader")

    @property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def xray(self) -> Any:
        """The client for traces; None if traces are off."""
        return None if self.settings.traces == "none" else self.client("xray")

    @property
    def landing(self) -> "Landing":
        from pipeline_project.ingest.discovery import Landing  # noqa: PLC0415

        return Landing(self.loader, self.client("sqs"), self.s3, self.settings)

    @property
    def jobs(self) -> "JobStore":
        from pipeline_project.jobs.store import JobStore  # noqa: PLC0415

        return JobStore.from_settings(self.settings, self.dynamodb)

    @property
    def cache(self) -> "QueryCache":
        from pipeline_project.jobs.cache import QueryCache  # noqa: PLC0415

        settings = self.settings
        return QueryCache(
            self.dynamodb,
            settings.table_name,
            lambda: self.s3,
            settings.results_bucket,
            seconds=settings.api_cache_seconds,
        )

    @property
    def outbox(self) -> "Outbox":
        from pipeline_project.jobs.outbox import Outbox  # noqa: PLC0415

        return Outbox(self.dynamodb, self.settings.table_name)

    @property
    def delivery(self) -> "Delivery":
        from pipeline_project.notify.delivery import Delivery  # noqa: PLC0415
        from pipeline_project.notify.events import Notifier  # noqa: PLC0415

        return Delivery(self.outbox, Notifier(self.client("sns"), self.settings.events_topic_arn))
