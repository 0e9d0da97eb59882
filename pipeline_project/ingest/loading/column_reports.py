"""Describe how an object was read, for the column report: its columns, the field of each, and how often each was filled."""


from pipeline_project.ingest.ledger import ColumnSet
from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.ingest.mapping import Mapper

LONGEST_NAME = 200
"""Most characters of a column's name that the ledger keeps."""


def describe(mapper: Mapper, opened: Opened) -> None:
    """Put the columns of an object and its reading into its outcome. Nothing is known of an object without records."""
    counts = opened.counts
    paths = sorted(counts.filled)
    if not paths:
        return
    opened.outcome.columns = ColumnSet(
        source=mapper.source.name,
        dataset=mapper.dataset.name,
        variant="",
        names=tuple(_storable(".".join(path)) for path in paths),
        fields=tuple(mapper.field_of(path) for path in paths),
    )
    opened.outcome.reading = {
        "records": counts.records,
        "header": False,
        "filled": [counts.filled[path] for path in paths],
    }


def _storable(name: str) -> str:
    """Return a name as PostgreSQL can store it."""
    return name[:LONGEST_NAME].replace("\0", "\ufffd")
