"""Hostile records, mapped in a process of their own: `python -m pipeline_project_tests.hostile values | growth`.

Its CPU time is limited, so that a value that would be converted for minutes ends the process and not the tests.
"""

import csv
import io
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_project.ingest.decoding import formats
from pipeline_project.ingest.decoding.faults import ObjectFault
from pipeline_project.ingest.decoding.records import Envelope
from pipeline_project.ingest.mapping.mappers import mapper_for
from pipeline_project.ingest.mapping.rows import Bad, ObjectPosition, Row
from pipeline_project.sources.registry import sources

POSITION = ObjectPosition(7, datetime(2025, 6, 1, tzinfo=UTC))
SECONDS = 120
"""CPU time of one process. Each takes less than a quarter."""
LONG = 200_000

NUMBERS = {
    "tiny": "1e-999999999",
    "huge": "1e999999999",
    "negative": "-1e999999999",
    "tiny zero": "0e-999999999",
    "huge zero": "0e999999999",
    "beyond any decimal": "1e99999999999999999999",
    "long integer": "7" * LONG,
    "long fraction": f"{'7' * LONG}.5",
    "long tail": f"0.{'7' * LONG}",
    "late digit": f"0.{'0' * LONG}1",
    "long time": f"1706695200.{'1' * LONG}",
}
TEXTS = {
    "digits and a letter": "1" * LONG + "x",
    "digits twice": f"{'1' * LONG}.{'1' * LONG}x",
    "long exponent": f"1e{'9' * LONG}",
    "blanks": " " * LONG + "x",
    "long second": f"2024-01-01T00:00:00.{'1' * LONG}Z",
    "signs": "-" * LONG,
    "backslashes": "\\" * LONG,
}
GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "entities": ("crm", {"customer_id": "good", "company_name": "Alder"}),
    "metrics": ("legacy", {"entity_id": "good", "metric_type": "t", "metric_date": "2024-01-01", "value": "1"}),
    "relationships": ("legacy", {"parent_id": "good", "child_id": "2", "relationship_type": "owns"}),
}
FIELDS: dict[str, list[str]] = {
    "entities": [
        *("customer_id", "company_name", "annual_revenue", "employee_count", "lifetime_value", "first_order_date"),
        *("updated_at", "_deleted", "other"),
    ],
    "metrics": ["entity_id", "metric_date", "value", "quality", "tags", "_deleted"],
    "relationships": ["parent_id", "valid_from", "valid_to"],
}


def as_json(good: dict[str, Any], field: str, value: str) -> bytes:
    """Three records, of which the middle one is hostile. `value` is JSON."""
    others = {name: sent for name, sent in good.items() if name != field}
    hostile = f'{json.dumps(others)[:-1]}, "{field}": {value}}}'
    return f"[{json.dumps(good)}, {hostile}, {json.dumps(good)}]".encode()


def as_csv(good: dict[str, Any], field: str, value: str) -> bytes:
    """The same as CSV."""
    text = io.StringIO()
    rows = csv.DictWriter(text, list(dict.fromkeys((*good, field))))
    rows.writeheader()
    rows.writerows([good, {**good, field: value}, good])
    return text.getvalue().encode()


def as_parquet(good: dict[str, Any], field: str, value: str) -> bytes:
    """The same as Parquet, whose numbers have bounds of their own: a column of texts."""
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{field: None, **good}, {**good, field: value}, good]), file)
    return file.getvalue()


def cases() -> Iterator[tuple[str, str, bytes]]:
    """Each hostile value in each field, in each format."""
    for dataset, (_, good) in GOOD.items():
        for field in FIELDS[dataset]:
            for name, value in {**NUMBERS, **TEXTS}.items():
                quoted = json.dumps(value)
                if name in NUMBERS:
                    yield f"{field} {name} json number of {dataset}", dataset, as_json(good, field, value)
                    yield (
                        f"{field} {name} json nested of {dataset}",
                        dataset,
                        as_json(good, field, f'{{"a": [{value}]}}'),
                    )
                yield f"{field} {name} json text of {dataset}", dataset, as_json(good, field, quoted)
                yield f"{field} {name} csv of {dataset}", dataset, as_csv(good, field, value)
                yield f"{field} {name} parquet of {dataset}", dataset, as_parquet(good, field, value)


def outcome(dataset: str, data: bytes) -> list[str]:
    """For each record `loaded`, or the rule and field that it or one of its values breaks. Both ways of mapping have to agree."""
    mapper = mapper_for(sources()[GOOD[dataset][0]], dataset)
    found: list[str] = []
    for chunk in formats.chunks(io.BytesIO(data), Envelope(), mapper.field_names()):
        places = range(len(chunk.records))
        mapper.probe_keys(chunk, POSITION, 1)
        alone = [mapper.map(chunk.records[i], chunk.first_ordinal + i, POSITION, chunk.flaws.get(i)) for i in places]
        many = mapper.map_all(chunk, places, POSITION)
        rows = [each for each in alone if isinstance(each, Row)]
        assert sorted(many.rows.lines) == sorted(row.line for row in rows)
        assert many.bad == [each for each in alone if isinstance(each, Bad)]
        found += [_told(each) for each in alone]
    return found


def _told(mapped: Row | Bad) -> str:
    """The first error of a record, or of a value without which it became a row."""
    errors = mapped.errors if isinstance(mapped, Bad) else [each.error for each in mapped.findings.unread]
    return " ".join(errors[0][:2][::-1]) if errors else "loaded"


def record(text: str) -> bytes:
    """A record among others, with something in it."""
    return (
        f'[{{"customer_id": "1", "company_name": "A", {text}}}, {{"customer_id": "2", "company_name": "B"}}]'.encode()
    )


def lines(text: str, size: int) -> bytes:
    return b'{"customer_id": "1", "company_name": "A"}\n' + text.encode() * (size // len(text))


SHAPES: dict[str, Callable[[int], bytes]] = {
    "escapes": lambda n: record(f'"x": "{chr(92) * 2 * (n // 2)}"'),
    "half a character behind escapes": lambda n: record(f'"x": "{chr(92) * 2 * (n // 2)}{chr(92)}udc00"'),
    "half a character behind whole ones": lambda n: record('"x": "' + "\\ud83d\\ude00" * (n // 12) + '\\ud800"'),
    "quotes": lambda n: b"[" + b'"' * n,
    "an open text": lambda n: b'[{"customer_id": "1", "x": "' + b"a" * n,
    "deep arrays": lambda n: record(f'"x": {"[" * (n // 2)}{"]" * (n // 2)}'),
    "deep objects": lambda n: record('"x": ' + '{"a":' * (n // 6) + "1" + "}" * (n // 6)),
    "deep without a record": lambda n: b"[" * (n // 2) + b"]" * (n // 2),
    "deep records": lambda n: b"[" + b",".join([b'{"id": 1, "x": ' + b"[" * 90 + b"]" * 90 + b"}"] * (n // 200)) + b"]",
    "one key": lambda n: record('"x": 1, ' * (n // 8) + '"y": 1'),
    "a known key": lambda n: record('"name": "B", ' * (n // 12) + '"y": 1'),
    "many keys": lambda n: record(", ".join(f'"k{i}": 1' for i in range(n // 11))),
    "many numbers too large": lambda n: record(", ".join(f'"k{i}": 1e999' for i in range(n // 15))),
    "keys of the envelope": lambda n: (
        "{" + ", ".join(f'"k{i}": 1' for i in range(n // 11)) + ', "records": [{"customer_id": 1}]}'
    ).encode(),
    "other keys in each record": lambda n: (
        "[" + ", ".join(f'{{"customer_id": {i}, "company_name": "A", "k{i}": 1}}' for i in range(n // 50)) + "]"
    ).encode(),
    "long numbers": lambda n: record(f'"x": [{", ".join(["0." + "7" * 4_200] * (n // 4_200))}]'),
    "blank lines": lambda n: lines("\n", n),
    "lines without an end": lambda n: lines("{\n", n // 8),
    "faulty records": lambda n: b"[" + b'{"a": tru},' * (n // 80) + b"{}]",
    "white space": lambda n: b"[ " + b" " * n + b'{"customer_id": 1, "company_name": "A"}]',
    "columns": lambda n: ("customer_id," + ",".join(f"c{i}" for i in range(n // 8)) + "\n1,A\n").encode(),
    "columns of one name": lambda n: b"customer_id," + b"c," * (n // 2) + b"d\n1,A\n",
    "columns without a name": lambda n: b"customer_id,company_name" + b"," * n + b"\n1,A\n",
    "a cell of quotes": lambda n: b'customer_id,company_name\n1,"' + b'""' * (n // 2) + b'"\n',
    "a row of line ends": lambda n: b"customer_id,company_name\n1," + b'"\n",' * (n // 4) + b"2\n",
    "carriage returns": lambda n: b"customer_id,company_name\n" + b"\r" * n,
}
SIZE = 500_000
LONGEST_SHARE = 0.05
"""Seconds. What takes less is not measured against its half."""


def seconds(data: bytes) -> float:
    """CPU time to decode and map."""
    mapper = mapper_for(sources()["crm"], "entities")
    begin = time.process_time()
    try:
        for chunk in formats.chunks(io.BytesIO(data), Envelope(), mapper.field_names()):
            for each in mapper.map_all(chunk, range(len(chunk.records)), POSITION).bad:
                chunk.line(each.ordinal - chunk.first_ordinal)
    except ObjectFault:
        pass
    return time.process_time() - begin


def growth() -> dict[str, float]:
    """For each shape, by how much the time grows if its size doubles: the least of three."""
    return {
        name: min(seconds(shape(2 * SIZE)) / max(seconds(shape(SIZE)), LONGEST_SHARE) for _ in range(3))
        for name, shape in SHAPES.items()
    }


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    found = growth() if sys.argv[1] == "growth" else {name: outcome(dataset, data) for name, dataset, data in cases()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
