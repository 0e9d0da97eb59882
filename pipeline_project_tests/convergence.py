"""Files that are loaded in any order, and what the tables hold afterwards: `model` says so in a few lines of plain Python."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pipeline_project.errors import Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import limits
from pipeline_project.ingest.ledger.objects import ObjectSeen
from pipeline_project.ingest.loading import microbatches, probing, worker
from pipeline_project.ingest.loading.loader import Loader
from pipeline_project.ingest.loading.worker import Worker, open_object
from pipeline_project.ingest.mapping.rows import ObjectPosition
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.ingest.rejects.rejected_rows import Selection
from pipeline_project.schema.sql_files import query
from pipeline_project.sources import registry
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import BEGINNING, SETTINGS, Crashing, Landing

Position = tuple[datetime, datetime, int]


# --- what is sent


@dataclass(frozen=True)
class Said:
    """One row of a file, in words that all sources have."""

    number: int
    value: int
    updated: int | None
    """Half days before the beginning; None: not sent."""
    deleted: bool = False
    fault: str | None = None
    spelling: int = 0
    """Of several ways to write the same."""

    @property
    def updated_at(self) -> datetime | None:
        return None if self.updated is None else BEGINNING - timedelta(hours=12 * self.updated)

    def position(self, modified_at: datetime, object_id: int) -> Position:
        return (self.updated_at or modified_at, modified_at, object_id)


@dataclass(frozen=True)
class File:
    """One upload."""

    source: str
    dataset: str
    name: str
    second: int
    rows: tuple[Said, ...]
    form: str
    fault: str | None = None

    @property
    def key(self) -> str:
        folder = "" if self.dataset == "entities" else f"{self.dataset}/"
        return f"{self.source}-data/{folder}{self.name}"

    @property
    def modified_at(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.second)

    @property
    def refusal(self) -> str | None:
        """Why the file cannot be read as a whole, if it cannot."""
        if self.form == "lines":  # a line by itself is a single object
            return "bad_json" if len(self.rows) == 1 and self.rows[0].fault == "not json" else None
        if self.fault == "count" and self.form == "envelope":
            return "count_mismatch"
        return "truncated" if self.fault else None

    def content(self) -> bytes:
        texts = [self._text(row) for row in self.rows]
        match self.form:
            case "lines":
                return "\n".join(texts).encode() + b"\n"
            case "envelope":
                count = len(texts) + (self.fault == "count")
                end = "" if self.fault == "truncated" else "}"
                return f'{{"records": [{",".join(texts)}], "metadata": {{"recordCount": {count}}}{end}'.encode()
            case _:
                return f"[{', '.join(texts)}{'' if self.fault else ']'}".encode()

    def _text(self, row: Said) -> str:
        if row.fault == "not json":
            return "{no json}"
        source_id: Any = [row.number, str(row.number), f" {row.number} "][row.spelling % 3]
        value: Any = [row.value, f"{row.value}.0", float(row.value)][row.spelling % 3]
        fields: dict[str, Any] = {}
        if row.updated_at is not None:
            fields["updated_at"] = row.updated_at.strftime(
                ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+00:00"][row.spelling % 3]
            )
        if row.fault == "future":
            fields["updated_at"] = "2031-01-01T00:00:00Z"
        if row.fault == "date":
            fields["updated_at"] = "31/12/2024"
        if row.fault == "invalid" and self.dataset == "metrics":
            value = "x"
        if row.deleted:
            fields["_deleted"] = True
        if row.fault == "invalid" and self.dataset not in ("metrics", "relationships"):
            fields["_deleted"] = "perhaps"
        name = "title" if row.fault == "title" else "name"
        if row.fault == "title" and row.updated_at is not None:
            fields["changed"] = fields.pop("updated_at")
        match self.dataset:
            case "relationships":
                fields |= {"parent_id": source_id, "child_id": "P", "relationship_type": "owns", "weight": row.value}
                if row.fault == "invalid":
                    fields["valid_to"] = "1899-12-31"
            case "receipts":
                fields |= {"receipt_id": source_id, "customer_id": row.value, "amount": value, "paid_share": 0.5}
            case "products":
                fields |= {"article": source_id, "prices": {"net": value}, "listed_at": "2025-01-31T10:00:00Z"}
            case "metrics":
                fields |= {"id": source_id, "type": "revenue", "date": "2025-01-31", "value": value}
            case _ if self.source == "erp":
                fields |= {"businessId": source_id, "businessName": "A", "financials": {"annualRevenue": value}}
            case _:
                fields |= {"id": source_id, name: "A", "revenue": value}
        return json.dumps(fields)


SAID = st.builds(
    Said,
    number=st.integers(1, 3),
    value=st.integers(0, 2),
    updated=st.none() | st.integers(0, 3),
    deleted=st.sampled_from([False, False, False, True]),
    fault=st.sampled_from([None] * 12 + ["not json", "future", "date", "invalid"]),
    spelling=st.integers(0, 2),
)
FILES = st.builds(
    File,
    source=st.sampled_from(["crm", "crm", "crm", "erp", "legacy"]),
    dataset=st.sampled_from(["entities"] * 6 + ["relationships", "metrics"]),
    name=st.sampled_from("abc"),
    second=st.integers(0, 3),
    rows=st.lists(SAID, min_size=1, max_size=7).map(tuple),
    form=st.sampled_from(["array", "array", "envelope", "lines"]),
    fault=st.sampled_from([None] * 12 + ["truncated", "count"]),
).map(lambda file: File(**{**vars(file), "fault": None}) if file.form == "lines" else file)


# --- what has to be there afterwards


Tables = dict[str, list[tuple[Any, ...]]]
"""The tables, as plain lists."""
Versions = Callable[[Tables, str, str, list[tuple[Position, int, Said]]], None]
VERSIONED = ("entities", "products")
KEYED_BY_ID = (*VERSIONED, "receipts")
"""Datasets whose key can be read in an invalid record."""


def model(files: Sequence[tuple[int, File]], versions: "Versions | None" = None) -> Tables:
    """What the files say, object ids beside them. `versions` adds the history of a key."""
    result: Tables = defaultdict(list)
    said: dict[tuple[str, str], dict[int, tuple[Position, int, Said]]] = {}
    good_rows: dict[tuple[str, str | None], list[tuple[Position, int]]] = {}
    rejects: list[tuple[int, int, str | None, Position, str]] = []
    for object_id, file in files:
        bad = [row for row in file.rows if row.fault]
        code = file.refusal
        if code is None and 2 * len(bad) > len(file.rows):
            code = "too_many_rejects"
        for ordinal, row in enumerate(file.rows, 1):
            key = f"{file.source}_{row.number}"
            if row.fault:
                if code in (None, "too_many_rejects"):
                    known = file.dataset in KEYED_BY_ID and row.fault != "not json"
                    # What is wrong with its time has none.
                    own = row if row.fault == "invalid" else Said(row.number, row.value, None)
                    rejects.append(
                        (
                            object_id,
                            ordinal,
                            key if known else None,
                            own.position(file.modified_at, object_id),
                            file.dataset,
                        )
                    )
            elif code is None:
                position = row.position(file.modified_at, object_id)
                assertion = (position, ordinal, row)
                said_of_key = said.setdefault((file.dataset, key), {})
                if object_id not in said_of_key or said_of_key[object_id][:2] < assertion[:2]:
                    said_of_key[object_id] = assertion
                if file.dataset in VERSIONED:
                    good_rows.setdefault((file.dataset, key), []).append(assertion[:2])
        state = "failed" if code else "loaded_with_rejects" if bad else "loaded"
        result["objects"].append((object_id, state, code, None if code else len(file.rows), None if code else len(bad)))
    for (dataset, key), assertions in sorted(said.items()):
        history = sorted(assertions.values(), key=lambda each: each[0])
        if dataset in VERSIONED:
            (versions or _versions)(result, dataset, key, history)
        else:
            position, ordinal, row = history[-1]
            result[dataset].append((key, *position, ordinal, row.deleted, Decimal(row.value)))
    result["rejects"] = [
        (
            object_id,
            ordinal,
            key,
            position[0],
            "superseded" if any(good > (position, ordinal) for good in good_rows.get((dataset, key), [])) else "open",
        )
        for object_id, ordinal, key, position, dataset in sorted(rejects)
    ]
    result["objects"].sort()
    result["confirmations"].sort()
    return result


def _versions(result: Tables, dataset: str, key: str, history: list[tuple[Position, int, Said]]) -> None:
    states: list[tuple[Any, ...]] = []
    for position, ordinal, row in history:
        state = (row.deleted, Decimal(row.value))
        if states and states[-1][5:] == state:
            result["confirmations"].append((key, *position, ordinal))
        else:
            states.append((*position, ordinal, len(states) + 1, *state))
    result[dataset].append((key, *states[-1]))
    result["versions"] += [(key, *state, following[0]) for state, following in pairwise(states)]


READ = {
    "entities": """
        SELECT canonical_id, source_updated_at, object_modified_at, object_id, ordinal, version, deleted, revenue
        FROM canonical.entities ORDER BY canonical_id""",
    "versions": """
        SELECT canonical_id, v.source_updated_at, v.object_modified_at, v.object_id, v.ordinal, v.version, v.deleted,
               v.revenue, v.valid_to
        FROM canonical.entity_versions v JOIN canonical.entities USING (entity_id) ORDER BY canonical_id, v.version""",
    "confirmations": """
        SELECT canonical_id, c.source_updated_at, c.object_modified_at, c.object_id, c.ordinal
        FROM canonical.entity_confirmations c JOIN canonical.entities USING (entity_id) ORDER BY 1, 2, 3, 4""",
    "relationships": """
        SELECT parent_canonical_id, source_updated_at, object_modified_at, object_id, ordinal, deleted,
               (attributes ->> 'weight')::numeric
        FROM canonical.entity_relationships ORDER BY 1""",
    "metrics": """
        SELECT canonical_id, source_updated_at, object_modified_at, object_id, ordinal, deleted, value
        FROM canonical.time_series_data ORDER BY 1""",
    "rejects": """
        SELECT object_id, ordinal, record_key, source_updated_at, status FROM ingest.rejects ORDER BY 1, 2""",
    "objects": """
        SELECT object_id, state, error_code, CASE WHEN error_code IS NULL THEN records END,
               CASE WHEN error_code IS NULL THEN rejected END
        FROM ingest.objects ORDER BY 1""",
}
EVERYTHING = {
    # All columns but the identities and clocks of the database, and the digest: of equal states it is any row's.
    "entities": """
        SELECT to_jsonb(e) - '{entity_id, record_digest, created_at, updated_at}'::text[]
        FROM canonical.entities e ORDER BY canonical_id""",
    "versions": """
        SELECT canonical_id, to_jsonb(v) - '{entity_id, record_digest, recorded_at}'::text[]
        FROM canonical.entity_versions v JOIN canonical.entities USING (entity_id) ORDER BY canonical_id, v.version""",
    "relationships": """
        SELECT to_jsonb(r) - '{created_at, updated_at}'::text[]
        FROM canonical.entity_relationships r ORDER BY source, parent_canonical_id, child_canonical_id""",
    "metrics": "SELECT to_jsonb(t) FROM canonical.time_series_data t ORDER BY canonical_id",
    "rejects": """
        SELECT to_jsonb(r) - '{reject_id, created_at, settled_at}'::text[] FROM ingest.rejects r
        ORDER BY object_id, ordinal""",
}


class Bench:
    """One database for all examples of a test, and the queries of what it has to hold."""

    read: ClassVar[dict[str, str]] = READ
    everything: ClassVar[dict[str, str]] = EVERYTHING
    emptied: ClassVar[tuple[str, ...]] = (
        *("canonical.entities", "canonical.entity_versions", "canonical.entity_confirmation_blocks"),
        *("canonical.entity_relationships", "canonical.time_series_data"),
    )

    def __init__(self, database: FreshDatabase) -> None:
        self.database = database
        self.admin = psycopg.connect(database.admin, autocommit=True)
        self._connection = database.loader.open(autocommit=True)
        self._loader = Loader(self._connection, "in order")

    def close(self) -> None:
        self.admin.close()
        self._connection.close()

    def empty(self, *, mappings: bool = True) -> None:
        """Begin again, with the first version of each mapping unless `mappings` are to stay as they are."""
        if mappings:
            self.admin.execute("DELETE FROM ingest.mappings")
        for table in (*self.emptied, "ingest.rejects", "ingest.objects", "ingest.data_versions"):
            self.admin.execute(f"DELETE FROM {table}".encode())

    def tables(self, queries: dict[str, str]) -> dict[str, list[tuple[Any, ...]]]:
        return {name: self.admin.execute(query.encode()).fetchall() for name, query in queries.items()}

    def check_counts(self) -> None:
        wrong = self.admin.execute("""
            SELECT key, records, inserted, updated, unchanged, stale, rejected FROM ingest.objects
            WHERE state LIKE 'loaded%'
              AND (records <> inserted + updated + unchanged + stale + rejected
                   OR least(inserted, updated, unchanged, stale, rejected) < 0)""").fetchall()
        assert wrong == []
        # What the check calls damage, no order of arrival may cause.
        assert self.admin.execute(query("checks/entity_versions_are_gapless")).fetchall() == []

    def discover(self, seen: Sequence[ObjectSeen]) -> list[int]:
        ledger.discover(self._connection, seen)
        return [each.object_id for each in ledger.waiting(self._connection, 1000)]

    def replay(self, seen: Sequence[ObjectSeen]) -> None:
        ledger.replay(self._connection, [each.object_id for each in seen])

    def replay_rejects(self) -> None:
        quarantine.replay(self._connection, Selection(source="legacy"))

    def ingest(self, landing: Landing, waiting: Sequence[int]) -> None:
        for _ in Worker(self.database.loader, landing, SETTINGS, apart=None).ingest(waiting):
            pass

    def load_in_order(self, landing: Landing, seen: Sequence[ObjectSeen]) -> None:
        """One by one, without a worker."""
        for each in seen:
            ledger.discover(self._connection, [each])
            (claimed,) = ledger.claim(self._connection, [each.object_id], worker="in order", run_id=None, seconds=100)
            answer = landing.get_object(Bucket=each.bucket, Key=each.key, VersionId=each.version)
            opened = open_object(claimed, ObjectPosition(each.object_id, answer["LastModified"]), answer["Body"])
            assert self._loader.load_one(registry.sources()[claimed.source], claimed.dataset, opened) is not None


@contextmanager
def small_limits(data: st.DataObject) -> Iterator[None]:
    """Chunks and micro-batches of a few records and batches of a few objects, so that every border is crossed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CHUNK_RECORDS", data.draw(st.integers(1, 4), "records of a chunk"))
        patch.setattr(worker, "TOGETHER_OBJECTS", data.draw(st.integers(1, 4), "objects of a batch"))
        patch.setattr(microbatches, "MICRO_BATCH_RECORDS", data.draw(st.integers(1, 6), "records of a micro-batch"))
        patch.setattr(
            microbatches,
            "MICRO_BATCH_OF_SMALL",
            data.draw(st.integers(1, 6), "records of a micro-batch of small objects"),
        )
        patch.setattr(probing, "PROBE_BACKOFF", data.draw(st.integers(1, 3), "micro-batches without a probe"))
        patch.setattr(probing, "KNOWN_ENOUGH", data.draw(st.sampled_from([0, 0.5, 2]), "share of known records"))
        patch.setattr(worker, "SMALL", data.draw(st.sampled_from([0, 250, 1 << 20]), "small"))
        yield


def apply(bench: Bench, landing: Landing, seen: list[ObjectSeen], data: st.DataObject) -> None:
    """Load the objects in some order, with all that can happen on the way."""
    order = data.draw(st.permutations(seen), "order")
    again = data.draw(st.lists(st.sampled_from(seen), max_size=3), "again")
    rest = [*order, *again]
    while rest:
        count = data.draw(st.integers(1, len(rest)), "batch")
        now, rest = rest[:count], rest[count:]
        event = data.draw(st.sampled_from(["load", "load", "load", "replay", "crash", "parallel", "leave"]), "event")
        if event == "replay":
            bench.replay(data.draw(st.lists(st.sampled_from(seen), max_size=2), "replayed"))
        waiting = bench.discover(now)
        if event == "parallel":
            with ThreadPoolExecutor(2) as pool:
                both = [pool.submit(bench.ingest, landing, waiting) for _ in range(2)]
            for each in both:
                each.result()
            continue
        database = bench.database.loader
        if event == "crash":
            statement = data.draw(st.integers(0, 40), "statement")
            database = Crashing(database, bench.admin, statement, after=data.draw(st.booleans(), "after"))
        outcomes = Worker(database, landing, SETTINGS, apart=None).ingest(waiting)
        try:
            for _ in outcomes:
                if event == "leave":
                    outcomes.close()
        except Transient:
            assert event == "crash"
    # Whatever died left its work to the next one.
    bench.ingest(landing, bench.discover([]))


def put(landing: Landing, file: File) -> ObjectSeen:
    return landing.put(file.key, file.content(), second=file.second)


def in_order(objects: Iterable[tuple[ObjectSeen, File]]) -> list[ObjectSeen]:
    """As the positions of their rows without times are."""
    return [seen for seen, _ in sorted(objects, key=lambda pair: (pair[1].second, pair[0].object_id))]


def check(bench: Bench, files: list[File], data: st.DataObject) -> None:
    landing = Landing()
    unique = {seen.object_id: (seen, file) for seen, file in ((put(landing, file), file) for file in files)}
    with small_limits(data):
        bench.empty()
        apply(bench, landing, [each for each, _ in unique.values()], data)
        found = bench.tables(bench.read)
        everything = bench.tables(bench.everything)
        bench.check_counts()
    expected = model([(object_id, file) for object_id, (_, file) in unique.items()])
    for name, rows in found.items():
        assert rows == expected[name], name
    bench.empty()
    bench.load_in_order(landing, in_order(unique.values()))
    assert bench.tables(bench.everything) == everything


RELAXED = settings(
    deadline=None,
    # The database is emptied for each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
