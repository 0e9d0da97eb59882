"""A page of another origin uses the REST facade and reads results, as far as the allowed origins let it.

The emulator answers as AWS does: the function speaks for the API, and the CORS rules of the bucket speak for result files.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from pipeline_project_tests import browser
from pipeline_project_tests.fix_aws import emulator
from pipeline_project_tests.fix_live_api import LiveApi, serve_api
from pipeline_project_tests.fix_postgres import SharedServer, new_database

pytestmark = pytest.mark.slow

FRONTEND = "http://frontend.example"
OTHER = "http://other.example"
JSON = {"Content-Type": "application/json"}
TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "baggage": "c=d",
}


@pytest.fixture(scope="module")
def live(postgres: SharedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with (
        emulator(tmp_path_factory.mktemp("aws"), FRONTEND) as endpoint,
        new_database(postgres) as database,
        serve_api(endpoint, database, tmp_path_factory.mktemp("code"), FRONTEND) as live,
    ):
        yield live


def call(method: str, url: str, origin: str | None, headers: dict[str, str] | None = None, **more: Any) -> Any:
    sent = {**(headers or {}), **({"Origin": origin} if origin else {})}
    return urllib3.request(method, url, headers=sent, redirect=False, timeout=60, **more)


@pytest.fixture(scope="module")
def job(live: LiveApi) -> str:
    """The address of a job that has succeeded."""
    question = {"operation": "database_info", "format": "csv"}
    here = call("POST", f"{live.url}/analytics/jobs", None, json=question).json()["links"]["self"]
    assert call("GET", f"{here}?wait=25", None).json()["state"] == "SUCCEEDED"
    return here


@pytest.fixture(scope="module")
def link(job: str) -> dict[str, Any]:
    return call("GET", f"{job}/result?redirect=false", None).json()


def test_a_link_in_json_leads_to_the_file(link: dict[str, Any]) -> None:
    assert (link["name"][:14], link["content_type"]) == ("database_info-", "text/csv; charset=utf-8")
    found = call("GET", link["url"], None)
    assert (found.status, len(found.data)) == (200, link["bytes"])
    assert link["name"] in found.headers["Content-Disposition"]
    assert "Access-Control-Allow-Origin" not in found.headers


def test_a_result_is_open_to_pages_of_allowed_origins_alone(link: dict[str, Any]) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    allowed = call("OPTIONS", link["url"], FRONTEND, asked)
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (200, FRONTEND)
    part = call("GET", link["url"], FRONTEND, {"Range": "bytes=0-9"})
    assert (part.status, part.headers["Access-Control-Allow-Origin"], len(part.data)) == (206, FRONTEND, 10)
    assert "Content-Range" in part.headers["Access-Control-Expose-Headers"]
    for method in ("PUT", "DELETE"):
        refused = call("OPTIONS", link["url"], FRONTEND, {"Access-Control-Request-Method": method})
        assert (refused.status, "Access-Control-Allow-Origin" in refused.headers) == (403, False)
    for origin in (OTHER, "null"):
        for method in ("GET", "OPTIONS"):
            assert "Access-Control-Allow-Origin" not in call(method, link["url"], origin, asked).headers


def test_an_expired_link_tells_an_allowed_page_why(link: dict[str, Any]) -> None:
    changed = link["url"].replace("X-Amz-Expires=900", "X-Amz-Expires=901")
    refused = call("GET", changed, FRONTEND)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (403, FRONTEND)


def test_a_bucket_without_a_link_is_open_to_no_page(live: LiveApi, link: dict[str, Any]) -> None:
    parts = urlsplit(link["url"])
    for path in (parts.path, "/", f"/{live.cloud.settings.results_bucket}"):
        assert call("GET", f"{parts.scheme}://{parts.netloc}{path}", FRONTEND).status == 403


def test_preflights_come_from_the_function(live: LiveApi) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ", ".join(TRACE)}
    allowed = call("OPTIONS", f"{live.url}/analytics/jobs", FRONTEND, asked)
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (204, FRONTEND)
    assert set(TRACE) <= set(allowed.headers["Access-Control-Allow-Headers"].split(", "))


@pytest.mark.parametrize("accept", [{"Accept": "*/*"}, {"Accept": "application/json, text/html;q=0.5"}, {}])
@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_compressed_answers_pass_the_gateway(live: LiveApi, accept: dict[str, str], accepted: str) -> None:
    answer = call("GET", f"{live.url}/openapi.json", None, {**accept, "Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == ("gzip" if accept and accepted == "gzip" else None)
    assert answer.json()["openapi"] == "3.1.0"


PAGE = """async ([api, trace]) => {
  const headers = {'Content-Type': 'application/json', Prefer: 'wait=20', ...trace};
  const json = async (url, options) => { const r = await fetch(url, options); return [r.status, await r.json(), r]; };
  const question = {operation: 'database_info', numbers: 'text'};
  const [asked, answer, response] =
    await json(`${api}/analytics`, {method: 'POST', headers, body: JSON.stringify(question)});
  const [submitted, job] = await json(`${api}/analytics/jobs`,
    {method: 'POST', headers: {...headers, 'Idempotency-Key': crypto.randomUUID?.() ?? String(Math.random())},
     body: JSON.stringify({...question, format: 'json'})});
  const [polled, ended] = await json(`${job.links.self}?wait=25`, {headers: trace});
  const [linked, link] = await json(`${ended.links.result}?redirect=false`, {headers: trace});
  const file = await fetch(link.url, {headers: {Range: 'bytes=0-'}});
  const rows = (await file.json()).rows;
  return {statuses: [asked, submitted, polled, linked], applied: response.headers.get('Preference-Applied'),
    state: ended.state, file: file.status, size: file.headers.get('Content-Range').split('/')[1],
    bytes: link.bytes, rows, answer: answer.rows};
}"""


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_a_page_asks_submits_polls_and_reads_rows(live: LiveApi) -> None:
    with browser.serving() as (port, _), browser.stranger(urlsplit(FRONTEND).netloc, port) as context:
        page = context.new_page()
        page.goto(f"{FRONTEND}/")
        found = page.evaluate(PAGE, [live.url, TRACE])
    assert found["statuses"] == [200, 202, 200, 200]
    assert (found["applied"], found["state"], found["file"]) == ("wait=20", "SUCCEEDED", 206)
    assert found["size"] == str(found["bytes"])
    assert found["rows"] == found["answer"]
    assert found["rows"]
