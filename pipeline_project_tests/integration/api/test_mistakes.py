"""Everyday mistakes of analysts, over REST and as jobs on a real database: each is the query's fault and no value is shown."""

from typing import Any

import pytest

from pipeline_project.api.http.problems import CONTENT_TYPE
from pipeline_project.errors import CODES
from pipeline_project.jobs.model import Failure, State
from pipeline_project.jobs.run import run_job
from pipeline_project.notify.delivery import Delivery
from pipeline_project.notify.events import Notifier
from pipeline_project_tests.analytics_rows import entity, insert
from pipeline_project_tests.custom_sql_corpus import MISTAKES
from pipeline_project_tests.fix_api import Caller, Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase

SECRET = "Confidential Customer 4711"
BROKEN = b"""
    CREATE FUNCTION analytics.broken() RETURNS bigint LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'Confidential Customer 4711' USING ERRCODE = 'data_corrupted'; END $$;
    GRANT EXECUTE ON FUNCTION analytics.broken() TO PUBLIC;
    CREATE OR REPLACE VIEW analytics.entity_relationships AS
        SELECT NULL::text AS parent_canonical_id, NULL::text AS child_canonical_id, NULL::text AS relationship_type,
               NULL::date AS valid_from, NULL::date AS valid_to, NULL::text AS source, NULL::jsonb AS attributes
        WHERE analytics.broken() > 0
    """
FOREIGN_WORDS = ("psycopg", "Traceback", "SQLSTATE", "DETAIL", "HINT", "LINE 1", "invalid input syntax")


@pytest.fixture(autouse=True)
def _rows(database: FreshDatabase) -> None:
    rows = [entity(f"crm_{n}", name=f"{SECRET} {n}", revenue=n, attributes={"size": SECRET}) for n in range(1, 4)]
    insert(database.loader, "entities", rows)


def question(query: str) -> dict[str, Any]:
    return {"operation": "custom_complex_query", "parameters": {"query": query}}


def is_harmless(text: str) -> bool:
    return not any(word in text for word in (SECRET, "4711", *FOREIGN_WORDS))


def test_a_mistake_is_answered_with_4xx_and_plain_words(api: Caller) -> None:
    assert len(MISTAKES) >= 25
    for query in MISTAKES:
        answer = api("POST", "/analytics", question(query))
        assert answer.status == 422, (query, answer.text)
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Retry-After" not in answer.headers
        problem = answer.json
        assert problem["code"] == "query_refused", query
        assert (problem["status"], problem["title"]) == (422, CODES[problem["code"]].title)
        assert len(problem["detail"].split()) >= 2, query
        # The digits of the secret may be part of an ID, which is chance.
        assert is_harmless(answer.text.replace(problem["request_id"], "")), (query, answer.text)


def test_a_mistake_in_a_job_has_the_same_code_and_the_same_words(
    api: Caller, cloud: Cloud, database: FreshDatabase
) -> None:
    store = cloud.jobs()
    delivery = Delivery(cloud.outbox(), Notifier(cloud.sns, cloud.settings.events_topic_arn))
    for query in MISTAKES[::4]:
        told = api("POST", "/analytics", question(query)).json
        job, _ = store.submit("custom_complex_query", question(query)["parameters"], "me")
        options: dict[str, Any] = {"store": store, "database": database.reader, "s3": cloud.s3, "notifier": delivery}
        ended = run_job(job.id, "run", settings=cloud.settings, **options)
        assert ended.state is State.FAILED
        assert ended.error == Failure(code=told["code"], detail=told["detail"]), query


def test_a_fault_of_the_database_is_a_5xx_that_quotes_nothing(api: Caller, database: FreshDatabase) -> None:
    with database.owner.connect() as connection:
        connection.execute(BROKEN)
    answer = api("POST", "/analytics", question("SELECT * FROM entity_relationships"))
    assert (answer.status, answer.json["code"], answer.json["title"]) == (
        500,
        "internal_error",
        "The service failed to answer",
    )
    assert is_harmless(answer.text)
