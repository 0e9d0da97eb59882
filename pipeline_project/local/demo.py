"""Verifies, from outside, that every step of the way works: from the uploaded file to the downloaded result."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_project.database import Database
from pipeline_project.errors import PipelineError
from pipeline_project.local.console import StepConsole
from pipeline_project.local.examples import Row
from pipeline_project.local.http_json import request

QUESTION = {"operation": "revenue_analysis", "parameters": {"metric": "revenue", "group_by": "industry", "top_n": 3}}
JOB_SECONDS = 120
LONG_POLL_SECONDS = 5
ENTITIES_OF_SOURCES = b"SELECT source, count(*) FROM entities GROUP BY source ORDER BY source"


class NotAsExpected(PipelineError):
    """A step was verified and does not hold."""


@dataclass(frozen=True)
class Demo:
    """What is verified, and where. `rows` and `rejected` are the ledger's of the example files."""

    expected: Mapping[str, Mapping[str, Any]]
    rows: list[Row]
    rejected: list[Row]
    reader: Database
    api_url: str

    def verify(self, console: StepConsole) -> list[str]:
        """Check everything, whatever the outcome of one; the failures."""
        checks: dict[str, Callable[[], str]] = {
            "Ledger": self.ledger,
            "Rejected rows": self.rejects,
            "SQL as pipeline_reader": self.sql,
            "REST, answered at once": self.query,
            "REST, as a job": self.job,
        }
        failures = []
        for name, check in checks.items():
            try:
                with console.step(name) as progress:
                    progress.text = f"{name}: {check()}"
            except (PipelineError, KeyError, TypeError, ValueError) as error:
                reason = str(error) if isinstance(error, PipelineError) else f"unexpected answer ({error!r})"
                failures.append(f"{name}: {reason}")
        return failures

    def ledger(self) -> str:
        """Each example file is in the state and has the counts that examples/expected.json names."""
        found = {row["key"]: row for row in self.rows}
        wrong = []
        for key, wanted in self.expected.items():
            row = found.get(key, {"state": "not seen"})
            different = [
                f"{name} {row.get(name)}, not {value}" for name, value in wanted.items() if row.get(name) != value
            ]
            wrong += [f"{key}: {', '.join(different)}"] if different else []
        if unexpected := found.keys() - self.expected.keys():
            wrong.append(f"expected.json does not name {', '.join(sorted(unexpected))}")
        if wrong:
            raise NotAsExpected("; ".join(wrong))
        return f"{len(found)} files are as expected"

    def rejects(self) -> str:
        """As many rejects as the ledger counts, each with its place and a reason."""
        counted = sum(row["rejected"] for row in self.rows if row["state"] == "loaded_with_rejects")
        kept = {row["key"] for row in self.rows if row["state"] == "loaded_with_rejects"}
        told = [row for row in self.rejected if row["key"] in kept and row["ordinal"] and row["message"]]
        if len(told) != counted or not counted:
            raise NotAsExpected(f"the ledger counts {counted}, {len(told)} are kept with a reason")
        return f"{counted} are kept, each with its reason"

    def sql(self) -> str:
        """Entities of each source that has loaded some."""
        with self.reader.connect() as connection:
            counts = dict(connection.execute(ENTITIES_OF_SOURCES).fetchall())
        if not counts or not all(counts.values()):
            raise NotAsExpected("no entities")
        return ", ".join(f"{count} entities of {source}" for source, count in counts.items())

    def query(self) -> str:
        answer = request("POST", f"{self.api_url}/analytics", QUESTION)
        if answer.status != 200 or not answer.body["rows"]:
            raise NotAsExpected(f"POST /analytics answers {answer.status}: {_short(answer.body)}")
        return f"{QUESTION['operation']} has {answer.body['row_count']} rows"

    def job(self) -> str:
        """Submitted, watched to its end, its result downloaded through the link it gives."""
        answer = request("POST", f"{self.api_url}/analytics/jobs", QUESTION)
        if answer.status != 202:
            raise NotAsExpected(f"POST /analytics/jobs answers {answer.status}: {_short(answer.body)}")
        job = answer.body
        deadline = time.monotonic() + JOB_SECONDS
        while job["finished_at"] is None:
            if time.monotonic() > deadline:
                raise NotAsExpected(f"job {job['id']} is still {job['state']} after {JOB_SECONDS} s")
            job = request("GET", f"{job['links']['self']}?wait={LONG_POLL_SECONDS}").body
        if job["state"] != "SUCCEEDED":
            raise NotAsExpected(f"job {job['id']} is {job['state']}: {_short(job['error'])}")
        link = request("GET", job["links"]["result"])
        if link.status != 303 or link.location is None:
            raise NotAsExpected(f"its result answers {link.status}: {_short(link.body)}")
        result = request("GET", link.location)
        if result.status != 200 or len(result.body["rows"]) != job["result"]["rows"]:
            raise NotAsExpected(f"its file answers {result.status}: {_short(result.body)}")
        return f"job {job['id']} SUCCEEDED, {job['result']['rows']} rows downloaded"


def _short(body: object) -> str:
    return json.dumps(body)[:300]
