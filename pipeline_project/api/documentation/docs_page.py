"""The OpenAPI document as one page of HTML: no script, no font, no picture, nothing from elsewhere."""

import json
from html import escape
from typing import Any

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f4f6;border-radius:4px}
code{padding:.1em .3em}pre{padding:.8em;overflow:auto}
h2{margin-top:2.2em;border-bottom:1px solid #d0d7de}h3 b{display:inline-block;min-width:3.2em}
td,th{padding:.25em .8em .25em 0;text-align:left;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}code,pre{background:#161b22}h2{border-color:#30363d}}
"""


def page(document: dict[str, Any]) -> str:
    """The whole page. Everything in it comes from `document` and is escaped."""
    server = document["servers"][0]["url"]
    paths = "".join(
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    questions = "".join(_question(each, server) for each in document["components"]["schemas"]["Question"]["oneOf"])
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
        f"<p>Address: <code>{escape(server)}</code>. "
        f"Machine-readable: <code>{escape(server.rstrip('/'))}/openapi.json</code></p>"
        f"<h2>Routes</h2>{paths}<h2>Operations</h2>{questions}</html>"
    )


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    named = (_resolved(document, each) for each in operation.get("parameters", []))
    parameters = "".join(
        f"<tr><td><code>{escape(each['name'])}</code><td>{each['in']}<td>{escape(each.get('description', ''))}"
        for each in named
    )
    answers = "".join(
        f"<tr><td><code>{status}</code><td>{escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3><p>{escape(operation['summary'])}.</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + f"<table>{answers}</table>"
    )


def _question(question: dict[str, Any], server: str) -> str:
    example = json.dumps(question["examples"][0])
    properties = question["properties"]["parameters"].get("properties", {})
    parameters = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(schema))}<td>{escape(schema.get('description', ''))}"
        for name, schema in properties.items()
    )
    command = f"curl -H 'Content-Type: application/json' {server.rstrip('/')}/analytics -d '{example}'"
    return (
        f"<h3><code>{escape(question['title'])}</code></h3><p>{escape(question['description'])}</p>"
        f"<table>{parameters}</table><pre>{escape(command)}</pre>"
    )


def _kind(schema: dict[str, Any]) -> str:
    kind = " | ".join(map(str, schema["enum"])) if "enum" in schema else str(schema.get("type", ""))
    return f"{kind}, default {schema['default']}" if "default" in schema else kind


def _resolved(document: dict[str, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in parameter:
        return document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
    return parameter
