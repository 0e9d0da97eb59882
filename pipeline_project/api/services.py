"""What the routes work with, made when first needed and kept for as long as the Lambda lives.

psycopg (0.17 s) and boto3 (0.3 s) are imported on the way: a cold start pays for what the request needs.
"""

from contextlib import ExitStack, closing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline_project.settings import Settings

if TYPE_CHECKING:
    from pipeline_project.api.kept_database import KeptDatabase
    from pipeline_project.jobs.cache import QueryCache
    from pipeline_project.jobs.store import JobStore


ATTEMPTS = 3
"""Of a call to AWS: somebody waits, and may well ask again."""


class Services:
    """Injectable whole: a test makes one from settings of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()
        self._clients: dict[str, Any] = {}

    def close(self) -> None:
        """Let go of all connections. A Lambda is just frozen instead."""
        self._opened.close()

    def client(self, name: str) -> Any:
        """The boto3 client of a service, made once."""
        if name not in self._clients:
            from pipeline_project import aws  # noqa: PLC0415

            client = aws.client(self.settings, name, attempts=ATTEMPTS)
            self._clients[name] = self._opened.enter_context(closing(client))
        return self._clients[name]

    @property
    def dynamodb(self) -> Any:
        return self.client("dynamodb")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def database(self) -> "KeptDatabase":
        from pipeline_project.api.kept_database import KeptDatabase  # noqa: PLC0415

        kept = KeptDatabase.from_settings(self.settings, "reader", self.client("secretsmanager"))
        return self._opened.enter_context(closing(kept))

    @cached_property
    def jobs(self) -> "JobStore":
        from pipeline_project.jobs.store import JobStore  # noqa: PLC0415

        return JobStore.from_settings(self.settings, self.dynamodb)

    @cached_property
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
