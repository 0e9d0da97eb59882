"""Migrate Dagster's own tables to this release.

Run it as `python -m pipeline_project.orchestration.compatibility.dagster_tables DAGSTER_HOME`.

`dagster instance migrate` is not used. It creates every part of the instance in order to print it, and the launcher of
heavy runs then asks ECS about its task. The migration task has no right to do that.
"""

import logging
import sys
from pathlib import Path

import dagster as dg
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

log = logging.getLogger("pipeline.dagster_tables")


def migrate(home: Path) -> None:
    """Create or change the tables. Tables of a later Dagster stay as they are: after a rollback, they still work."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        try:
            instance.upgrade()
        except CommandError as error:
            if not isinstance(error.__cause__, ResolutionError):
                raise
            log.warning("Dagster's tables are those of a later release, and are left as they are: %s", error)


if __name__ == "__main__":
    migrate(Path(sys.argv[1]))
