"""How fast objects become rows, against what the same PostgreSQL does with rows that need no work.

    floor        psql: COPY of rows that are canonical already into the staging table, and the same merge statement
    row by row   a handler that executes one INSERT … ON CONFLICT a record, into the same table, as a classic Lambda does: each
                 statement a transaction, and for comparison all of them one
    dlt          its filesystem source merged into PostgreSQL, if it is installed (the extra `bench`)

All are measured beside the pipeline in the same run. The pipeline's time holds everything: reading, decoding,
validation, mapping, history, rejects, ledger, commit. Objects are local files: S3 is not the question here.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from pipeline_project.database import Database
from pipeline_project.datasets.entities import ENTITIES
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding.records import Chunk
from pipeline_project.ingest.ledger.objects import ObjectSeen
from pipeline_project.ingest.loading.loader import Loader
from pipeline_project.ingest.loading.worker import _batches, open_object
from pipeline_project.ingest.mapping.mappers import mapper_for
from pipeline_project.ingest.mapping.rows import ObjectPosition
from pipeline_project.schema.templates import statement
from pipeline_project.sources.registry import sources
from pipeline_project_tests.bench.dialects import GOAL, measure
from pipeline_project_tests.bench.server import BenchServer, server

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
RECORDS = 1_000_000
ROUNDS = 3
"""The floor and the pipeline take turns so often with new rows, all else being measured against them; the medians count."""
ROW_BY_ROW = 20_000
DLT = 100_000
SMALL_FILES, SMALL_RECORDS = 10_000, 100
OTHERS = 500_000
"""Metrics, and as many relationships."""
DECLARED = 20_000
"""Records of each export in a declared format."""
LARGE_TABLES = (100_000, 10_000_000)
RECORDS_INTO_LARGE = 200_000
LARGE_FILES = (64, 1024)
"""In MB."""

INDEXES = {
    "without the primary key": "ALTER TABLE canonical.entities DROP CONSTRAINT entities_pkey",
    "with a GIN index on attributes": "CREATE INDEX ON canonical.entities USING gin (attributes)",
}
"""What they cost: the merge of new rows with one index fewer, or one more."""

COLUMNS = {
    "company_name": "name",
    "status": "status",
    "industry": "industry",
    "region": "region",
    "country": "country",
    "customer_tier": "customer_tier",
    "annual_revenue": "revenue",
    "employee_count": "employees",
    "lifetime_value": "lifetime_value",
    "total_spent": "total_spent",
    "total_orders": "total_orders",
}
"""Of the table, by what a customer's record calls them."""


def customer(i: int, edition: int) -> dict[str, Any]:
    """A CRM record of 20 fields. Editions of a record differ in two of them and in their time."""
    noise = i * 2_654_435_761 % 2**32  # Knuth's multiplicative hash
    return {
        "customer_id": f"CUST-{i:08d}",
        "first_name": ("Anna", "Ben", "Clara", "David", "Elif", "Farid")[noise % 6],
        "last_name": ("Keller", "Moreau", "Nowak", "Okafor", "Petrov")[noise % 5],
        "email": f"contact{i}@company{i % 9973}.example",
        "company_name": f"{('Alder', 'Birch', 'Cedar', 'Dune')[noise % 4]} Works {i} GmbH",
        "industry": ("Manufacturing", "Logistics", "Software", "Retail", "Healthcare")[noise // 7 % 5],
        "annual_revenue": noise % 10**9 / 100 + edition,
        "employee_count": noise % 3997 + 3,
        "country": ("DE", "FR", "GB", "US", "JP")[noise // 11 % 5],
        "region": ("EMEA", "AMER", "APAC")[noise // 13 % 3],
        "status": "active",
        "customer_tier": ("bronze", "silver", "gold")[noise // 17 % 3],
        "lifetime_value": noise // 3 % 10**7 / 100,
        "first_order_date": "2020-01-15",
        "last_order_date": "2024-11-02",
        "total_orders": noise % 97,
        "total_spent": noise // 19 % 10**7 / 100 + edition,
        "created_at": "2019-12-31T23:00:00Z",
        "updated_at": (BEGINNING + timedelta(days=edition - 100)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notes": "prefers to be called in the morning",
    }


def metric(i: int, edition: int) -> dict[str, Any]:
    """One of a hundred points of a customer."""
    return {
        "customer_id": f"CUST-{i // 100:08d}",
        "metric_type": ("revenue", "orders")[i % 2],
        "metric_date": str(BEGINNING.date() + timedelta(days=i % 100 // 2)),
        "value": i * 2_654_435_761 % 2**32 % 10**7 / 100 + edition,
        "quality": 0.9,
        "tags": {"channel": "web"},
        "updated_at": "2024-12-01T00:00:00Z",
    }


def relationship(i: int, edition: int) -> dict[str, Any]:
    """One of ten subsidiaries of a customer."""
    return {
        "parent_id": f"CUST-{i // 10:08d}",
        "child_id": f"CUST-{i + 1:08d}",
        "type": "owns",
        "valid_from": "2024-01-01",
        "share": i % 100 + edition,
        "updated_at": "2024-12-01T00:00:00Z",
    }


def write_envelope(
    path: Path, first: int, count: int, edition: int, record: Callable[[int, int], dict[str, Any]] = customer
) -> None:
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        file.write(b'{"metadata": {"sourceSystem": "crm", "recordCount": %d}, "records": [' % count)
        for i in range(first, first + count):
            file.write(b"\n" if i == first else b",\n")
            file.write(encode(record(i, edition)))
        file.write(b"\n]}\n")


def claimed_objects(
    connection: psycopg.Connection[Any], paths: list[Path], worker: str, dataset: str
) -> list[ledger.Claimed]:
    """Files as objects of the ledger, held by a worker."""
    seen = [
        ObjectSeen(
            bucket="bench",
            key=f"crm-data/{dataset}/{path.name}",
            version_id=f"{time.time_ns()}",
            etag="",
            size=path.stat().st_size,
            discovered_by="event",
        )
        for path in paths
    ]
    ids = ledger.discover(connection, seen)
    claimed = ledger.claim(connection, ids, worker=worker, run_id=None, seconds=3600)
    order = {each.object_id: place for place, each in enumerate(seen)}
    return sorted(claimed, key=lambda each: order[each.object_id])


def load(database: Database, paths: list[Path], second: int, dataset: str = "entities") -> float:
    """Seconds from the claim to the last commit, for files written `second` seconds after the beginning."""
    with database.connect(autocommit=True) as connection:
        claimed = claimed_objects(connection, paths, "bench", dataset)
        folder = paths[0].parent
        begin = time.perf_counter()
        loader = Loader(connection, "bench")
        for batch in _batches(claimed):
            opened = [
                open_object(
                    each,
                    ObjectPosition(each.object_id, BEGINNING + timedelta(seconds=second)),
                    (folder / Path(each.key).name).open("rb"),
                )
                for each in batch
            ]
            if len(opened) == 1:
                outcomes = [loader.load_one(sources()["crm"], dataset, opened[0])]
            else:
                outcomes = loader.load_many(sources()["crm"], dataset, opened)
            bad = [outcome for outcome in outcomes if outcome is None or outcome.state != "loaded"]
            if bad:
                raise RuntimeError(f"not loaded: {bad[0]}")
        return time.perf_counter() - begin


def canonical_rows(path: Path, count: int, edition: int, object_id: int) -> None:
    """What the pipeline would stage, as a file for COPY."""
    mapper = mapper_for(sources()["crm"], "entities")
    position = ObjectPosition(object_id, BEGINNING + timedelta(seconds=edition))
    encode = msgspec.json.Encoder().encode
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, count, 10_000):
            chunk = Chunk(first + 1, [encode(customer(i, edition)) for i in range(first, min(first + 10_000, count))])
            mapped = mapper.map_all(chunk, range(len(chunk.records)), position)
            assert not mapped.bad
            file.writelines(f"{line}\n" for line in mapped.rows.lines)


def floor(bench: BenchServer, name: str, rows: Path) -> float:
    """Seconds that psql takes to stage and merge rows that are canonical already, in one transaction."""
    columns = ", ".join(mapper_for(sources()["crm"], "entities").columns)
    merge = statement("ingest/loading/merge", ENTITIES).decode()
    # Nothing is loaded again, and there are no snapshots.
    for parameter, value in {"repeats": "false", "marked_until": "'-infinity'::timestamptz"}.items():
        merge = merge.replace(f"%({parameter})s", value)
    assert "%(" not in merge, "the statement has a new parameter"
    staging = statement("ingest/loading/staging", ENTITIES).decode()
    script = rows.with_suffix(".sql")
    copy = f"\\copy incoming_entities ({columns}) FROM '{rows}' (NULL '')"
    script.write_text(f"BEGIN;\n{staging}\n{copy}\n{merge};\nCOMMIT;\n", "utf-8")
    return bench.psql(name, "loader", script)


def row_by_row(conninfo: str, count: int, *, autocommit: bool) -> float:
    """Seconds of a handler that maps each record to the columns of the same table, by itself, and executes a statement for it.

    It validates nothing and keeps no history and no ledger. With `autocommit` each statement is a transaction, as it is where
    nobody thinks of one.
    """
    names = ", ".join(("canonical_id", "source", "entity_type", *COLUMNS.values(), "source_updated_at", "attributes"))
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*COLUMNS.values(), "source_updated_at", "attributes"))
    statement = f"""INSERT INTO canonical.row_by_row AS t ({names})
        VALUES ({", ".join(["%s"] * (len(COLUMNS) + 5))})
        ON CONFLICT (canonical_id) DO UPDATE SET {updates}
        WHERE EXCLUDED.source_updated_at > t.source_updated_at"""
    texts = [json.dumps(customer(i, 0)) for i in range(count)]
    with psycopg.connect(conninfo, autocommit=autocommit) as connection:
        connection.execute(b"DROP TABLE IF EXISTS canonical.row_by_row")
        connection.execute(b"CREATE TABLE canonical.row_by_row (LIKE canonical.entities INCLUDING ALL)")
        connection.execute(b"""ALTER TABLE canonical.row_by_row
            ALTER deleted SET DEFAULT false, ALTER object_modified_at SET DEFAULT now(), ALTER object_id SET DEFAULT 1,
            ALTER ordinal SET DEFAULT 1, ALTER mapping_version SET DEFAULT 1, ALTER quality_score SET DEFAULT 1,
            ALTER version SET DEFAULT 1, ALTER content_hash SET DEFAULT gen_random_uuid(),
            ALTER record_digest SET DEFAULT gen_random_uuid()""")
        begin = time.perf_counter()
        for text in texts:
            record = json.loads(text, parse_float=Decimal)
            key, updated_at = f"crm_{record.pop('customer_id')}", record.pop("updated_at")
            values = [record.pop(sent) for sent in COLUMNS]
            connection.execute(
                statement.encode(), (key, "crm", "customer", *values, updated_at, json.dumps(record, default=str))
            )
        connection.commit()
        return time.perf_counter() - begin


def peak_memory(conninfo: str, path: Path) -> tuple[float, float]:
    """MB at the peak, and seconds, of a process that does nothing but load the file."""
    code = (
        "import sys; from pathlib import Path; from pipeline_project.database import Database;"
        "from pipeline_project_tests.bench.ingest import load;"
        "from pipeline_project_tests.bench.memory import peak_megabytes;"
        "seconds = load(Database(lambda: sys.argv[1]), [Path(sys.argv[2])], 1);"
        "print(peak_megabytes(), seconds)"
    )
    done = subprocess.run([sys.executable, "-c", code, conninfo, path], check=True, capture_output=True, text=True)
    memory, seconds = done.stdout.split()
    return float(memory), float(seconds)


def dlt_merge(conninfo: str, path: Path) -> float:
    """Seconds that dlt takes to merge a file of JSON lines into a table, by its key."""
    import dlt  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
    from dlt.destinations import postgres  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
    from dlt.sources.filesystem import filesystem, read_jsonl  # noqa: PLC0415 # pyright: ignore[reportMissingImports]

    with psycopg.connect(conninfo) as connection:
        info = connection.info
        credentials = f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"
    records = filesystem(bucket_url=str(path.parent), file_glob=path.name) | read_jsonl()
    records.apply_hints(primary_key="customer_id", write_disposition="merge", table_name="customers")
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=str(path.parent / "dlt"), destination=postgres(credentials), dataset_name="dlt"
    )
    begin = time.perf_counter()
    pipeline.run(records)
    return time.perf_counter() - begin


def fill(bench: BenchServer, name: str, count: int) -> None:
    """Put so many customers into a database, past the pipeline."""
    columns = (
        "canonical_id, source, version, entity_type, deleted, name, status, industry, region, country, customer_tier, \
revenue, employees, lifetime_value, total_spent, total_orders, attributes, source_updated_at, object_modified_at, object_id, \
ordinal, content_hash, quality_score, mapping_version, record_digest"
    )
    bench.admin(
        name,
        f"""INSERT INTO canonical.entities ({columns})
        SELECT 'crm_OLD-' || lpad(i::text, 8, '0'), 'crm', 1, 'customer', false, 'Elder Works ' || i || ' GmbH', 'active',
            'Retail', 'EMEA', 'DE', 'gold', i, i % 4000, i / 100.0, i / 10.0, i % 100,
            jsonb_build_object('email', 'contact' || i || '@company.example', 'notes', 'prefers to be called in the morning'),
            timestamptz '2024-01-01', timestamptz '2024-01-01', 0, i, md5(i::text)::uuid, 1, 1, md5(i::text)::uuid
        FROM generate_series(1, {count}) i""",
    )
    bench.admin(name, "VACUUM ANALYZE canonical.entities")


class Figures:
    """What was measured, case by case."""

    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []

    def note(self, case: str, records: int, seconds: float) -> float:
        """Add a case; its rate in records a second."""
        rate = records / seconds
        self.cases.append({"case": case, "records": records, "seconds": round(seconds, 2), "rate": round(rate)})
        return rate

    def more(self, **figures: Any) -> None:
        """What else there is to say of the case that was added last."""
        self.cases[-1].update(figures)
        sys.stderr.write(f"{self.cases[-1]}\n")


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """All cases. `scale` multiplies the numbers of records and files."""
    figures = Figures()
    with server() as bench, tempfile.TemporaryDirectory(prefix="bench-files-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        count = int(RECORDS * scale)
        editions = {edition: folder / f"edition{edition}.json" for edition in (1, 2)}
        for edition, path in editions.items():
            write_envelope(path, 0, count, edition)
        new = one_file(bench, folder, editions, count, figures)
        many_files(bench, folder, max(int(SMALL_FILES * scale), 10), new, figures)
        other_datasets(bench, folder, int(OTHERS * scale), figures)
        declared_formats(int(DECLARED * scale), figures)
        large_tables(bench, folder, scale, figures)
        large_files(bench, folder, scale * count / editions[1].stat().st_size, figures)
    return figures.cases


def one_file(bench: BenchServer, folder: Path, editions: dict[int, Path], count: int, figures: Figures) -> float:
    """One file, against the bounds; the rate of new rows."""
    for edition in editions:
        canonical_rows(folder / f"rows{edition}.copy", count, edition, edition)
    floor_seconds: list[float] = []
    our_seconds: list[float] = []
    for _ in range(ROUNDS):
        for name in ("floor", "ours"):
            bench.drop(name)
            bench.create(name)
        bench.settle("floor")
        floor_seconds.append(floor(bench, "floor", folder / "rows1.copy"))
        bench.settle("ours")
        our_seconds.append(load(bench.database("ours", "loader"), [editions[1]], 1))
    base_new = figures.note("floor: new", count, statistics.median(floor_seconds))
    bench.settle("floor")
    base_updates = figures.note("floor: updates", count, floor(bench, "floor", folder / "rows2.copy"))
    bench.drop("floor")
    for case, index in INDEXES.items():
        bench.create("floor")
        bench.admin("floor", index)
        rate = figures.note(f"floor: new, {case}", count, floor(bench, "floor", folder / "rows1.copy"))
        figures.more(to_floor=rate / base_new)
        bench.drop("floor")

    bench.create("peers")
    some = min(count, ROW_BY_ROW)
    owner = bench.conninfo("peers", "owner")
    one_commit = figures.note("row by row, one commit", some, row_by_row(owner, some, autocommit=False))
    handler = figures.note("row by row, a commit each", some, row_by_row(owner, some, autocommit=True))
    dlt = None
    if importlib.util.find_spec("dlt"):
        lines, some = folder / "customers.jsonl", min(count, DLT)
        lines.write_bytes(b"".join(msgspec.json.encode(customer(i, 1)) + b"\n" for i in range(some)))
        dlt = figures.note("dlt", some, dlt_merge(bench.conninfo("peers", "owner"), lines))
    bench.drop("peers")

    ours = bench.database("ours", "loader")
    new = figures.note("new", count, statistics.median(our_seconds))
    figures.more(to_floor=new / base_new, to_row_by_row=new / handler, goal="0.7 of floor, 15x row by row, 6x dlt")
    figures.more(to_row_by_row_in_one_commit=new / one_commit)
    if dlt:
        figures.more(to_dlt=new / dlt)
    bench.settle("ours")
    unchanged = figures.note("new, again unchanged", count, load(ours, [editions[1]], 3))
    figures.more(to_new=unchanged / new, goal="3x new")
    bench.settle("ours")
    updates = figures.note("updates", count, load(ours, [editions[2]], 4))
    figures.more(to_floor=updates / base_updates, goal="0.6 of floor")
    bench.settle("ours")
    stale = figures.note("stale, known to the history", count, load(ours, [editions[1]], 5))
    figures.more(to_new=stale / new, goal="3x new")
    bench.drop("ours")

    bench.create("late")
    load(bench.database("late", "loader"), [editions[2]], 2)
    bench.settle("late")
    late = figures.note("stale, new to the history", count, load(bench.database("late", "loader"), [editions[1]], 3))
    figures.more(to_new=late / new, to_updates=late / updates)
    bench.drop("late")
    return new


def many_files(bench: BenchServer, folder: Path, files: int, new: float, figures: Figures) -> None:
    """Small files, in batches as a run takes them. `new` is the rate of one big file."""
    small = folder / "small"
    small.mkdir()
    for n in range(files):
        write_envelope(small / f"{n}.json", n * SMALL_RECORDS, SMALL_RECORDS, 1)
    bench.create("small")
    seconds = load(bench.database("small", "loader"), sorted(small.iterdir()), 1)
    rate = figures.note(f"{files} files of {SMALL_RECORDS}", files * SMALL_RECORDS, seconds)
    figures.more(to_new=rate / new, goal="0.6 of one big file")
    bench.drop("small")


def other_datasets(bench: BenchServer, folder: Path, count: int, figures: Figures) -> None:
    """Metrics and relationships, new and said again."""
    records: dict[str, Callable[[int, int], dict[str, Any]]] = {"metrics": metric, "relationships": relationship}
    bench.create("others")
    for dataset, record in records.items():
        file = folder / f"{dataset}.json"
        write_envelope(file, 0, count, 1, record)
        for second, case in enumerate(("new", "again unchanged"), start=1):
            figures.note(f"{dataset}, {case}", count, load(bench.database("others", "loader"), [file], second, dataset))
    bench.drop("others")


def declared_formats(count: int, figures: Figures) -> None:
    """Exports in declared formats, by CPU time. Each is measured against the same records in ordinary CSV."""
    found = measure([customer(i, 1) for i in range(count)])
    plain, plain_decoded = found["ordinary"]
    for name, (mapping, decoded) in found.items():
        figures.note(f"CSV, {name}, CPU of decoding and mapping", count, decoded * count / 1e6)
        figures.more(
            us_mapping=round(mapping, 1),
            us_decoded=round(decoded, 1),
            mapping_to_ordinary=mapping / plain,
            to_ordinary=decoded / plain_decoded,
            goal=f"at most {GOAL} of ordinary",
        )


def large_tables(bench: BenchServer, folder: Path, scale: float, figures: Figures) -> None:
    """New rows, where many are there already."""
    count = int(RECORDS_INTO_LARGE * scale)
    file = folder / "into-large.json"
    write_envelope(file, 0, count, 1)
    rates: list[float] = []
    for there in (int(rows * scale) for rows in LARGE_TABLES):
        bench.create("filled")
        fill(bench, "filled", there)
        rates.append(figures.note(f"new, into {there:,}", count, load(bench.database("filled", "loader"), [file], 1)))
        figures.more(to_first=rates[-1] / rates[0], goal="0.7 of the first")
        bench.drop("filled")


def large_files(bench: BenchServer, folder: Path, records_per_byte: float, figures: Figures) -> None:
    """The memory of a process that loads one large file."""
    bench.create("large")
    for megabytes in LARGE_FILES:
        records = int(megabytes * 1024 * 1024 * records_per_byte)
        large = folder / "large.json"
        write_envelope(large, 10_000_000 * megabytes, records, 1)
        memory, seconds = peak_memory(bench.conninfo("large", "loader"), large)
        figures.note(f"one envelope of {large.stat().st_size >> 20} MB", records, seconds)
        figures.more(peak_mb=memory, goal="250 MB, flat")
    bench.drop("large")
