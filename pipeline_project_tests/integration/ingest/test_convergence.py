"""Any order, duplication or interleaving of the same files ends in the identical tables, whatever dies on the way.

Random sets of files are applied in random order and batches, with re-deliveries, replays, crashes between any two
statements and parallel workers. The tables have to be those that `model` says, a few lines of plain Python, and those
that the files give when they are loaded one after another in their own order.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_project.errors import Transient
from pipeline_project.ingest import ledger
from pipeline_project.ingest.decoding import json_records
from pipeline_project.ingest.ledger.objects import ObjectSeen
from pipeline_project.ingest.loading import loader as load
from pipeline_project.ingest.loading import microbatches as pieces
from pipeline_project.ingest.loading import worker
from pipeline_project.ingest.loading.loader import Loader
from pipeline_project.ingest.loading.worker import Worker, open_object
from pipeline_project.ingest.mapping.rows import ObjectPosition
from pipeline_project.ingest.rejects import rejected_rows as quarantine
from pipeline_project.ingest.rejects.rejected_rows import Selection
from pipeline_project.schema.sql_files import query
from pipeline_project.sources import registry
from pipeline_project_tests.fix_ingest import MENDED, register
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
        if row.fault == "negative":
            value = "x" if self.dataset == "metrics" else -1
        if row.deleted:
            fields["_deleted"] = True
        name = "title" if row.fault == "title" else "name"
        if row.fault == "title" and row.updated_at is not None:
            fields["changed"] = fields.pop("updated_at")
        match self.dataset:
            case "relationships":
                fields |= {"parent_id": source_id, "child_id": "P", "relationship_type": "owns", "weight": row.value}
                if row.fault == "negative":
                    fields["valid_to"] = "1899-12-31"
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
    fault=st.sampled_from([None] * 12 + ["not json", "future", "date", "negative"]),
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


@dataclass
class Model:
    """The tables, as plain lists."""

    entities: list[tuple[Any, ...]]
    versions: list[tuple[Any, ...]]
    confirmations: list[tuple[Any, ...]]
    relationships: list[tuple[Any, ...]]
    metrics: list[tuple[Any, ...]]
    rejects: list[tuple[Any, ...]]
    objects: list[tuple[Any, ...]]


def model(files: Sequence[tuple[int, File]]) -> Model:
    """What the files say, object ids beside them."""
    result = Model([], [], [], [], [], [], [])
    said: dict[tuple[str, str], dict[int, tuple[Position, int, Said]]] = {}
    good_rows: dict[str, list[tuple[Position, int]]] = {}
    rejects: list[tuple[int, int, str | None, Position]] = []
    for object_id, file in files:
        bad = [row for row in file.rows if row.fault]
        code = file.refusal
        if code is None and 2 * len(bad) > len(file.rows):
            code = "too_many_rejects"
        for ordinal, row in enumerate(file.rows, 1):
            key = f"{file.source}_{row.number}"
            if row.fault:
                if code in (None, "too_many_rejects"):
                    known = file.dataset == "entities" and row.fault != "not json"
                    # What is wrong with its time has none.
                    own = row if row.fault == "negative" else Said(row.number, row.value, None)
                    rejects.append(
                        (object_id, ordinal, key if known else None, own.position(file.modified_at, object_id))
                    )
            elif code is None:
                position = row.position(file.modified_at, object_id)
                assertion = (position, ordinal, row)
                said_of_key = said.setdefault((file.dataset, key), {})
                if object_id not in said_of_key or said_of_key[object_id][:2] < assertion[:2]:
                    said_of_key[object_id] = assertion
                if file.dataset == "entities":
                    good_rows.setdefault(key, []).append(assertion[:2])
        state = "failed" if code else "loaded_with_rejects" if bad else "loaded"
        result.objects.append((object_id, state, code, None if code else len(file.rows), None if code else len(bad)))
    for (dataset, key), assertions in sorted(said.items()):
        history = sorted(assertions.values(), key=lambda each: each[0])
        if dataset == "entities":
            _entity(result, key, history)
        else:
            position, ordinal, row = history[-1]
            getattr(result, dataset).append((key, *position, ordinal, row.deleted, Decimal(row.value)))
    result.rejects = [
        (
            object_id,
            ordinal,
            key,
            position[0],
            "superseded" if any(good > (position, ordinal) for good in good_rows.get(key or "", [])) else "open",
        )
        for object_id, ordinal, key, position in sorted(rejects)
    ]
    result.objects.sort()
    result.confirmations.sort()
    return result


def _entity(result: Model, key: str, history: list[tuple[Position, int, Said]]) -> None:
    states: list[tuple[Any, ...]] = []
    for position, ordinal, row in history:
        state = (row.deleted, Decimal(row.value))
        if states and states[-1][5:] == state:
            result.confirmations.append((key, *position, ordinal))
        else:
            states.append((*position, ordinal, len(states) + 1, *state))
    result.entities.append((key, *states[-1]))
    result.versions += [(key, *state, following[0]) for state, following in pairwise(states)]


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
    """One database for all examples of a test."""

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
        self.admin.execute("""
            DELETE FROM canonical.entities; DELETE FROM canonical.entity_versions;
            DELETE FROM canonical.entity_confirmation_blocks; DELETE FROM canonical.entity_relationships;
            DELETE FROM canonical.time_series_data;
            DELETE FROM ingest.rejects; DELETE FROM ingest.objects; DELETE FROM ingest.data_versions""")
        if mappings:
            self.admin.execute("DELETE FROM ingest.mappings")

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


@pytest.fixture
def bench(database: FreshDatabase) -> Iterator[Bench]:
    made = Bench(database)
    yield made
    made.close()


@contextmanager
def small_limits(data: st.DataObject) -> Iterator[None]:
    """Chunks and pieces of a few records and batches of a few objects, so that every border is crossed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "CHUNK_RECORDS", data.draw(st.integers(1, 4), "records of a chunk"))
        patch.setattr(worker, "TOGETHER_OBJECTS", data.draw(st.integers(1, 4), "objects of a batch"))
        patch.setattr(pieces, "MICRO_BATCH_RECORDS", data.draw(st.integers(1, 6), "records of a piece"))
        patch.setattr(
            pieces, "MICRO_BATCH_OF_SMALL", data.draw(st.integers(1, 6), "records of a piece of small objects")
        )
        patch.setattr(load, "PROBE_BACKOFF", data.draw(st.integers(1, 3), "pieces without a probe"))
        patch.setattr(load, "KNOWN_ENOUGH", data.draw(st.sampled_from([0, 0.5, 2]), "share of known records"))
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
        found = bench.tables(READ)
        everything = bench.tables(EVERYTHING)
        bench.check_counts()
    expected = vars(model([(object_id, file) for object_id, (_, file) in unique.items()]))
    for name, rows in found.items():
        assert rows == expected[name], name
    bench.empty()
    bench.load_in_order(landing, in_order(unique.values()))
    assert bench.tables(EVERYTHING) == everything


MENDABLE = st.builds(
    File,
    source=st.just("legacy"),
    dataset=st.just("entities"),
    name=st.sampled_from("abc"),
    second=st.integers(0, 3),
    rows=st.lists(
        st.builds(
            Said,
            number=st.integers(1, 3),
            value=st.integers(0, 2),
            updated=st.none() | st.integers(0, 3),
            fault=st.sampled_from([None, None, None, "title", "negative"]),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
    form=st.just("array"),
)
"""Files of which a mended mapping understands more than the one before."""


def check_mended(bench: Bench, files: list[File], data: st.DataObject, patch: pytest.MonkeyPatch) -> None:
    """Rejects and objects that are replayed under a mended mapping end as if they had been read with it at once."""
    landing = Landing()
    unique = {seen.object_id: (seen, file) for seen, file in ((put(landing, file), file) for file in files)}
    seen = [each for each, _ in unique.values()]
    with small_limits(data):
        bench.empty()
        apply(bench, landing, seen, data)
        register(patch, dataclasses.replace(MENDED, reject_threshold=0.5))
        bench.replay_rejects()
        bench.check_counts()
        bench.replay(seen)
        bench.ingest(landing, data.draw(st.permutations(bench.discover([])), "order of replays"))
        bench.check_counts()
        replayed = bench.tables(EVERYTHING)
    bench.empty(mappings=False)
    bench.load_in_order(landing, in_order(unique.values()))
    at_once = bench.tables(EVERYTHING)
    for name in ("entities", "versions"):
        assert replayed[name] == at_once[name], name
    open_rejects = [[row for (row,) in found["rejects"] if row["status"] == "open"] for found in (replayed, at_once)]
    assert open_rejects[0] == open_rejects[1]


# --- late rows among many confirmations, read by two mappings


@dataclass(frozen=True)
class Export:
    """An upload like many others: most say the same again."""

    second: int
    rows: tuple[tuple[int, str, int | None], ...]
    """Number, name, and a time in half days before the beginning: only the mended mapping takes it for the row's own."""

    @property
    def modified_at(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.second)

    def content(self) -> bytes:
        records = [
            {"id": number, "name": name} | ({} if half_days is None else {"changed": self._changed(half_days)})
            for number, name, half_days in self.rows
        ]
        return json.dumps(records).encode()

    def said(self, object_id: int, mapping: int) -> Iterator[tuple[int, Position, int, tuple[str, str | None]]]:
        """Number, position, ordinal and content of each row, as that mapping reads it."""
        for ordinal, (number, name, half_days) in enumerate(self.rows, 1):
            changed = None if half_days is None else self._changed(half_days)
            at = self.modified_at if changed is None or mapping == 1 else datetime.fromisoformat(changed)
            yield number, (at, self.modified_at, object_id), ordinal, (name, changed if mapping == 1 else None)

    @staticmethod
    def _changed(half_days: int) -> str:
        return (BEGINNING - timedelta(hours=12 * half_days)).isoformat()


EXPORTS = st.builds(
    Export,
    second=st.integers(0, 20),
    rows=st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 2]), st.sampled_from("AAAAAB"), st.sampled_from([None, None, None, None, 0, 1, 2])
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
TOLD = """
    SELECT canonical_id, {row}.source_updated_at, {row}.object_modified_at, {row}.object_id, {row}.ordinal,
           {row}.mapping_version"""
TIMELINES = {
    "states": f"""
        {TOLD.format(row="e")}, version, name, attributes ->> 'changed', NULL FROM canonical.entities e
        UNION ALL
        {TOLD.format(row="v")}, v.version, v.name, v.attributes ->> 'changed', v.valid_to
        FROM canonical.entity_versions v JOIN canonical.entities USING (entity_id)
        ORDER BY 1, 2, 3, 4""",
    "confirmations": f"""
        {TOLD.format(row="c")}
        FROM canonical.entity_confirmations c JOIN canonical.entities USING (entity_id) ORDER BY 1, 2, 3, 4""",
}


def timelines(exports: Iterable[tuple[int, Export, int]]) -> dict[str, list[tuple[Any, ...]]]:
    """What has to be there, of each export its object id and the newest mapping that has read it beside it."""
    found: dict[str, list[tuple[Any, ...]]] = {"states": [], "confirmations": []}
    told: dict[int, dict[int, tuple[Position, int, int, tuple[str, str | None]]]] = {}
    for object_id, export, mapping in exports:
        for number, position, ordinal, content in export.said(object_id, mapping):
            of_entity = told.setdefault(number, {})
            of_entity[object_id] = max(
                of_entity.get(object_id, (position, 0, 0, content)), (position, ordinal, mapping, content)
            )
    for number, of_entity in sorted(told.items()):
        states: list[tuple[Any, ...]] = []
        for position, ordinal, mapping, content in sorted(of_entity.values()):
            row = (f"legacy_{number}", *position, ordinal, mapping)
            if states and states[-1][7:] == content:
                found["confirmations"].append(row)
            else:
                states.append((*row, len(states) + 1, *content))
        ends = [state[1] for state in states[1:]] + [None]
        found["states"] += [(*state, end) for state, end in zip(states, ends, strict=True)]
    return found


def check_late(bench: Bench, exports: list[Export], data: st.DataObject, patch: pytest.MonkeyPatch) -> None:
    """Some are loaded before the mapping is mended; then the others, and some of the first again."""
    landing = Landing()
    seen = [landing.put(f"legacy-data/{name}", each.content(), second=each.second) for name, each in enumerate(exports)]
    order = data.draw(st.permutations(range(len(seen))), "order")
    first = order[: data.draw(st.integers(0, len(order)), "before")]
    again = data.draw(st.lists(st.sampled_from(first), unique=True), "again") if first else []
    then = data.draw(st.permutations([*again, *order[len(first) :]]), "order after")
    with small_limits(data):
        bench.empty()
        # Also where nothing is loaded before the mapping is mended, its version is the second.
        before = registry.sources()["legacy"].fingerprint("entities")
        bench.admin.execute("INSERT INTO ingest.mappings VALUES ('legacy', 'entities', 1, %s)", (before,))
        for mapping, rest in ((1, [seen[n] for n in first]), (2, [seen[n] for n in then])):
            if mapping == 2:
                register(patch, MENDED)
            while rest:
                now = [rest.pop() for _ in range(data.draw(st.integers(1, len(rest)), "together"))]
                bench.discover(now)
                if mapping == 2:
                    bench.replay(now)
                bench.ingest(landing, [each.object_id for each in now])
                bench.check_counts()
                if data.draw(st.integers(0, 9), "load again") == 0:
                    bench.replay(now)
                    bench.ingest(landing, [each.object_id for each in now])
    expected = timelines((seen[n].object_id, exports[n], 2 if n in then else 1) for n in range(len(seen)))
    assert bench.tables(TIMELINES) == expected


RELAXED = settings(
    deadline=None,
    # The database is emptied for each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(RELAXED, max_examples=30)
@given(files=st.lists(FILES, min_size=1, max_size=6), data=st.data())
def test_convergence(bench: Bench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data)


@settings(RELAXED, max_examples=25)
@given(files=st.lists(MENDABLE, min_size=1, max_size=4), data=st.data())
def test_replays_under_a_mended_mapping_converge(bench: Bench, files: list[File], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check_mended(bench, files, data, patch)


@settings(RELAXED, max_examples=25)
@given(exports=st.lists(EXPORTS, min_size=4, max_size=16), data=st.data())
def test_late_rows_find_their_places_among_confirmations(
    bench: Bench, exports: list[Export], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        check_late(bench, exports, data, patch)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@settings(RELAXED, max_examples=300)
@given(files=st.lists(FILES, min_size=1, max_size=10), data=st.data())
def test_convergence_at_length(bench: Bench, files: list[File], data: st.DataObject) -> None:
    check(bench, files, data)
