"""Every format in every packing, through the whole of ingestion: the same rows, whatever the object is called."""

import gzip
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline_project.ingest.loading import worker
from pipeline_project_tests.fix_ingest import Rows
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing, ingest

NUMBERS = range(1, 4)


def records(form: str) -> list[dict[str, Any]]:
    return [
        {"id": f"{form}-{number}", "name": f"Zoë {number}", "revenue": number, "note": "a;b, c"} for number in NUMBERS
    ]


def table(form: str) -> pa.Table:
    return pa.Table.from_pylist(records(form))


def in_csv(form: str) -> bytes:
    out = BytesIO()
    pyarrow.csv.write_csv(table(form), out)
    return out.getvalue()


def in_parquet(form: str) -> bytes:
    out = BytesIO()
    pq.write_table(table(form), out)
    return out.getvalue()


FORMATS: dict[str, Callable[[str], bytes]] = {
    "envelope": lambda form: json.dumps({"metadata": {"recordCount": len(NUMBERS)}, "records": records(form)}).encode(),
    "array": lambda form: json.dumps(records(form)).encode(),
    "object": lambda form: json.dumps(records(form)[0]).encode(),
    "json_lines": lambda form: "\n".join(map(json.dumps, records(form))).encode(),
    "csv": in_csv,
    "parquet": in_parquet,
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "+gzip": gzip.compress,
    "+zstd": lambda data: bytes(pa.compress(data, codec="zstd", asbytes=True)),
}


@pytest.mark.parametrize("together", [True, False])
def test_every_format_loads_in_every_packing_whatever_its_name(
    database: FreshDatabase, landing: Landing, rows: Rows, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not together:
        monkeypatch.setattr(worker, "SMALL", 0)
    forms = [name + packing for name in FORMATS for packing in PACKINGS]
    outcomes = ingest(
        database.loader,
        landing,
        *(
            landing.put(f"legacy-data/{name}{packing}.exe", pack(write(name + packing)))
            for name, write in FORMATS.items()
            for packing, pack in PACKINGS.items()
        ),
    )
    assert {key: (outcome.state, outcome.format) for key, outcome in outcomes.items()} == {
        f"legacy-data/{form}.exe": ("loaded", form) for form in forms
    }
    assert rows("SELECT source_id, name, revenue, attributes ->> 'note' FROM canonical.entities ORDER BY 1") == sorted(
        (each["id"], each["name"], each["revenue"], each["note"])
        for form in forms
        for each in records(form)[: 1 if form.startswith("object") else None]
    )
