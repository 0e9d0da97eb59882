"""What the bodies of assets, ops and sensors work with. Made on first use, in the process that uses it: loading the
definitions needs no settings, and a forked worker inherits no connection.
"""

import threading
from functools import cached_property
from typing import Any

from pipeline_project import aws
from pipeline_project.database import Database, Role
from pipeline_project.ingest.discovery import Landing
from pipeline_project.jobs.outbox import Outbox
from pipeline_project.jobs.store import JobStore
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project.settings import Settings


class Platform:
    """Settings, clients and databases of one deployment. Safe to share between threads."""

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings` are read from the environment when first needed, unless given."""
        self._given = settings
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}
        self._databases: dict[Role, Database] = {}

    @cached_property
    def settings(self) -> Settings:
        return self._given or Settings.load()

    def client(self, service: str) -> Any:
        """The boto3 client of a service. Making two at once is what boto3 cannot do, hence the lock."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = aws.client(self.settings, service)
            return self._clients[service]

    def database(self, role: Role) -> Database:
        with self._lock:
            if role not in self._databases:
                self._databases[role] = Database.from_settings(self.settings, role, self.client("secretsmanager"))
            return self._databases[role]

    @property
    def loader(self) -> Database:
        return self.database("loader")

    @property
    def reader(self) -> Database:
        return self.database("reader")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def xray(self) -> Any:
        """None unless traces are on. It tries once: whoever waits for it is a run that has done its work."""
        if self.settings.traces == "none":
            return None
        with self._lock:
            if "xray" not in self._clients:
                self._clients["xray"] = aws.client(self.settings, "xray", attempts=1)
            return self._clients["xray"]

    @property
    def landing(self) -> Landing:
        return Landing(self.loader, self.client("sqs"), self.s3, self.settings)

    @property
    def jobs(self) -> JobStore:
        return JobStore.from_settings(self.settings, self.client("dynamodb"))

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.client("dynamodb"), self.settings.table_name)

    @property
    def delivery(self) -> Delivery:
        return Delivery(self.outbox, Notifier(self.client("sns"), self.settings.events_topic_arn))

    def close(self) -> None:
        """Close the clients; they are made again when needed."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._databases.clear()
