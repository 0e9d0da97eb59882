"""What was accepted comes to its end, once, whatever is killed on the way: real Dagster, real function, real signals."""

import json
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import psutil
import psycopg
import pytest

from pipeline_project.client import Client
from pipeline_project.local.supervision import call, leftovers
from pipeline_project_tests.fix_aws import Account, new_queue
from pipeline_project_tests.live_stack import LiveStack, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARTS = ("dagster-webserver", "dagster-daemon", "code-server", "run-workers")
WEBSERVER, WORKERS = "pipeline_project.local.webserver", "pipeline_project.orchestration.workers.server"
MODULES = {"dagster", "dagster._daemon", WEBSERVER, WORKERS}
BLOCKED = b"SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'canonical.entities'::regclass"
SECONDS = 240
"""On a busy machine Dagster needs more than a minute to start. A run is given up for lost after 30 s of silence, one that was
launched and never claimed its job after 60."""


@contextmanager
def locked_entities(stack: LiveStack) -> Iterator[None]:
    """A query of a job waits for as long as this holds the lock."""
    with psycopg.connect(stack.state.psql_conninfo("owner")) as lock:
        lock.execute("LOCK TABLE canonical.entities")
        yield
        lock.rollback()


def dagster(stack: LiveStack) -> list[psutil.Process]:
    """All of Dagster's processes, the workers of runs among them."""
    return [process for process in leftovers(stack.state) if MODULES & set(process.cmdline())]


def functions(stack: LiveStack) -> list[psutil.Process]:
    """The processes in which the emulator runs the API's function."""
    return psutil.Process(stack.pids()["aws"]).children(recursive=True)


def told_ends(account: Account, queue: str) -> Iterator[dict[str, Any]]:
    """What the events in the queue say of ends of jobs; each once, however often it was delivered."""
    seen = set()
    while found := account.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
        "Messages"
    ):
        for message in found:
            event = json.loads(json.loads(message["Body"])["Message"])
            if event["type"] == "pipeline.job.ended.v1" and event["id"] not in seen:
                yield event["data"]
            seen.add(event["id"])
            account.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def test_every_accepted_job_ends_once(stack: LiveStack) -> None:
    client, other = (Client(str(stack.settings.api_url)) for _ in range(2))
    with closing(Account(stack.settings)) as account:
        queue = new_queue(account.sqs, account.sns, stack.settings.events_topic_arn)
        jobs: list[str] = []

        # One in the middle of its query, some somewhere on their way, when all of Dagster is killed.
        with locked_entities(stack):
            running = client.submit("customer_analysis")["id"]
            until(lambda: client.job(running)["state"] == "RUNNING" and stack.sql(BLOCKED))
            jobs += [running, *(client.submit("database_info")["id"] for _ in range(3))]
            for process in dagster(stack):
                with suppress(psutil.NoSuchProcess):
                    process.kill()

        # While Dagster is away jobs are taken, and what is said of them is true.
        for name in PARTS:
            call(stack.state, "stopProcess", name)
        taken = client.submit("simple_demo")
        assert taken["state"] == "SUBMITTED"
        jobs.append(taken["id"])
        for name in PARTS:
            call(stack.state, "startProcess", name, False)
        assert client.wait(taken["id"], timeout=SECONDS)["state"] == "SUCCEEDED"

        # The function is killed when it has written the record and knows of no run yet: it is asking Dagster, which has
        # the request and stands still. Whoever submitted asks again with the same key.
        webserver = stack.pids()["dagster-webserver"]
        before = {job["id"] for job in client.jobs()}
        os.kill(webserver, signal.SIGSTOP)
        key = str(uuid.uuid4())
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.submit, "simple_demo", idempotency_key=key)
            until(lambda: {job["id"] for job in other.jobs()} - before)
            for process in functions(stack):
                process.kill()
            os.kill(webserver, signal.SIGCONT)
            jobs.append(answer.result(60)["id"])
        assert {job["id"] for job in client.jobs()} - before == {jobs[-1]}

        for job_id in jobs:
            ended = client.wait(job_id, timeout=SECONDS)
            assert ended["state"] == "SUCCEEDED", ended
        assert client.job(running)["attempts"] == 2
        ends = Counter((data["job_id"], data["state"]) for data in told_ends(account, queue))
        assert {end: count for end, count in ends.items() if end[0] in jobs} == {(job, "SUCCEEDED"): 1 for job in jobs}
