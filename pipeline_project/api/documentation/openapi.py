"""The OpenAPI 3.1 document, made from the catalogue and the same constants that the routes use.

docs/openapi.json is this document for the address `/` and the built-in operations. A test compares the two, and the routes.
"""

import json
import sys
from collections.abc import Collection
from typing import Any

from pipeline_project.analytics.catalogue import BUILT_IN, Operation
from pipeline_project.api.http.problems import CONTENT_TYPE, STATUS_OF
from pipeline_project.api.http.replies import LONGEST_WAIT_SECONDS
from pipeline_project.api.http.requests import IDEMPOTENCY_KEY
from pipeline_project.api.routes.jobs import LONGEST_PAGE, USUAL_PAGE
from pipeline_project.api.routes.questions import IN_QUERY, LABEL_NAME, LABEL_VALUE, LARGEST_LIMIT, MOST_LABELS
from pipeline_project.api.routes.rows import MOST_OFFSET, MOST_ROWS, USUAL_ROWS
from pipeline_project.errors import CODES
from pipeline_project.jobs.model import REASONS, State
from pipeline_project.results.options import Format, Numbers

Json = dict[str, Any]
ROWS = (
    'An object for each row. NaN and infinity are the texts "NaN", "Infinity" and "-Infinity". A number with more than 4,300 '
    "digits in a row is text. With `numbers` = `text`, all numbers are text."
)
NUMBERS: Json = {
    "type": "string",
    "enum": list(Numbers),
    "default": str(Numbers.NUMBER),
    "description": "`text`: rows have their numbers as JSON strings, which JavaScript reads with every digit",
}
LIMITS: Json = {
    name: {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "description": description}
    for name, description in {
        "row_limit": "Most rows. If further rows are left out, `truncated` is true",
        "byte_limit": "Most bytes of rows, as they are written (for Parquet, as in NDJSON). Otherwise as `row_limit`",
    }.items()
}
LABELS: Json = {
    "type": "object",
    "description": "Names and values of your own for the job, by which the list of jobs can be filtered",
    "maxProperties": MOST_LABELS,
    "propertyNames": {"pattern": f"^{LABEL_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "pattern": f"^{LABEL_VALUE.pattern}$"},
}
EVERYWHERE = {400, 401, *(code.gateway for code in CODES.values() if code.gateway)}
"""Statuses of problems that any route may answer with, or the gateway in its place."""


def document(server: str, offered: Collection[Operation]) -> Json:
    """Return the document of an API at this address that offers these operations."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pipeline analytics",
            "version": "1",
            "description": (
                "Questions about the canonical data: quick ones are answered at once, long ones become jobs with a "
                "status and a result file. HEAD answers wherever GET does. Errors are problem documents (RFC 9457) whose "
                "`code` is stable."
            ),
        },
        "servers": [{"url": server}],
        "security": [{"api_key": []}, {}],
        "tags": [{"name": "queries"}, {"name": "jobs"}, {"name": "service"}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"api_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
            "parameters": _parameters(offered),
            "headers": _headers(),
            "schemas": _schemas(offered),
        },
    }


def _paths() -> Json:
    return {
        "/health": {
            "get": _operation(
                "health",
                "service",
                "Whether database, job table, results and landing queue can be reached",
                {"200": _ok("Health")},
                503,
            )
        },
        "/analytics": {
            "get": _operation(
                "askByQuery",
                "queries",
                "Answer a question at once, from the query string",
                {"200": _answer(), "304": _empty("The answer named in If-None-Match still holds", "ETag")},
                *(400, 422, 429, 503),
                parameters=[
                    _ref("parameters", "operation"),
                    _ref("parameters", "parameters"),
                    *(_ref("parameters", name) for name in IN_QUERY),
                    _ref("parameters", "match"),
                    _ref("parameters", "fresh"),
                ],
            ),
            "post": _operation(
                "ask",
                "queries",
                "Answer a question at once, or make it a job if it is long or large",
                {
                    "200": _answer("Preference-Applied"),
                    "202": _job_accepted(
                        "It became a job; `reason` says why", "Idempotency-Replayed", "Preference-Applied"
                    ),
                },
                *(400, 413, 415, 422, 429, 503),
                parameters=[_ref("parameters", name) for name in ("prefer", "idempotency", "fresh")],
                body=True,
            ),
        },
        "/analytics/operations": {
            "get": _operation("listOperations", "queries", "What can be asked", {"200": _ok("Catalogue")})
        },
        "/analytics/jobs": {
            "get": _operation(
                "listJobs",
                "jobs",
                "Your jobs, newest first",
                {"200": _ok("JobPage", _links("nextPage"))},
                *(400, 422, 503),
                parameters=[
                    _ref("parameters", name) for name in ("state", "of", "label", "from", "before", "limit", "cursor")
                ],
            ),
            "post": _operation(
                "submitJob",
                "jobs",
                "Submit a job",
                {"202": _job_accepted("Accepted; it is not lost any more", "Idempotency-Replayed")},
                *(400, 413, 415, 422, 429, 503),
                parameters=[_ref("parameters", "idempotency")],
                body=True,
            ),
        },
        "/analytics/jobs/{job_id}": {
            "get": _operation(
                "getJob",
                "jobs",
                f"How a job stands; `wait` holds the answer until its end, {LONGEST_WAIT_SECONDS} s at most",
                {"200": _ok("Job", _links("getJobResult", "cancelJob"), "Retry-After")},
                *(400, 404, 503),
                parameters=[_ref("parameters", "job_id"), _ref("parameters", "wait")],
            )
        },
        "/analytics/jobs/{job_id}/cancel": {
            "post": _operation(
                "cancelJob",
                "jobs",
                "End a job: its run and its query",
                {"200": _ok("Job"), "202": _job_accepted("Its run will see it within seconds")},
                *(400, 404, 413, 422, 503),
                parameters=[_ref("parameters", "job_id")],
            )
        },
        "/analytics/jobs/{job_id}/result": {
            "get": _operation(
                "getJobResult",
                "jobs",
                "To the file of a job that succeeded",
                _file(),
                *(400, 404, 406, 409, 410, 503),
                parameters=[_ref("parameters", name) for name in ("job_id", "format", "redirect")],
            )
        },
        "/analytics/jobs/{job_id}/rows": {
            "get": _operation(
                "getJobRows",
                "jobs",
                "Rows of a job with `json` or `ndjson`, in pages",
                {"200": _ok("RowPage")},
                *(400, 404, 406, 409, 410, 503),
                parameters=[_ref("parameters", name) for name in ("job_id", "offset", "rows", "numbers")],
            )
        },
        "/download/{key}": {
            "get": _operation(
                "download",
                "jobs",
                "To a result file: of one of your jobs, or the latest of an operation",
                _file(),
                *(400, 404, 410, 503),
                parameters=[_ref("parameters", "key"), _ref("parameters", "redirect")],
            )
        },
        "/openapi.json": {
            "get": _operation("openapi", "service", "This document", {"200": _json({"type": "object"}, "OpenAPI")})
        },
        "/docs": {
            "get": _operation(
                "docs",
                "service",
                "This document as a page",
                {
                    "200": {
                        "description": "A page",
                        "content": {"text/html; charset=utf-8": {"schema": {"type": "string"}}},
                    }
                },
            )
        },
    }


def _operation(
    name: str,
    tag: str,
    summary: str,
    answers: Json,
    *problems: int,
    parameters: list[Json] | None = None,
    body: bool = False,
) -> Json:
    responses = {**answers, **{str(status): _problem(status) for status in sorted({*EVERYWHERE, *problems})}}
    responses = {status: _with_headers(answer, ("X-Request-Id",)) for status, answer in responses.items()}
    found: Json = {"operationId": name, "tags": [tag], "summary": summary, "responses": responses}
    if parameters:
        found["parameters"] = parameters
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema("Question")}}}
    return found


def _ref(part: str, name: str) -> Json:
    return {"$ref": f"#/components/{part}/{name}"}


def _schema(name: str) -> Json:
    return _ref("schemas", name)


def _json(schema: Json, description: str) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ok(schema: str, links: Json | None = None, *headers: str) -> Json:
    found = _json(_schema(schema), schema)
    if links:
        found["links"] = links
    return _with_headers(found, headers)


def _answer(*headers: str) -> Json:
    return _with_headers(_json(_schema("Answer"), "The answer"), ("ETag", "Cache-Status", *headers))


def _empty(description: str, *headers: str) -> Json:
    return _with_headers({"description": description}, headers)


def _file() -> Json:
    return {
        "200": _json(_schema("FileLink"), "The link to the file, with `redirect=false`"),
        "303": _empty("The file is at this address for some minutes", "Location"),
    }


def _job_accepted(description: str, *headers: str) -> Json:
    found = {**_json(_schema("Job"), description), "links": _links("getJob", "cancelJob")}
    return _with_headers(found, ("Location", "Retry-After", *headers))


def _with_headers(answer: Json, names: tuple[str, ...]) -> Json:
    headers = {**answer.get("headers", {}), **{name: _ref("headers", name) for name in names}}
    return {**answer, "headers": headers} if headers else answer


def _links(*names: str) -> Json:
    known = {
        "nextPage": {"operationId": "listJobs", "parameters": {"cursor": "$response.body#/next_cursor"}},
        "getJob": {"operationId": "getJob", "parameters": {"job_id": "$response.body#/id"}},
        "getJobResult": {"operationId": "getJobResult", "parameters": {"job_id": "$response.body#/id"}},
        "cancelJob": {"operationId": "cancelJob", "parameters": {"job_id": "$response.body#/id"}},
    }
    return {name: known[name] for name in names}


def _problem(status: int) -> Json:
    codes = [code for code, each in STATUS_OF.items() if each == status]
    found = {
        "description": f"`code` is one of {', '.join(codes)}",
        "content": {CONTENT_TYPE: {"schema": _schema("Problem")}},
    }
    return _with_headers(found, ("Retry-After",)) if status in (429, 503, 504) else found


def _parameters(offered: Collection[Operation]) -> Json:
    def query(name: str, description: str, schema: Json, **more: Any) -> Json:
        return {"name": name, "in": "query", "description": description, "schema": schema, **more}

    def header(name: str, description: str, schema: Json) -> Json:
        return {"name": name, "in": "header", "description": description, "schema": schema}

    operations = {"type": "string", "enum": [each.name for each in offered]}
    moment = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
    return {
        "operation": query("operation", "What to ask", operations, required=True),
        "parameters": {
            "name": "parameters",
            "in": "query",
            "description": "The parameters as JSON. Each may be given under its own name instead: `?top_n=3`.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "numbers": query("numbers", NUMBERS["description"], {k: v for k, v in NUMBERS.items() if k != "description"}),
        **{name: query(name, schema["description"], schema) for name, schema in LIMITS.items()},
        "label": query(
            "label",
            "Only jobs with this label, as `name:value`; each of several must be there",
            {"type": "array", "items": {"type": "string", "pattern": "^[ -~]*:[ -~]*$"}},
        ),
        "match": header("If-None-Match", "The ETag of an answer you have", {"type": "string"}),
        "fresh": header(
            "Cache-Control",
            "`no-cache` asks the database whatever is kept",
            {"type": "string", "examples": ["no-cache"]},
        ),
        "prefer": header(
            "Prefer",
            "`respond-async` for a job at once, `wait=N` for a job after so many seconds (RFC 7240). Together they are `wait=N`.",
            {"type": "string", "examples": ["wait=2"]},
        ),
        "idempotency": header(
            "Idempotency-Key",
            "The same key and body give the same job, however often they are sent",
            {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
        ),
        "state": query(
            "state",
            "Only jobs in these states",
            {"type": "array", "items": {"type": "string", "enum": list(State)}},
        ),
        "of": query("operation", "Only jobs of this operation", operations),
        "from": query("created_from", "Only jobs made then or later; a day begins at midnight UTC", moment),
        "before": query("created_before", "Only jobs made earlier", moment),
        "limit": query(
            "limit",
            "How many",
            {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": USUAL_PAGE},
        ),
        "cursor": query("cursor", "`next_cursor` of the page before", {"type": "string"}),
        "wait": query(
            "wait",
            "Seconds to wait for the end",
            {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_SECONDS, "default": 0},
        ),
        "format": query("format", "Refuse any other format", {"type": "string", "enum": list(Format)}),
        "offset": query(
            "offset",
            "Number of the first row, from 0; `next_offset` of the page before",
            {"type": "integer", "minimum": 0, "maximum": MOST_OFFSET, "default": 0},
        ),
        "rows": query(
            "limit",
            "How many rows at most; a page of large rows has fewer",
            {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": USUAL_ROWS},
        ),
        "redirect": query(
            "redirect",
            "`false` gives the link in JSON, for pages, which a browser tells nothing of a redirect to another host",
            {"type": "boolean", "default": True},
        ),
        "job_id": {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
        "key": {
            "name": "key",
            "in": "path",
            "required": True,
            "description": "The file's key, slashes as they are",
            "schema": {"type": "string", "minLength": 1},
        },
    }


def _headers() -> Json:
    def header(description: str, schema: Json) -> Json:
        return {"description": description, "schema": schema}

    text: Json = {"type": "string"}
    return {
        "ETag": header("Of the answer", text),
        "Cache-Status": header("Whether the answer was kept (RFC 9211)", text),
        "Idempotency-Replayed": header("The job was there already, under the same key", {**text, "const": "true"}),
        "Location": header("Where to go on", text),
        "Preference-Applied": header("What of `Prefer` was heeded (RFC 7240)", text),
        "Retry-After": header("Seconds", {"type": "integer"}),
        "X-Request-Id": header("Leads to the log. What the gateway answers itself has it in `request_id` alone", text),
    }


def _schemas(offered: Collection[Operation]) -> Json:
    text: Json = {"type": "string"}
    number: Json = {"type": "integer", "minimum": 0}
    moment: Json = {"type": "string", "format": "date-time"}
    anything: Json = {"type": "object"}
    column = _object({"name": text, "type": text})
    failure = _object({"code": text, "detail": text})
    result = _object(
        {
            "format": {"enum": list(Format)},
            "key": text,
            "bytes": number,
            "rows": number,
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "columns": _list(column),
            "truncated": {"type": "boolean"},
            "data_version": number,
            "download": text,
        }
    )
    links = _object({"self": text, **{name: _or_null(text) for name in ("result", "rows", "cancel")}})
    problem = _object(
        {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "code": {"enum": list(STATUS_OF)},
            "request_id": text,
        }
    )
    faults = _list(_object({"field": text, "rule": text, "message": text}))
    return {
        "Question": {"oneOf": [_question(each) for each in offered]},
        "Answer": _object(
            {
                "operation": text,
                "parameters": anything,
                "data_version": number,
                "columns": _list(column),
                "row_count": number,
                "truncated": {"type": "boolean"},
                "rows": {**_list(anything), "description": ROWS},
            }
        ),
        "Job": _object(
            {
                "id": {"type": "string", "format": "uuid"},
                "operation": text,
                "parameters": anything,
                "format": {"enum": list(Format)},
                "numbers": {"enum": list(Numbers)},
                **{name: _or_null(number) for name in LIMITS},
                "labels": {"type": "object", "additionalProperties": text},
                "state": {"enum": list(State)},
                "reason": {"enum": [*REASONS, None]},
                **dict.fromkeys(("created_at", "updated_at", "expires_at"), moment),
                **{name: _or_null(moment) for name in ("started_at", "finished_at")},
                **{name: _or_null({"type": "number", "minimum": 0}) for name in ("queued_seconds", "run_seconds")},
                "attempts": number,
                "progress": _or_null(_object({"rows": number})),
                "error": _or_null(failure),
                "result": _or_null(result),
                "links": links,
            }
        ),
        "JobPage": _object({"jobs": _list(_schema("Job")), "next_cursor": _or_null(text)}),
        "Catalogue": _object(
            {
                "operations": _list(
                    _object(
                        {
                            "name": text,
                            "summary": text,
                            "description": text,
                            "long": {"type": "boolean"},
                            "parameters": anything,
                            "example": anything,
                        }
                    )
                )
            }
        ),
        "RowPage": _object(
            {
                "columns": _list(column),
                "offset": number,
                "row_count": number,
                "total_rows": number,
                "next_offset": _or_null(number),
                "truncated": {"type": "boolean"},
                "rows": {**_list(anything), "description": ROWS},
            }
        ),
        "FileLink": _object(
            {
                "url": {"type": "string", "format": "uri"},
                "expires_at": moment,
                "name": text,
                "bytes": number,
                "content_type": text,
            }
        ),
        "Health": _object({"status": {"const": "ok"}, "environment": text, "data_version": number}),
        "Problem": {
            **problem,
            "properties": {
                **problem["properties"],
                "errors": {**faults, "description": "Single fields, if it is about any"},
            },
            "description": "RFC 9457. Decide by `code`.",
        },
    }


def _question(operation: Operation) -> Json:
    parameters = _parameter_schema(operation)
    return {
        "title": operation.name,
        "description": operation.summary,
        "type": "object",
        "properties": {
            "operation": {"const": operation.name},
            "parameters": parameters,
            "format": {"enum": list(Format), "default": "json", "description": "Of the file, if it is a job"},
            "numbers": NUMBERS,
            **LIMITS,
            "labels": LABELS,
        },
        "required": ["operation", "parameters"] if parameters.get("required") else ["operation"],
        "additionalProperties": False,
        "examples": [{"operation": operation.name, "parameters": dict(operation.example)}],
    }


def _parameter_schema(operation: Operation) -> Json:
    """As pydantic writes it, with its own definitions put in where they are used."""
    schema = operation.parameters.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                name = node["$ref"].rpartition("/")[2]
                return {**inlined(definitions[name]), **{k: inlined(v) for k, v in node.items() if k != "$ref"}}
            return {name: inlined(value) for name, value in node.items()}
        return [inlined(each) for each in node] if isinstance(node, list) else node

    return inlined(schema)


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document("/", BUILT_IN), indent=2, ensure_ascii=False) + "\n")
