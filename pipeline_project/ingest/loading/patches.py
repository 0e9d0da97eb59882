"""Stages the records of a partial source as patches, and folds them into versions.

A patch is stored whatever it says, and the versions of its entity are made again from the first place on where something
changed. Nothing is probed, confirmed or placed: the patches themselves say what was sent when.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.ingest.loading.staging import Staged, Staging
from pipeline_project.ingest.mapping import Bad, PatchMapper


@dataclass(kw_only=True)
class PatchStaging(Staging):
    """The temporary tables of one transaction of a partial source."""

    mapper: PatchMapper

    def prepare(self) -> None:
        self.connection.execute(self._statement("patches/staging"))

    def merge(self, staged: Staged, bad: list[tuple[Opened, Bad]], confirmed: Sequence[Opened]) -> None:  # noqa: ARG002
        self._add_rejects_of(bad)
        if not staged.lines:
            return
        with self.connection.cursor() as cursor:
            cursor.execute(self._statement("patches/empty"))
            table = sql.Identifier(f"sent_{self.dataset.name}")
            columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN (NULL '')").format(table, columns)) as copy:
                copy.write(staged.lines)
            cursor.execute(self._statement("patches/adopt"))
            cursor.execute(self._statement("patches/store"))
            parameters = {
                "source": self.source,
                "attribute_fields": self.mapper.attribute_fields,
                "fields": self.mapper.field_count,
            }
            for object_id, outcome, count, deleted in cursor.execute(
                self._statement("patches/fold"), parameters
            ).fetchall():
                if object_id is None:
                    self.history_changed |= count > 0
                else:
                    self.held[object_id].outcome.count(outcome, count, deleted)

    def supersede_own_rejects(self, object_ids: list[int]) -> None:
        """Keep the rejects open: a later record does not send the fields of the record that was rejected."""
