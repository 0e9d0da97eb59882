"""The contract of a source: what the platform expects of its declaration and of its samples.

Each function returns sentences about what is wrong, and nothing if all is well. `pipeline sources check` and the contract tests
(pipeline_project/testing.py) call the same functions.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pipeline_project.child_process import run_apart
from pipeline_project.database import Connection
from pipeline_project.datasets.registry import datasets
from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.inspection.previews import preview
from pipeline_project.ingest.ledger import Claimed
from pipeline_project.ingest.loading import open_object
from pipeline_project.ingest.mapping import Bad, ObjectPosition, mapper_for
from pipeline_project.schema.fields import aliases
from pipeline_project.sources.registry import route, sources
from pipeline_project.sources.source import Source

MEMORY_BYTES = 1024**3
"""Most memory of the process that computes fingerprints again."""


def alias_faults(source: Source) -> list[str]:
    """Find aliases that name two fields of one dataset."""
    found = []
    for dataset in datasets():
        model = source.record(dataset)
        paths = Counter(path for name, field in model.model_fields.items() for path in aliases(name, field))
        found += [
            f"{model.__name__}: the alias {'.'.join(path)!r} names {count} fields. Remove it from all but one of them."
            for path, count in paths.items()
            if count > 1
        ]
    return found


def total_faults(source: Source) -> list[str]:
    """Find control totals of fields that no dataset with such totals declares."""
    summed_up = {field for dataset in datasets() for field in source.totals_of(dataset).values()}
    return [
        f"source {source.name}: the total {name!r} sums up {field!r}, which is no field. Name a numeric field."
        for name, field in source.totals.items()
        if field not in summed_up
    ]


def fingerprint_faults(chosen: Iterable[Source]) -> list[str]:
    """Find mappings whose fingerprint another process computes differently. Each start would map all records again."""
    others = run_apart(_fingerprints, memory=MEMORY_BYTES)
    return [
        f"source {source.name}: the fingerprint of {dataset} differs in each process. Look for a value that is "
        "computed at import, for example a time, in its fallbacks, defaults and validators."
        for source in chosen
        for dataset in datasets()
        if others.get((source.name, dataset)) != source.fingerprint(dataset)
    ]


def _fingerprints() -> dict[tuple[str, str], str]:
    return {
        (source.name, dataset): source.fingerprint(dataset) for source in sources().values() for dataset in datasets()
    }


def mapping_faults(key: str, path: Path) -> list[str]:
    """Find records of a sample that the fast path maps differently from the models. `key` is its key in the landing bucket."""
    if (routed := route(key)) is None:
        return [f"{key}: no source has this folder. Name the first folder `<source>-data`."]
    source, dataset = routed
    sample = Claimed(
        object_id=1,
        bucket="check",
        key=key,
        version="",
        versioned=False,
        size=path.stat().st_size,
        source=source.name,
        dataset=dataset,
        attempts=0,
        replayed=False,
        loaded_before=False,
    )
    position, dialect = ObjectPosition(1, datetime.now(UTC)), source.dialect_of(dataset, key)
    found = []
    try:
        with path.open("rb") as file:
            opened = open_object(sample, position, file)
            for chunk in opened.chunks:
                mapper = mapper_for(source, dataset, dialect=dialect, cells=opened.cells)
                together = mapper.map_all(chunk, range(len(chunk.records)), position)
                lines = dict(zip(together.rows.ordinals, together.rows.lines, strict=True))
                rejected = {bad.ordinal: bad for bad in together.bad}
                for place, raw in enumerate(chunk.records):
                    ordinal = chunk.first_ordinal + place
                    alone = mapper.map(raw, ordinal, position, chunk.flaws.get(place))
                    same = (
                        rejected.get(ordinal) == alone if isinstance(alone, Bad) else lines.get(ordinal) == alone.line
                    )
                    if not same:
                        found.append(
                            f"{key}, record {ordinal}: the fast path gives another row than the model. Report this record."
                        )
    except ObjectFault:
        pass  # loading_faults reports it
    return found


def loading_faults(connection: Connection, key: str, path: Path) -> list[str]:
    """Load a sample and undo that. A record that the sample holds as a bad example may be rejected.

    `connection` is the loader's, in autocommit mode.
    """
    if route(key) is None:
        return []  # mapping_faults reports it
    outcome = preview(connection, path, key).outcome
    if outcome.fault is not None:
        return [f"{key}: {outcome.fault.message}"]
    if outcome.records == outcome.rejected:
        return [f"{key}: all {outcome.records} records were rejected. Correct the sample, or the mapping."]
    return []
