"""The CPU time of exports in declared formats, beside the same records in ordinary CSV. No database takes part.

The formats are declared of the same source, so the files differ in nothing but how their values are written. Rounds
alternate, and the best one counts: the machine is not alone.
"""

import csv
import dataclasses
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pipeline_project.ingest.decoding import Envelope, chunks
from pipeline_project.ingest.mapping.mappers import mapper_for
from pipeline_project.ingest.mapping.rows import ObjectPosition
from pipeline_project.sources.crm import SOURCE as CRM
from pipeline_project.sources.dialect import Dialect
from pipeline_project.sources.source import Source

POSITION = ObjectPosition(1, datetime(2026, 1, 1, tzinfo=UTC))
ROUNDS = 7
GOAL = 1.3
"""Most CPU time of a declared export, as a multiple of an ordinary one."""

SAP = dataclasses.replace(
    CRM,
    dialect=Dialect(
        delimiter=";",
        decimal=",",
        group=".",
        trailing_minus=True,
        days=("%d.%m.%Y",),
        times=("%d.%m.%Y %H:%M:%S",),
        zone="Europe/Berlin",
        true=("X",),
        null_texts=("k.A.",),
    ),
)
HUBSPOT = dataclasses.replace(
    CRM,
    dialect=Dialect(
        group=",", times=("%Y-%m-%d %H:%M",), days=("%Y-%m-%d",), zone="America/New_York", null_texts=("(No value)",)
    ),
)
Row = dict[str, Any]


def sap_row(row: Row) -> Row:
    """Write a record as an ERP in German does."""
    amounts = {name: f"{row[name]:_.2f}".replace(".", ",").replace("_", ".") for name in AMOUNTS}
    days = {name: "{2}.{1}.{0}".format(*row[name].split("-")) for name in DAYS}
    moment = datetime.fromisoformat(row["updated_at"])
    return {**row, **amounts, **days, "updated_at": f"{moment:%d.%m.%Y %H:%M:%S}"}


def hubspot_row(row: Row) -> Row:
    """Write a record as a CRM in the United States does."""
    return {
        **row,
        **{name: f"{row[name]:,.2f}" for name in AMOUNTS},
        "updated_at": row["updated_at"].replace("T", " ")[: len("2025-01-31 10:00")],
    }


AMOUNTS = ("annual_revenue", "lifetime_value", "total_spent")
DAYS = ("first_order_date", "last_order_date")
EXPORTS: dict[str, tuple[Source, str, Callable[[Row], Row]]] = {
    "ordinary": (CRM, ",", dict),
    "SAP-like": (SAP, ";", sap_row),
    "HubSpot-like": (HUBSPOT, ",", hubspot_row),
}


def write(rows: list[Row], delimiter: str) -> bytes:
    """Return a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def seconds(source: Source, content: bytes, count: int) -> tuple[float, float]:
    """Return the CPU seconds of decoding, and those of mapping. RuntimeError if a record or a value is lost."""
    mapper = mapper_for(source, "entities", 1, cells=True)
    decoding, mapping, rows = 0.0, 0.0, 0
    envelope = Envelope()
    key = f"{source.prefix}/bench.csv"
    stream = chunks(io.BytesIO(content), envelope, mapper.field_names(), source.dialect_of("entities", key))
    while True:
        begin = time.process_time()
        chunk = next(stream, None)
        decoding += time.process_time() - begin
        if chunk is None:
            break
        begin = time.process_time()
        mapped = mapper.map_all(chunk, range(len(chunk.records)), POSITION)
        mapping += time.process_time() - begin
        rows += len(mapped.rows.keys)
        if mapped.bad or mapped.unread:
            raise RuntimeError(f"not read: {[*mapped.bad, *mapped.unread][0].errors}")
    if rows != count:
        raise RuntimeError(f"{rows} of {count} records were read")
    return decoding, mapping


def measure(records: list[Row]) -> dict[str, tuple[float, float]]:
    """Return, for each export, the microseconds of a record: mapping alone, and mapping with decoding."""
    files = {name: write([change(each) for each in records], mark) for name, (_, mark, change) in EXPORTS.items()}
    best = dict.fromkeys(EXPORTS, (float("inf"), float("inf")))
    for _ in range(ROUNDS):
        for name, (source, _, _) in EXPORTS.items():
            decoding, mapping = seconds(source, files[name], len(records))
            each = (mapping / len(records) * 1e6, (decoding + mapping) / len(records) * 1e6)
            best[name] = (min(best[name][0], each[0]), min(best[name][1], each[1]))
    return best
