"""A web page of another origin tries to use the local platform, in a real browser and on a real platform.

Each attempt counts by what it would change or read. A stand-in without protection shows that the browser sends them all.
"""

import base64
import http.client
import io
import json
import zipfile
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from pipeline_project.aws import client
from pipeline_project_tests import browser
from pipeline_project_tests.live_stack import FRONTEND, LAUNCH, LiveStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
in_browser = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

EVIL = "evil.example"
TAG = "attempt"
RUNS = "query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { count } } }"

PAGE = """async ([reads, posts, sockets]) => {
  const outcome = {read: [], opened: [], sent: 0};
  const settled = [];
  const frame = () => {
    const element = Object.assign(document.createElement('iframe'), {name: 'f' + Math.random()});
    document.body.append(element); return element;
  };
  const loaded = (element) => new Promise((done) => {
    element.onload = element.onerror = done; setTimeout(done, 3000);
  });
  const add = (tag, fields) => {
    const element = Object.assign(document.createElement(tag), fields);
    settled.push(loaded(element)); document.body.append(element); outcome.sent++;
  };
  const submit = (url, method, enctype, fields, parent) => {
    const form = Object.assign(document.createElement('form'), {action: url, method, enctype, target: parent.name});
    for (const [name, value] of fields)
      form.append(Object.assign(document.createElement('input'), {name, value, type: 'hidden'}));
    document.body.append(form); settled.push(loaded(parent)); form.submit(); outcome.sent++;
  };
  const attempt = (url, options) => {
    outcome.sent++;
    settled.push(fetch(url, options).then((r) => r.text().then((text) => {
      if (r.type !== 'opaque' && r.ok) outcome.read.push([url, text.slice(0, 200)]);
    })).catch(() => 0));
  };
  for (const url of reads) {
    attempt(url, {mode: 'cors'});
    attempt(url, {mode: 'cors', cache: 'force-cache'});
    attempt(url, {mode: 'no-cors', credentials: 'include'});
    add('img', {src: url}); add('script', {src: url}); add('iframe', {src: url});
    add('object', {data: url}); add('link', {rel: 'stylesheet', href: url}); add('link', {rel: 'prefetch', href: url});
    add('iframe', {sandbox: 'allow-scripts', srcdoc: `<script>fetch(${JSON.stringify(url)}, {mode: 'no-cors'})</scr` + 'ipt>'});
    window.open(url); outcome.sent++;
    const [action, query] = url.split('?');
    submit(action, 'GET', '', [...new URLSearchParams(query || '')], frame());
  }
  for (const [url, body] of posts) {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/json'])
      for (const mode of ['no-cors', 'cors']) attempt(url, {method: 'POST', mode, body, headers: {'Content-Type': type}});
    attempt(url, {method: 'PUT', mode: 'cors', body});
    navigator.sendBeacon(url, body); outcome.sent++;
    const cut = body.indexOf('=') + 1 || body.length;
    submit(url, 'POST', 'text/plain', [[body.slice(0, cut - 1), body.slice(cut)]], frame());
    submit(url, 'POST', 'multipart/form-data', [['key', 'crm-data/attempt.json'], ['file', body]], frame());
  }
  for (const url of sockets) {
    outcome.sent++;
    settled.push(new Promise((done) => {
      const socket = new WebSocket(url, 'graphql-ws');
      socket.onopen = () => { outcome.opened.push(url); done(); };
      socket.onerror = done;
    }));
  }
  await Promise.all(settled);
  return outcome;
}"""


def function(name: str) -> dict[str, Any]:
    """What creates a function that reads a file of the machine."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("a.py", "def handler(event, context): return open('/etc/passwd').read()")
    role = "arn:aws:iam::000000000000:role/any"
    code_of = {"ZipFile": base64.b64encode(code.getvalue()).decode()}
    return {"FunctionName": name, "Runtime": "python3.13", "Handler": "a.handler", "Role": role, "Code": code_of}


def launch(tag: str) -> dict[str, Any]:
    selector = {"repositoryName": "__repository__", "repositoryLocationName": "pipeline_project"}
    assets = {**selector, "jobName": "__ASSET_JOB", "assetSelection": [{"path": ["analytics__simple_demo"]}]}
    return {"selector": assets, "executionMetadata": {"tags": [{"key": TAG, "value": tag}]}}


def attempts(stack: LiveStack, name: str) -> list[list[Any]]:
    """What a page can send to each part: addresses to read, bodies to post, websockets."""
    aws, dagster, rest = str(stack.settings.aws_endpoint_url), stack.settings.dagster_url, str(stack.settings.api_url)
    query = f"query={quote(LAUNCH)}&variables={quote(json.dumps({'p': launch(name)}))}"
    secret = f"Action=GetSecretValue&SecretId={quote(stack.settings.owner_secret, safe='')}"
    reads = [
        *(f"{dagster}/graphql?{query}", f"{dagster}/server_info"),
        *(f"{aws}/", f"{aws}/?{secret}", f"{aws}/{stack.settings.landing_bucket}/", f"{aws}/2015-03-31/functions"),
        *(f"{aws}/?Action=CreateQueue&QueueName={name}", f"{rest}/health", f"{rest}/analytics?operation=simple_demo"),
    ]
    posts = [
        (f"{aws}/2015-03-31/functions", json.dumps(function(name))),
        (f"{aws}/2015-03-31/functions/{name}/invocations", "{}"),
        (f"{aws}/", f"Action=CreateQueue&QueueName={name}"),
        (f"{aws}/{stack.settings.landing_bucket}", "[]"),
        (f"{dagster}/graphql?{query}", "{}"),
        (f"{dagster}/graphql", json.dumps({"query": LAUNCH, "variables": {"p": launch(name)}})),
        (f"{rest}/analytics/jobs", '{"operation": "simple_demo"}'),
    ]
    return [reads, posts, [f"{dagster.replace('http', 'ws')}/graphql", f"{aws.replace('http', 'ws')}/"]]


def jobs(stack: LiveStack) -> int:
    with closing(client(stack.settings, "dynamodb")) as dynamodb:
        pages = dynamodb.get_paginator("scan").paginate(TableName=stack.settings.table_name)
        return sum("job#" in str(item.get("pk")) for page in pages for item in page["Items"])


def changes(stack: LiveStack, name: str) -> dict[str, object]:
    """What there is of an attempt: functions, queues, runs, files."""
    # To a request without a signature, the emulator is in its own region.
    unsigned = msgspec.structs.replace(stack.settings, aws_region="us-east-1")
    with closing(client(unsigned, "lambda")) as functions, closing(client(unsigned, "sqs")) as sqs:
        names = [each["FunctionName"] for each in functions.list_functions()["Functions"]]
        return {
            "functions": [each for each in names if each == name],
            "queues": sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", []),
            "runs": stack.graphql(RUNS, filter={"tags": [{"key": TAG, "value": name}]})["count"],
            "files": stack.s3.list_objects_v2(Bucket=stack.settings.landing_bucket, Prefix="crm-data/attempt")[
                "KeyCount"
            ],
        }


NOTHING = {"functions": [], "queues": [], "runs": 0, "files": 0}


def visit(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    return page


@in_browser
@pytest.mark.parametrize("host", [EVIL, "127.0.0.1", "localhost"])
def test_a_page_of_another_origin_changes_and_reads_nothing(stack: LiveStack, host: str) -> None:
    """The internet, and another server of this machine under two names."""
    name = f"attempt-{host.replace('.', '-')}"
    before = jobs(stack)
    with browser.serving() as (port, _), browser.stranger(EVIL) as context:
        outcome = visit(context, f"http://{host}:{port}/").evaluate(PAGE, attempts(stack, name))
    assert outcome["sent"] > 100
    assert (outcome["read"], outcome["opened"]) == ([], [])
    assert changes(stack, name) == NOTHING
    assert jobs(stack) == before
    # The same launch by its owner works, so that the attempt was a real one.
    assert stack.graphql(LAUNCH, p=launch(f"own-{name}"))["__typename"] == "LaunchRunSuccess"
    assert changes(stack, f"own-{name}")["runs"]


@in_browser
def test_the_browser_sends_what_the_page_tries() -> None:
    """Against a server without protection; otherwise the browser and not the platform would have held."""
    with browser.serving() as (port, _), browser.serving() as (target, seen), browser.stranger(EVIL) as context:
        url = f"http://127.0.0.1:{target}/?a=b"
        page = visit(context, f"http://{EVIL}:{port}/")
        page.evaluate(PAGE, [[url], [(url, "a=b")], []])
    expected = {"GET empty", "GET image", "GET script", "GET iframe", "GET document", "GET style", "GET object"}
    assert expected | {"POST empty", "POST iframe"} <= set(seen)


@in_browser
def test_a_name_that_is_pointed_at_this_machine_reaches_nothing(stack: LiveStack) -> None:
    """DNS rebinding: for the browser the platform is of the page's own origin."""
    mutation = json.dumps({"query": LAUNCH, "variables": {"p": launch("rebound")}})
    post = """async ([path, body]) => { const r = await fetch(path, {method: 'POST', body,
        headers: {'Content-Type': 'application/json'}}); return [r.status, await r.text()]; }"""
    with browser.stranger(EVIL) as context:
        for own in (stack.settings.dagster_url, str(stack.settings.aws_endpoint_url), str(stack.settings.api_url)):
            parts = urlsplit(own)
            page = context.new_page()
            opened = page.goto(f"http://{EVIL}:{parts.port}{parts.path or '/'}")
            assert opened is not None
            assert opened.status == 403
            for path in ("/graphql", "/2015-03-31/functions", f"{parts.path}/analytics"):
                status, told = page.evaluate(post, [path, mutation])
                assert status == 403, told
    assert changes(stack, "rebound") == NOTHING


def shown(stack: LiveStack, content_type: str, content: bytes) -> str:
    """A presigned link to a file that a browser shows, and does not save."""
    place = {"Bucket": stack.settings.results_bucket, "Key": f"web/{content_type}"}
    stack.s3.put_object(**place, Body=content, ContentType=content_type)
    return stack.s3.generate_presigned_url("get_object", Params=place)


@in_browser
def test_the_printed_links_open_in_a_browser(stack: LiveStack) -> None:
    rest = str(stack.settings.api_url)
    with browser.page(stack.settings.dagster_url) as page:
        page.goto("/asset-groups")
        expect(page.get_by_text("landing", exact=True).first).to_be_visible()
        for address in (rest, f"{rest}/docs", f"{rest}/analytics?operation=simple_demo"):
            opened = page.goto(address)
            assert opened is not None
            assert opened.status != 403, address
        page.goto(shown(stack, "text/html", b"<script>document.title = 'ran'</script>shown"))
        expect(page.get_by_text("shown")).to_be_attached()
        assert page.title() != "ran"


@in_browser
def test_a_link_of_another_page_opens_ours(stack: LiveStack) -> None:
    """Dagster's UI links to REST, which is on another port, and REST to a file."""
    link = shown(stack, "application/json", b"[]")
    with browser.serving() as (port, _), browser.stranger(EVIL) as context:
        for url in (f"{stack.settings.dagster_url}/runs", f"{stack.settings.api_url}/docs", link):
            page = visit(context, f"http://127.0.0.1:{port}/")
            with page.expect_navigation(url=url) as navigation:
                page.evaluate("url => { location = url }", url)
            opened = navigation.value
            assert opened is not None
            assert opened.status == 200, url


CALL = """async ([url, method, body, headers]) => {
  try {
    const r = await fetch(url, {method, body, headers});
    return [r.status, await r.text(), r.headers.get('X-Request-Id')];
  } catch (error) { return [0, String(error), null]; }
}"""


@in_browser
def test_a_page_of_an_allowed_origin_calls_rest_and_nothing_else(stack: LiveStack) -> None:
    """The POST needs a preflight, since a form cannot send JSON."""
    aws, dagster, rest = str(stack.settings.aws_endpoint_url), stack.settings.dagster_url, str(stack.settings.api_url)
    post = ["POST", '{"operation": "simple_demo"}', {"Content-Type": "application/json"}]
    with browser.serving() as (port, _), browser.stranger(urlsplit(FRONTEND).netloc, port) as context:
        page = visit(context, f"{FRONTEND}/")
        status, text, request_id = page.evaluate(CALL, [f"{rest}/analytics", *post])
        assert (status, json.loads(text)["operation"]) == (200, "simple_demo")
        assert request_id
        status, text, _ = page.evaluate(CALL, [f"{rest}/nothing", "GET", None, {}])
        assert (status, json.loads(text)["code"]) == (404, "not_found")
        for url in (f"{dagster}/server_info", f"{dagster}/graphql", f"{aws}/_ministack/health", f"{aws}/"):
            for call in (["GET", None, {}], post):
                assert page.evaluate(CALL, [url, *call])[0] == 0, url


def answer(url: str, target: str, headers: list[tuple[str, str]], method: str = "GET") -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=60)
    with closing(connection):
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


def test_every_address_refuses_foreign_headers(stack: LiveStack) -> None:
    aws, dagster, rest = str(stack.settings.aws_endpoint_url), stack.settings.dagster_url, str(stack.settings.api_url)
    for url, path in ((dagster, "/server_info"), (rest, f"{urlsplit(rest).path}/health"), (aws, "/_ministack/health")):
        host = urlsplit(url).netloc
        port = urlsplit(url).port
        assert answer(url, path, [("Host", host)]) == 200
        assert answer(url, path, [("Host", f"LOCALHOST:{port}"), ("Origin", f"http://localhost:{port}")]) == 200
        for hosts in (["evil.example"], [f"evil.example:{port}"], [f"{host}."], ["127.0.0.1:1"], [f"[::1]:{port}"]):
            assert answer(url, path, [("Host", each) for each in hosts]) == 403
        for hosts in ([], [host, host], [host, "evil.example"]):
            assert answer(url, path, [("Host", each) for each in hosts]) in (400, 403)
        for foreign in (
            *(("Origin", "null"), ("Origin", "http://evil.example"), ("Origin", "http://127.0.0.1:1")),
            *(("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site")),
        ):
            for method in ("GET", "POST", "OPTIONS"):
                assert answer(url, path, [("Host", host), foreign], method) == 403
        for target in (f"http://evil.example{path}", f"http://{host}{path}"):
            assert answer(url, target, [("Host", host)]) == 403


def test_a_caller_without_the_secret_key_reaches_nothing_of_the_emulator(stack: LiveStack) -> None:
    """Neither with the address that REST is open at, and the headers by which the emulator finds a service."""
    aws, host = str(stack.settings.aws_endpoint_url), urlsplit(str(stack.settings.aws_endpoint_url)).netloc
    open_path = urlsplit(str(stack.settings.api_url)).path
    service = [("X-Amz-Target", "secretsmanager.ListSecrets"), ("Content-Type", "application/x-amz-json-1.1")]
    scope = "Credential=000000000000/20260101/eu-central-1/secretsmanager/aws4_request"
    forged = ("Authorization", f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0")
    for path in (
        "/",
        f"/{stack.settings.landing_bucket}",
        "/2015-03-31/functions",
        "/_ministack/reset",
        "/_aws/sqs/messages",
    ):
        for more in ([], service, [*service, forged]):
            for method in ("GET", "POST"):
                assert answer(aws, path, [("Host", host), ("Content-Length", "0"), *more], method) == 403, path
    for path in (f"{open_path}/nothing", f"{open_path}/nothing?Action=ListQueues", f"{open_path}/../../../"):
        headers = [("Host", host), ("Content-Length", "0"), *service, forged]
        assert answer(aws, path, headers, "POST") in (403, 404, 405), path
    for path in (
        "/_aws/execute-api",
        "/_aws/execute-api/",
        "/_aws/execute-api/a",
        "/_aws/execute-api//v1",
        "//_aws/execute-api/a/v1",
    ):
        assert answer(aws, path, [("Host", host), *service]) == 403, path


def test_the_secret_key_is_in_private_files_alone(stack: LiveStack) -> None:
    """Only `pipeline local env` prints the key."""
    secret = str(stack.settings.aws_secret_access_key)
    assert len(secret) >= 24
    assert secret not in "".join(stack.console.lines)
    assert (stack.state.stack_environment.stat().st_mode & 0o077) == 0
    assert (stack.state.secret_access_key.stat().st_mode & 0o077) == 0
