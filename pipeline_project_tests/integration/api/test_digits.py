"""Every digit of a number arrives: on the way in as a parameter, and on the way out as a number or as text."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pipeline_project_tests.fix_api import Caller, Cloud
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.integration.api.test_jobs import Runner

LONG = "12345678901234567890.12345678901234567890"


def question(query: str, params: str, **options: str) -> bytes:
    """The body, with numbers as they are written here."""
    rest = "".join(f', "{name}": "{value}"' for name, value in options.items())
    given = f'{{"query": {json.dumps(query)}, "params": [{params}]}}'
    return f'{{"operation": "custom_complex_query", "parameters": {given}{rest}}}'.encode()


def ask(api: Caller, query: str, params: str, **options: str) -> Any:
    answer = api(
        "POST", "/analytics", raw=question(query, params, **options), headers={"Content-Type": "application/json"}
    )
    assert answer.status == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


@pytest.mark.parametrize(
    "number", [LONG, "12345678901234.56", "1234567890123456.78", "0.1", "2.50", "-0.000000000000000001"]
)
def test_a_decimal_parameter_is_bound_with_every_digit(api: Caller, number: str) -> None:
    answer = ask(api, "SELECT $1 AS n, $1 * 100 AS times", number)
    [row] = answer["rows"]
    assert repr(row["n"]) == repr(answer["parameters"]["params"][0]) == repr(Decimal(number))
    assert Fraction(row["times"]) == Fraction(number) * 100


def test_a_decimal_parameter_goes_where_a_float_is_taken(api: Caller) -> None:
    query = "SELECT $1::double precision AS f, percentile_cont($1) WITHIN GROUP (ORDER BY x) AS m FROM generate_series(1, 3) AS x"
    assert ask(api, query, "0.5")["rows"] == [{"f": Decimal("0.5"), "m": Decimal("2.0")}]


def test_a_whole_number_and_a_decimal_divide_as_they_are_written(api: Caller) -> None:
    assert ask(api, "SELECT $1 / 2 AS half", "5")["rows"] == [{"half": 2}]
    assert ask(api, "SELECT $1 / 2 AS half", "5.0")["rows"] == [{"half": Decimal("2.5000000000000000")}]


@pytest.mark.parametrize(
    "number", ["1e999999999", "-1e999999999", "1e-999999999", "0e999999999", "1e99999999999999999999", "1e131072"]
)
@pytest.mark.parametrize("operation", ["custom_complex_query", "revenue_analysis"])
def test_a_number_that_no_numeric_holds_is_refused_at_once(
    api_without_database: Caller, operation: str, number: str
) -> None:
    parameters = (
        f'{{"top_n": {number}}}'
        if operation == "revenue_analysis"
        else f'{{"query": "SELECT $1", "params": [{number}]}}'
    )
    body = f'{{"operation": "{operation}", "parameters": {parameters}}}'.encode()
    answer = api_without_database("POST", "/analytics", raw=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["code"]) == (422, "invalid_body")
    assert "131,072 digits" in answer.json["detail"]


def test_a_job_has_the_digits_of_its_parameters(api: Caller, cloud: Cloud, database: FreshDatabase) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    bodies = [question("SELECT $1 AS n", f"{LONG}{last}") for last in "12"]
    job = api("POST", "/analytics/jobs", raw=bodies[0], headers=headers)
    assert f"{LONG}1" in job.text
    assert api("POST", "/analytics/jobs", raw=bodies[0], headers=headers).json["id"] == job.json["id"]
    other = api("POST", "/analytics/jobs", raw=bodies[1], headers=headers)
    assert other.json["code"] == "idempotency_key_reused"
    ended = Runner(cloud, database).run(job.json)
    assert ended.result is not None
    body = cloud.s3.get_object(Bucket=cloud.settings.results_bucket, Key=ended.result.key)["Body"].read()
    assert f'"n":{LONG}1' in body.decode()


QUERY = """SELECT 9007199254740993 AS big, 1.10 AS exact, ARRAY[1.5] AS many, '[2.50]'::jsonb AS raw, '7' AS text,
    'NaN'::float8 AS nan"""
ROW = {
    "big": 2**53 + 1,
    "exact": Decimal("1.10"),
    "many": [Decimal("1.5")],
    "raw": [Decimal("2.50")],
    "text": "7",
    "nan": "NaN",
}
TEXT_ROW = {"big": "9007199254740993", "exact": "1.10", "many": ["1.5"], "raw": ["2.50"], "text": "7", "nan": "NaN"}


def test_numbers_come_as_text_where_they_are_asked_for(api: Caller) -> None:
    for _ in range(2):  # from the database, and from the cache, which tells the two apart
        assert ask(api, QUERY, "")["rows"] == [ROW]
        assert ask(api, QUERY, "", numbers="number")["rows"] == [ROW]
        answer = ask(api, QUERY, "", numbers="text")
        assert answer["rows"] == [TEXT_ROW]
        assert (answer["row_count"], answer["columns"][0]["type"]) == (1, "bigint")
    by_query = api("GET", "/analytics?operation=database_info&numbers=text").json["rows"]
    counts = [row["row_count"] for row in by_query]
    assert counts and all(isinstance(count, str) and count.isdigit() for count in counts)


def test_a_job_writes_numbers_as_text(api: Caller, cloud: Cloud, database: FreshDatabase) -> None:
    body = question(QUERY, "", format="ndjson", numbers="text")
    job = api("POST", "/analytics/jobs", raw=body, headers={"Content-Type": "application/json"}).json
    assert job["numbers"] == "text"
    ended = Runner(cloud, database).run(job)
    assert ended.result is not None
    found = cloud.s3.get_object(Bucket=cloud.settings.results_bucket, Key=ended.result.key)["Body"].read()
    assert json.loads(found) == TEXT_ROW


def test_a_form_of_numbers_that_is_not_known_is_refused(api_without_database: Caller) -> None:
    answer = api_without_database("POST", "/analytics", {"operation": "simple_demo", "numbers": "string"})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "numbers")
    answer = api_without_database("GET", "/analytics?operation=simple_demo&numbers=string")
    assert (answer.status, answer.json["code"]) == (400, "invalid_query")
