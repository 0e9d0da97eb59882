"""The OpenAPI document: committed as it is, and saying what the code does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import validator_for

from pipeline_project.analytics.catalogue import BUILT_IN, operations
from pipeline_project.api.documentation.openapi import document
from pipeline_project.api.handler import ROUTES
from pipeline_project.api.http.problems import STATUS_OF
from pipeline_project.api.http.replies import EXPOSED_HEADERS, REQUEST_HEADERS

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_committed_document_is_current() -> None:
    """Mend with: python -m pipeline_project.api.documentation.openapi > docs/openapi.json"""
    assert json.loads(COMMITTED.read_text("utf-8")) == document("/", BUILT_IN)


def test_every_route_is_documented() -> None:
    documented = {
        (method.upper(), re.sub(r"\{\w+\}", "<>", path))
        for path, methods in document("/", operations().values())["paths"].items()
        for method in methods
    }
    routed = {(route.method, re.sub(r"<\w+>|\.\+", "<>", route.rule)) for route in ROUTES}
    assert documented == routed


def test_every_problem_is_documented() -> None:
    """Each code stands under its status somewhere, but for 405 (any path) and 500 (any route)."""
    text = json.dumps(document("/", operations().values())["paths"])
    for code, status in STATUS_OF.items():
        if status not in (405, 500):
            assert code in text, code


def test_documented_headers_are_those_that_pages_of_other_origins_may_read_and_send() -> None:
    components = document("/", operations().values())["components"]
    assert components["headers"].keys() == set(EXPOSED_HEADERS.split(", "))
    sent = {each["name"] for each in components["parameters"].values() if each["in"] == "header"}
    assert sent == {"Cache-Control", "Idempotency-Key", "If-None-Match", "Prefer"}
    assert sent < set(REQUEST_HEADERS.split(", "))


def test_references_lead_somewhere() -> None:
    whole = document("/", operations().values())

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target = whole
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(whole)


@pytest.mark.parametrize("name", operations())
def test_schema_and_code_agree_on_the_example(name: str) -> None:
    operation = operations()[name]
    schema = {
        **document("/", operations().values())["components"]["schemas"]["Question"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }
    validator = validator_for(schema)
    question = {"operation": name, "parameters": dict(operation.example)}
    assert validator.is_valid(question)
    operation.validate(operation.example)
    assert not validator.is_valid({**question, "colour": "red"})
    assert not validator.is_valid({**question, "parameters": {**operation.example, "colour": "red"}})
