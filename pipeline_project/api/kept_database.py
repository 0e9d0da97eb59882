"""A database whose connection outlives the request: making one costs 10 ms, and a Lambda has one request at a time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from pipeline_project.database import Connection, Database


class KeptDatabase(Database):
    """Hands out the same connection again and again, after a look whether it still works."""

    _kept: Connection | None = None

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        """As of Database, but rolled back at the end and left open."""
        connection, self._kept = self._kept, None
        if connection is None or not _works(connection):
            connection = self.open()
        connection.autocommit = autocommit
        try:
            yield connection
        finally:
            with suppress(psycopg.Error):
                connection.rollback()
            if connection.info.transaction_status is TransactionStatus.IDLE and self._kept is None:
                self._kept = connection
            else:
                connection.close()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


def _works(connection: Connection) -> bool:
    """One round trip: a server that was restarted, or a thawed Lambda, shows only when the connection is used."""
    try:
        connection.autocommit = True
        connection.execute("")
    except psycopg.Error:
        connection.close()
        return False
    return True
