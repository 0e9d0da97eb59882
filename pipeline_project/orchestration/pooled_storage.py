"""Dagster's PostgreSQL storage, with connections that are kept: it opens one for each event otherwise, which costs more
than all the rest of a short run.
"""

from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

NO_STATEMENT_TIMEOUT = 0
RECYCLE_SECONDS = 600
OVERFLOW = 20
"""Connections beyond the one that is kept, for as long as they are needed."""


class PooledPostgresStorage(DagsterPostgresStorage):
    """Configured as its parent."""

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride] as the parent's own
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterPostgresStorage:
        storage = super().from_config_value(inst_data, config_value)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            # Named after the one process of Dagster's that does it by itself.
            part.optimize_for_webserver(NO_STATEMENT_TIMEOUT, RECYCLE_SECONDS, OVERFLOW)
        return storage
