"""How fast objects become rows, against what the same PostgreSQL does with rows that need no work.

    floor        psql: COPY of rows that are canonical already into the staging table, and the same merge statement
    row by row   a handler that decodes a record and executes one INSERT … ON CONFLICT, as a classic Lambda does

Both are measured beside the pipeline in the same run. The pipeline's time holds everything: reading, decoding,
validation, mapping, history, rejects, ledger, commit. Objects are local files: S3 is not the question here.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from pipeline_project.canonical.sql_files import SQL
from pipeline_project.database import Database
from pipeline_project.ingest import ledger
from pipeline_project.ingest.ledger import ObjectSeen
from pipeline_project.ingest.load import Loader
from pipeline_project.ingest.mapping import EntityMapper, ObjectPosition, Row
from pipeline_project.ingest.worker import _batches, open_object
from pipeline_project.sources.registry import sources
from pipeline_project_tests.bench.server import BenchServer, server

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
RECORDS = 1_000_000
ROW_BY_ROW = 20_000
SMALL_FILES, SMALL_RECORDS = 10_000, 100


def customer(i: int, edition: int) -> dict[str, Any]:
    """A CRM record of 20 fields. Editions of a record differ in two of them and in their time."""
    noise = random.Random(i)
    return {
        "customer_id": f"CUST-{i:08d}",
        "first_name": noise.choice(("Anna", "Ben", "Clara", "David", "Elif", "Farid")),
        "last_name": noise.choice(("Keller", "Moreau", "Nowak", "Okafor", "Petrov")),
        "email": f"contact{i}@company{i % 9973}.example",
        "company_name": f"{noise.choice(('Alder', 'Birch', 'Cedar', 'Dune'))} Works {i} GmbH",
        "industry": noise.choice(("Manufacturing", "Logistics", "Software", "Retail", "Healthcare")),
        "annual_revenue": round(noise.lognormvariate(14, 1.2), 2) + edition,
        "employee_count": noise.randrange(3, 4000),
        "country": noise.choice(("DE", "FR", "GB", "US", "JP")),
        "region": noise.choice(("EMEA", "AMER", "APAC")),
        "status": "active",
        "customer_tier": noise.choice(("bronze", "silver", "gold")),
        "lifetime_value": noise.randrange(100, 10_000_000) / 100,
        "first_order_date": "2020-01-15",
        "last_order_date": "2024-11-02",
        "total_orders": noise.randrange(0, 100),
        "total_spent": noise.randrange(100, 10_000_000) / 100 + edition,
        "created_at": "2019-12-31T23:00:00Z",
        "updated_at": (BEGINNING + timedelta(days=edition - 100)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notes": "prefers to be called in the morning",
    }


def write_envelope(path: Path, first: int, count: int, edition: int) -> None:
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        file.write(b'{"metadata": {"sourceSystem": "crm", "recordCount": %d}, "records": [' % count)
        for i in range(first, first + count):
            file.write(b"\n" if i == first else b",\n")
            file.write(encode(customer(i, edition)))
        file.write(b"\n]}\n")


def claimed_objects(connection: psycopg.Connection[Any], paths: list[Path], worker: str) -> list[ledger.Claimed]:
    """Files as objects of the ledger, held by a worker."""
    seen = [
        ObjectSeen(
            bucket="bench",
            key=f"crm-data/{path.name}",
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


def load(database: Database, paths: list[Path], second: int) -> float:
    """Seconds from the claim to the last commit, for files written `second` seconds after the beginning."""
    with database.connect(autocommit=True) as connection:
        claimed = claimed_objects(connection, paths, "bench")
        folder = paths[0].parent
        begin = time.perf_counter()
        loader = Loader(connection, "bench")
        for batch in _batches(claimed):
            opened = [
                open_object(
                    each,
                    ObjectPosition(each.object_id, BEGINNING + timedelta(seconds=second)),
                    (folder / each.key.removeprefix("crm-data/")).open("rb"),
                )
                for each in batch
            ]
            if len(opened) == 1:
                outcomes = [loader.load_one(sources()["crm"], "entities", opened[0])]
            else:
                outcomes = loader.load_many(sources()["crm"], "entities", opened)
            bad = [outcome for outcome in outcomes if outcome is None or outcome.state != "loaded"]
            if bad:
                raise RuntimeError(f"not loaded: {bad[0]}")
        return time.perf_counter() - begin


def canonical_rows(path: Path, count: int, edition: int, object_id: int) -> None:
    """What the pipeline would stage, as a file for COPY."""
    mapper = EntityMapper(sources()["crm"])
    position = ObjectPosition(object_id, BEGINNING + timedelta(seconds=edition))
    encode = msgspec.json.Encoder().encode
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            row = mapper.map(encode(customer(i, edition)), i + 1, position)
            assert isinstance(row, Row)
            file.write(f"f\t{row.line}\n")


def floor(bench: BenchServer, name: str, rows: Path) -> float:
    """Seconds that psql takes to stage and merge rows that are canonical already, in one transaction."""
    columns = ", ".join(("late", *EntityMapper(sources()["crm"]).columns))
    merge = (SQL / "ingest" / "merge_entities.sql").read_text("utf-8").replace("%(repeats)s", "false")
    staging = (SQL / "ingest" / "staging.sql").read_text("utf-8")
    script = rows.with_suffix(".sql")
    copy = f"\\copy incoming_entities ({columns}) FROM '{rows}' (NULL '')"
    script.write_text(f"BEGIN;\n{staging}\n{copy}\n{merge};\nCOMMIT;\n", "utf-8")
    return bench.psql(name, "loader", script)


def row_by_row(conninfo: str, count: int) -> float:
    """Seconds of a handler that executes a statement for each record."""
    statement = """INSERT INTO row_by_row (id, name, revenue, attributes) VALUES (%s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, revenue = EXCLUDED.revenue, attributes = EXCLUDED.attributes"""
    texts = [json.dumps(customer(i, 0)) for i in range(count)]
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE row_by_row (id text PRIMARY KEY, name text, revenue numeric, attributes jsonb)"
        )
        begin = time.perf_counter()
        for text in texts:
            record = json.loads(text)
            values = (record["customer_id"], record["company_name"], record["annual_revenue"], json.dumps(record))
            connection.execute(statement, values)
        connection.commit()
        return time.perf_counter() - begin


def peak_memory(conninfo: str, path: Path) -> tuple[float, float]:
    """MB at the peak, and seconds, of a process that does nothing but load the file."""
    code = (
        "import sys, resource; from pathlib import Path; from pipeline_project.database import Database;"
        "from pipeline_project_tests.bench.ingest import load;"
        "seconds = load(Database(lambda: sys.argv[1]), [Path(sys.argv[2])], 1);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, seconds)"
    )
    done = subprocess.run([sys.executable, "-c", code, conninfo, path], check=True, capture_output=True, text=True)
    memory, seconds = done.stdout.split()
    return float(memory), float(seconds)


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """All cases. `scale` multiplies the numbers of records and files."""
    count = int(RECORDS * scale)
    figures: list[dict[str, Any]] = []

    def note(case: str, records: int, seconds: float, **more: Any) -> float:
        rate = records / seconds
        figures.append({"case": case, "records": records, "seconds": round(seconds, 2), "rate": round(rate), **more})
        sys.stderr.write(f"{figures[-1]}\n")
        return rate

    with server() as bench, tempfile.TemporaryDirectory(prefix="bench-files-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        for name in ("floor", "ours", "small", "large"):
            bench.create(name)
        editions = {edition: folder / f"edition{edition}.json" for edition in (1, 2)}
        for edition, path in editions.items():
            write_envelope(path, 0, count, edition)
            canonical_rows(folder / f"rows{edition}.copy", count, edition, edition)

        base_new = note("floor: new", count, floor(bench, "floor", folder / "rows1.copy"))
        base_updates = note("floor: updates", count, floor(bench, "floor", folder / "rows2.copy"))
        handler = note(
            "row by row", min(count, ROW_BY_ROW), row_by_row(bench.conninfo("ours", "loader"), min(count, ROW_BY_ROW))
        )
        bench.drop("floor")

        ours = bench.database("ours", "loader")
        seconds = load(ours, [editions[1]], 1)
        new = count / seconds
        note(
            "new",
            count,
            seconds,
            to_floor=new / base_new,
            to_row_by_row=new / handler,
            goal="0.7 of floor, 15x row by row",
        )
        small_size = note("new, again unchanged", count, load(ours, [editions[1]], 3))
        figures[-1].update(to_new=small_size / new, goal="3x new")
        bench.admin("ours", "VACUUM ANALYZE")
        updates = note("updates", count, load(ours, [editions[2]], 4))
        figures[-1].update(to_floor=updates / base_updates, goal="0.6 of floor")
        stale = note("stale, known", count, load(ours, [editions[1]], 5))
        figures[-1].update(to_new=stale / new, goal="3x new")

        files = max(int(SMALL_FILES * scale), 10)
        small = folder / "small"
        small.mkdir()
        for n in range(files):
            write_envelope(small / f"{n}.json", n * SMALL_RECORDS, SMALL_RECORDS, 1)
        seconds = load(bench.database("small", "loader"), sorted(small.iterdir()), 1)
        rate = note(f"{files} files of {SMALL_RECORDS}", files * SMALL_RECORDS, seconds)
        figures[-1].update(to_new=rate / new, goal="0.6 of one big file")

        for megabytes in (64, 1024):
            records = int(megabytes * 1024 * 1024 * scale / (editions[1].stat().st_size / count))
            large = folder / "large.json"
            write_envelope(large, 10_000_000 * megabytes, records, 1)
            memory, seconds = peak_memory(bench.conninfo("large", "loader"), large)
            note(
                f"one envelope of {large.stat().st_size >> 20} MB",
                records,
                seconds,
                peak_mb=memory,
                goal="250 MB, flat",
            )
    return figures
