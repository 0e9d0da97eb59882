"""Dagster's PostgreSQL storage with pooled connections, and on AWS with a password that can be rotated at run time.

Without a pool, Dagster opens a connection for each event. That costs more than the rest of a short run. All instances of a
process share one pool, because Dagster creates an instance for each tick of a sensor.

Dagster reads PostgreSQL's catalog before most statements, to support older schemas. The storage caches positive results.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.auth import PgTokenProvider
from dagster_postgres.utils import create_pg_engine, get_conn_string, pg_config, pg_url_from_config
from sqlalchemy import Engine

from pipeline_project import database
from pipeline_project.orchestration.compatibility import internals
from pipeline_project.services import Services

KEPT = 4
"""Number of connections of a process that stay open."""
OVERFLOW = 20
"""Maximum number of additional connections. They are closed after use."""
RECYCLE_SECONDS = 600
KEPT_SECONDS = 2
"""Time until the secret is read again. Dagster itself tries to connect five times."""
EARLY_SECONDS = 300
"""A PgTokenProvider fetches a new password this long before the old one expires."""
SCHEMA_QUESTIONS = (
    "has_run_stats_index_cols",
    "has_bulk_actions_selector_cols",
    "has_backfill_id_column",
    "has_bulk_action_job_name_column",
    "has_backfill_tags_table",
    "has_secondary_index_table",
    "_has_instigators_table",
    "_has_asset_daemon_asset_evaluations_table",
    "_has_asset_key_col_on_connection",
)
"""Methods of the three storages that read the catalog. Each storage has some of them."""

_engines: dict[tuple[int, str], Engine] = {}
"""(process ID, address) -> engine. A forked process must not use the connections of its parent."""

_yes: set[tuple[Any, ...]] = set()


def _asked_once(question: Callable[..., bool], key: tuple[Any, ...]) -> Callable[..., bool]:
    """Return the function with its first True cached. A False can become True with the next migration."""

    def ask(*arguments: Any) -> bool:
        what = (*key, *(each for each in arguments if isinstance(each, str)))  # not the connection
        if what not in _yes and question(*arguments):
            _yes.add(what)
        return what in _yes

    return ask


class SecretPassword(PgTokenProvider):
    """A provider of the current password in the secret, for each new connection."""

    def __init__(self, secrets: Any, name: str) -> None:
        super().__init__()
        self._secrets = secrets
        self._name = name

    def login(self) -> dict[str, Any]:
        return database.login(self._secrets, self._name)

    def _fetch_token(self) -> tuple[str, float]:
        return self.login()["password"], time.time() + EARLY_SECONDS + KEPT_SECONDS


class PooledPostgresStorage(DagsterPostgresStorage):
    """The storage. It is configured like its parent or, with `secret: true`, by the secret of `PIPELINE_DAGSTER_SECRET`."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        ours = cast("dict[str, Any]", pg_config())  # a dict, whatever its type says
        return {**ours, "secret": dg.Field(bool, is_required=False, default_value=False)}

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride] as the parent's own
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        url, password = _from_secret() if config_value["secret"] else (pg_url_from_config(config_value), None)
        key = (os.getpid(), url)
        is_first = key not in _engines
        storage = DagsterPostgresStorage(
            postgres_url=url,
            should_autocreate_tables=is_first and config_value["should_autocreate_tables"],
            inst_data=inst_data,
            token_provider=password,
        )
        if not internals.are_known():
            return storage
        if is_first:
            engine = create_pg_engine(
                url,
                password,
                isolation_level="AUTOCOMMIT",
                pool_size=KEPT,
                max_overflow=OVERFLOW,
                pool_recycle=RECYCLE_SECONDS,
            )
            _engines.setdefault(key, engine)
        parts: list[Any] = [storage.run_storage, storage.event_log_storage, storage.schedule_storage]
        for part in parts:
            part._engine = _engines[key]
            for name in SCHEMA_QUESTIONS:
                if hasattr(part, name):
                    setattr(part, name, _asked_once(getattr(part, name), (*key, type(part), name)))
        return storage


def _from_secret() -> tuple[str, SecretPassword]:
    services = Services()
    password = SecretPassword(services.client("secretsmanager"), services.settings.dagster_secret)
    found = password.login()
    url = get_conn_string(
        username=found["username"],
        hostname=found["host"],
        port=str(found["port"]),
        db_name=found["dbname"],
        params={"sslmode": found.get("sslmode", "prefer")},
    )
    return url, password
