"""Job records in DynamoDB. Every write is conditional on the state before it: of two who would move a job one wins.

A submission with an Idempotency-Key has an id that follows from key and principal: however many arrive at once, one
record is written, by one conditional put.

A principal's open jobs are a set of ids beside the records. One transaction writes a record and adds its id to the set,
if the set has room. Another transaction writes the end of a job and takes its id out. Therefore the limit always holds:
an id in the set has a record from its first moment on. A record that expires before its end leaves its id behind. Such
ids are removed when the set is full.
"""

import datetime as dt
import hashlib
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import msgspec

from pipeline_project import exact_json
from pipeline_project.errors import Permanent, Transient
from pipeline_project.jobs import outbox
from pipeline_project.jobs.model import TRANSITIONS, Failure, Job, Reason, Result, State, moment, now, timestamp
from pipeline_project.jobs.table import (
    BY_STATE,
    BY_TIME,
    EXPIRY,
    SEEN_TO_AT_ONCE,
    Change,
    Item,
    Raw,
    decode,
    encode,
)
from pipeline_project.results.options import DEFAULTS, ResultOptions
from pipeline_project.settings import Settings

ID_NAMESPACE = uuid.UUID("6f0f4c0a-6d1c-5d0e-9c41-2f6f2f0a7d11")
JSON_FIELDS = ("parameters", "labels", "error", "result")
LABELS = "label_pairs"
"""Attribute of the labels as a set of `name:value`, which a filter can look into."""
CONDITION_FAILED = "ConditionalCheckFailed"
EVALUATED = (100, *[1_000] * 9)
"""Jobs that each read of a filtered listing looks at. They bound the work for a page. If they do not suffice, the caller gets the
jobs that were found and a cursor to go on. DynamoDB itself ends a read after 1 MB."""
TRIES = 8
"""Tries of a transaction. DynamoDB cancels one that meets another transaction on the same item."""
FIRST_PAUSE_SECONDS = 0.02
"""Longest pause after the first try. It doubles with each try, so that all pauses take at most 2.6 seconds."""


class IdempotencyConflict(Permanent):
    """The Idempotency-Key was used before, for something else."""

    code = "idempotency_key_reused"


class TooManyJobs(Transient):
    """The principal has as many open jobs as are allowed."""

    code = "too_many_jobs"


class StateConflict(Permanent):
    """The job is not in a state from which it may go there; `job` is as it stands, None if there is none."""

    def __init__(self, job: Job | None) -> None:
        super().__init__(f"job {job.id} is {job.state}" if job else "no such job")
        self.job = job


class Page(msgspec.Struct, frozen=True):
    """Jobs, newest first; `after` continues the listing, None at its end."""

    jobs: list[Job]
    after: str | None


class JobStore:
    """The records of one table. `dynamodb` is a boto3 client; `clock` gives the time in UTC."""

    def __init__(
        self,
        dynamodb: Any,
        table: str,
        clock: Callable[[], dt.datetime] = now,
        *,
        retention_days: int = 30,
        open_jobs: int = 20,
    ) -> None:
        """`open_jobs` is how many jobs one principal may have that are not at an end."""
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock
        self._retention = dt.timedelta(days=retention_days)
        self._open_jobs = open_jobs

    @classmethod
    def from_settings(cls, settings: Settings, dynamodb: Any) -> Self:
        return cls(
            dynamodb,
            settings.table_name,
            retention_days=settings.job_retention_days,
            open_jobs=settings.api_max_unfinished_jobs,
        )

    # --- submit and read

    def submit(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        principal: str,
        *,
        idempotency_key: str | None = None,
        options: ResultOptions = DEFAULTS,
        labels: Mapping[str, str] | None = None,
        reason: Reason | None = None,
        trace: str | None = None,
    ) -> tuple[Job, bool]:
        """The job, and whether it is new. Its state is SUBMITTED; nothing is launched yet.

        Raises IdempotencyConflict and TooManyJobs.
        """
        job = self._new(
            self._job_id(principal, idempotency_key),
            operation=operation,
            parameters=parameters,
            owner=principal,
            options=options,
            labels=dict(labels or {}),
            reason=reason,
            trace=trace,
        )
        if idempotency_key is not None and (known := self.get(job.id)):
            return self._same(known, job), False
        while (codes := self._write_new(job)) is not None:
            if codes[0] == CONDITION_FAILED:
                known = self.get(job.id)
                if known is None:
                    raise Transient("the job record cannot be read") from None
                return self._same(known, job), False
            if not self._forget_ended(principal):
                raise TooManyJobs(f"{self._open_jobs} jobs of yours are not at an end yet; wait for one or cancel one")
        return job, True

    def _write_new(self, job: Job) -> list[str] | None:
        """Write the record and add its id to the open jobs. Return None, or why the record and the id were not written."""
        put = {
            "TableName": self._table,
            "Item": _item(job),
            # DynamoDB deletes some time after the expiry.
            "ConditionExpression": "attribute_not_exists(pk) OR #expiry <= :now",
            "ExpressionAttributeNames": {"#expiry": EXPIRY},
            "ExpressionAttributeValues": encode({":now": self._seconds()}),
        }
        add = {
            "TableName": self._table,
            "Key": _open_key(job.owner),
            "UpdateExpression": "ADD jobs :id",
            "ConditionExpression": "attribute_not_exists(jobs) OR size(jobs) < :most",
            "ExpressionAttributeValues": {":id": {"SS": [job.id]}, **encode({":most": self._open_jobs})},
        }
        return self._write_together({"Put": put}, {"Update": add})

    @staticmethod
    def _job_id(principal: str, idempotency_key: str | None) -> str:
        if idempotency_key is None:
            return str(uuid.uuid4())
        return str(uuid.uuid5(ID_NAMESPACE, f"{principal}\n{idempotency_key}"))

    def _new(self, job_id: str, options: ResultOptions, **asked: Any) -> Job:
        question = [asked["operation"], asked["parameters"], options.format, *options.chosen().items()]
        question += [asked["labels"]] if asked["labels"] else []
        created = self._clock()
        return Job(
            id=job_id,
            **asked,
            **msgspec.structs.asdict(options),
            state=State.SUBMITTED,
            fingerprint=hashlib.sha256(exact_json.encode_sorted(question)).hexdigest(),
            created_at=timestamp(created),
            updated_at=timestamp(created),
            expires_at=timestamp(created + self._retention),
        )

    @staticmethod
    def _same(known: Job, asked: Job) -> Job:
        if known.fingerprint != asked.fingerprint:
            raise IdempotencyConflict("this Idempotency-Key was used for another request; take a new one")
        return known

    def get(self, job_id: str) -> Job | None:
        """The job as it stands, None if there is none or it has expired."""
        found = self._dynamodb.get_item(TableName=self._table, Key=_key(job_id), ConsistentRead=True).get("Item")
        if found is None or int(found[EXPIRY]["N"]) <= self._clock().timestamp():
            return None
        return _job(found)

    def listing(
        self,
        principal: str,
        *,
        limit: int = 50,
        after: str | None = None,
        states: Iterable[State] = (),
        operation: str | None = None,
        labels: Iterable[str] = (),
        created_from: str | None = None,
        created_before: str | None = None,
    ) -> Page:
        """List a principal's jobs, newest first. `after` is of the page before; times are as `timestamp` writes them.

        A page has `limit` jobs unless the list ends, or the bound of EVALUATED is reached. The index follows the records
        within moments, so a job that was just submitted may be missing and a state may be the one before.
        """
        # "#" is what follows the time in the key, so that the upper bound itself is left out.
        earliest, before = created_from or "0", created_before or "9999~"
        if earliest > before:  # which DynamoDB refuses
            return Page([], None)
        names: dict[str, str] = {"#expiry": EXPIRY}
        values: dict[str, Any] = {
            ":owner": f"jobs#{principal}",
            ":from": earliest,
            ":before": before,
            ":now": self._seconds(),
        }
        filters = ["#expiry > :now"]
        if wanted := list(states):
            names["#state"] = "state"
            values |= {f":state{n}": state for n, state in enumerate(wanted)}
            filters.append(f"#state IN ({', '.join(f':state{n}' for n in range(len(wanted)))})")
        if operation is not None:
            names["#operation"] = "operation"
            values[":operation"] = operation
            filters.append("#operation = :operation")
        for number, pair in enumerate(labels):
            names["#labels"] = LABELS
            values[f":label{number}"] = pair
            filters.append(f"contains(#labels, :label{number})")
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": BY_TIME,
            "ScanIndexForward": False,
            "KeyConditionExpression": "gsi1pk = :owner AND gsi1sk BETWEEN :from AND :before",
            "FilterExpression": " AND ".join(filters),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": encode(values),
        }
        if after is not None:
            job_id = after.rpartition("#")[2]
            query["ExclusiveStartKey"] = {**_key(job_id), **encode({"gsi1pk": f"jobs#{principal}", "gsi1sk": after})}
        found: list[Item] = []
        is_filtered = len(filters) > 1
        for evaluated in EVALUATED:
            # One more than the page has, to know whether the list goes on.
            missing = limit + 1 - len(found)
            page = self._dynamodb.query(**query, Limit=max(missing, evaluated) if is_filtered else missing)
            found += page["Items"]
            if len(found) > limit:
                return Page([_job(item) for item in found[:limit]], found[limit - 1]["gsi1sk"]["S"])
            if "LastEvaluatedKey" not in page:
                return Page([_job(item) for item in found], None)
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return Page([_job(item) for item in found], query["ExclusiveStartKey"]["gsi1sk"]["S"])

    def untouched(self, state: State, since: dt.datetime) -> Iterator[list[Job]]:
        """Jobs of all principals in an open state that were not written to since a time, oldest change first, in pages.

        All pages count: jobs that have to wait may fill the first one.
        """
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=BY_STATE,
            KeyConditionExpression="gsi2pk = :state AND gsi2sk < :since",
            ExpressionAttributeValues=encode({":state": state, ":since": timestamp(since)}),
            PaginationConfig={"PageSize": SEEN_TO_AT_ONCE},
        )
        for page in pages:
            yield [_job(found) for found in page["Items"]]

    # --- the life of a job

    def transition(
        self, job_id: str, expected: Iterable[State], new: State, *, unchanged: Job | None = None, **fields: Any
    ) -> Job:
        """Move a job from one of `expected` to `new` and set `fields` of it. Raises StateConflict.

        `unchanged`: nobody may have written to the job since it was read as this. To a final state, the event that
        tells of it is written in the same transaction.
        """
        change = Change()
        if unchanged is not None:
            change.where("updated_at", "=", unchanged.updated_at)
        return self._move(job_id, expected, new, change, fields)

    def launched(self, job_id: str, run_id: str) -> Job | None:
        """A run was launched for the job. None if it has moved on by itself already."""
        try:
            return self._move(job_id, (State.SUBMITTED,), State.QUEUED, Change().add("launches", 1), {"run_id": run_id})
        except StateConflict:
            return None

    def claim(self, job_id: str, run_id: str) -> Job:
        """The job, for the run that may execute it. Raises StateConflict for every other run, which has to leave."""
        began = timestamp(self._clock())
        return self._move(
            job_id,
            (State.SUBMITTED, State.QUEUED),
            State.RUNNING,
            Change().add("attempts", 1),
            {"run_id": run_id, "started_at": began, "heartbeat_at": began, "rows_written": None},
        )

    def heartbeat(self, job_id: str, run_id: str, rows_written: int | None = None) -> Job:
        """Say that the run lives, and learn how the job stands. Raises StateConflict if it is no longer the run's."""
        beat = timestamp(self._clock())
        change = Change().set(heartbeat_at=beat, updated_at=beat, gsi2sk=beat)
        if rows_written is not None:
            change.set(rows_written=rows_written)
        change.where_in("state", (State.RUNNING, State.CANCELLING)).where("run_id", "=", run_id)
        return self._update(job_id, change)

    def finish(self, job: Job, new: State, *, error: Failure | None = None, result: Result | None = None) -> Job:
        """End a job that this run holds (`job` as claimed). Raises StateConflict if it does not, or not any more."""
        expected = (state for state in (State.RUNNING, State.CANCELLING) if new in TRANSITIONS[state])
        change = Change().where("run_id", "=", job.run_id)
        return self._move(job.id, expected, new, change, {"error": error, "result": result})

    def request_cancel(self, job_id: str) -> Job:
        """CANCELLED at once if no run has claimed it; CANCELLING, for its run to see, if one has.

        Asking again, or after the end, changes nothing. Raises StateConflict only if there is no such job.
        """
        asked = timestamp(self._clock())
        for expected, new in (
            ((State.SUBMITTED, State.QUEUED), State.CANCELLED),
            ((State.RUNNING,), State.CANCELLING),
        ):
            try:
                return self.transition(job_id, expected, new, cancel_requested_at=asked)
            except StateConflict as conflict:
                if conflict.job is None:
                    raise
                if conflict.job.state is State.CANCELLING or conflict.job.state.is_final:
                    return conflict.job
        raise Transient("the job is changing state; ask again")

    def _move(
        self, job_id: str, expected: Iterable[State], new: State, change: Change, fields: Mapping[str, Any]
    ) -> Job:
        changed = timestamp(self._clock())
        change.where_in("state", expected)
        change.set(state=new, updated_at=changed)
        change.set(**{n: Raw(v) if n in JSON_FIELDS and v else v for n, v in fields.items()})
        if not new.is_final:
            change.set(gsi2pk=new, gsi2sk=changed)
            return self._update(job_id, change)
        change.set(gsi2pk=None, gsi2sk=None, finished_at=changed)
        before = self.get(job_id)
        if before is None:
            raise StateConflict(None)
        after = msgspec.structs.replace(
            before, **{**fields, "state": new, "updated_at": changed, "finished_at": changed}
        )
        self._end(after, change)
        return after

    def _update(self, job_id: str, change: Change) -> Job:
        try:
            done = self._dynamodb.update_item(
                TableName=self._table, Key=_key(job_id), ReturnValues="ALL_NEW", **change.arguments()
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            raise StateConflict(self.get(job_id)) from None
        return _job(done["Attributes"])

    def _end(self, job: Job, change: Change) -> None:
        """Write the end of a job, its event, and the room for another job."""
        update = {"TableName": self._table, "Key": _key(job.id), **change.arguments()}
        put = {"TableName": self._table, "Item": outbox.item(outbox.job_ended(job))}
        if self._write_together({"Update": update}, {"Put": put}, {"Update": self._remove_open(job.owner, job.id)}):
            raise StateConflict(self.get(job.id))

    def _write_together(self, *actions: Mapping[str, Any]) -> list[str] | None:
        """Write all or nothing. Return None, or a code for each action if a condition is not met."""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(secrets.SystemRandom().uniform(0, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)))
            try:
                self._dynamodb.transact_write_items(TransactItems=actions)
            except self._dynamodb.exceptions.TransactionCanceledException as error:
                codes = [reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])]
                if CONDITION_FAILED in codes:
                    return codes
            else:
                return None
        raise Transient("other requests are changing the same job records: try again in a second")

    # --- the set of a principal's open jobs

    def _forget_ended(self, principal: str) -> bool:
        """Take out the ids of jobs that expired or ended. Return whether there is room now."""
        found = self._dynamodb.get_item(TableName=self._table, Key=_open_key(principal), ConsistentRead=True)
        ids = found.get("Item", {}).get("jobs", {}).get("SS", [])
        ended = [job_id for job_id in ids if (job := self.get(job_id)) is None or job.state.is_final]
        forgotten = 0
        for job_id in ended:
            # After it has expired, an Idempotency-Key may bring the same id again, at this very moment.
            open_states = {
                f":state{n}": state for n, state in enumerate(state for state in State if not state.is_final)
            }
            is_ended = {
                "TableName": self._table,
                "Key": _key(job_id),
                "ConditionExpression": f"attribute_not_exists(pk) OR #expiry <= :now OR NOT #state IN ({', '.join(open_states)})",
                "ExpressionAttributeNames": {"#expiry": EXPIRY, "#state": "state"},
                "ExpressionAttributeValues": encode({":now": self._seconds(), **open_states}),
            }
            removal = {"Update": self._remove_open(principal, job_id)}
            forgotten += self._write_together({"ConditionCheck": is_ended}, removal) is None
        return forgotten > 0

    def _remove_open(self, principal: str, job_id: str) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": _open_key(principal),
            "UpdateExpression": "DELETE jobs :ids",
            "ExpressionAttributeValues": {":ids": {"SS": [job_id]}},
        }

    def _seconds(self) -> int:
        return int(self._clock().timestamp())


def _key(job_id: str) -> Item:
    return encode({"pk": f"job#{job_id}", "sk": "job"})


def _open_key(principal: str) -> Item:
    return encode({"pk": f"principal#{principal}", "sk": "open"})


def _item(job: Job) -> Item:
    fields = {
        name: Raw(value) if name in JSON_FIELDS and value is not None else value
        for name, value in msgspec.structs.asdict(job).items()
    }
    index = {
        "gsi1pk": f"jobs#{job.owner}",
        "gsi1sk": f"{job.created_at}#{job.id}",
        "gsi2pk": job.state,
        "gsi2sk": job.updated_at,
    }
    expiry = {EXPIRY: int(moment(job.expires_at).timestamp())}
    labels = {LABELS: frozenset(f"{name}:{value}" for name, value in job.labels.items()) or None}
    return {**_key(job.id), **encode({**fields, **index, **labels, **expiry})}


def _job(item: Item) -> Job:
    values = decode(item)
    for name in JSON_FIELDS:
        if name in values:
            values[name] = exact_json.decode(values[name])
    return msgspec.convert(values, Job)
