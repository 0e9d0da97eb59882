"""Brings Dagster's own tables to the state of this release.

Run it as `python -m pipeline_project.orchestration.compatibility.dagster_tables DAGSTER_HOME`.

Not `dagster instance migrate`: to print what the instance is it makes every part of it, and the launcher of heavy runs asks
ECS about its task. Whoever migrates has no right to that, and no need of it.
"""

import logging
import sys
from pathlib import Path

import dagster as dg
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

log = logging.getLogger("pipeline.dagster_tables")


def migrate(home: Path) -> None:
    """Make the tables, or change them. Those of a later Dagster stay: it was rolled back, and they serve the one before, too."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        try:
            instance.upgrade()
        except CommandError as error:
            if not isinstance(error.__cause__, ResolutionError):
                raise
            log.warning("Dagster's tables are those of a later release, and are left as they are: %s", error)


if __name__ == "__main__":
    migrate(Path(sys.argv[1]))
