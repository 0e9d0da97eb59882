"""Dagster's PostgreSQL storage, with connections that are kept: it opens one for each event otherwise, which costs more
than all the rest of a short run.

All instances of a process share one pool, since Dagster makes a new instance for each tick of a sensor. And what a table
has it is asked once: Dagster reads PostgreSQL's catalog before most of its statements, for the sake of older schemas.
"""

import os
from collections.abc import Callable
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy import Engine

KEPT = 4
"""Connections of a process that stay open …"""
OVERFLOW = 20
"""… and those beyond, for as long as they are needed."""
RECYCLE_SECONDS = 600
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
"""Of the three storages, each of which has some."""

_engines: dict[tuple[int, str], Engine] = {}
"""By process, as a fork must not use those of its parent, and address."""

_yes: set[tuple[Any, ...]] = set()


def _asked_once(question: Callable[..., bool], key: tuple[Any, ...]) -> Callable[..., bool]:
    """The question, whose first yes is remembered. A no may become a yes with the next migration."""

    def ask(*arguments: Any) -> bool:
        what = (*key, *(each for each in arguments if isinstance(each, str)))  # not the connection
        if what not in _yes and question(*arguments):
            _yes.add(what)
        return what in _yes

    return ask


class PooledPostgresStorage(DagsterPostgresStorage):
    """Configured as its parent."""

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride] as the parent's own
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterPostgresStorage:
        key = (os.getpid(), pg_url_from_config(config_value))
        is_first = key not in _engines
        if not is_first:
            config_value = {**config_value, "should_autocreate_tables": False}
        storage = super().from_config_value(inst_data, config_value)
        if is_first:
            engine = create_pg_engine(
                storage.postgres_url,
                get_token_provider_from_config(config_value),
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
