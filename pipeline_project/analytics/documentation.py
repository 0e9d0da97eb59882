"""docs/operations.md out of the catalogue: `python -m pipeline_project.analytics.documentation > docs/operations.md`."""

import json
import sys
from typing import Any

from pipeline_project.analytics.catalogue import BUILT_IN, Operation

HEAD = """# Operations

What the platform can be asked. Generated from the catalogue (`pipeline_project/analytics/catalogue.py`): mend with
`python -m pipeline_project.analytics.documentation > docs/operations.md`.

Each runs as `pipeline query OPERATION --param name=value` in the terminal, as `POST /analytics` with the body shown, and as a
job with the same body. Unknown parameters and values are refused with the field and what is allowed. Amounts are exact
decimals, ratios are rounded to six places, rows come in the same order each time, and no data gives no rows.
"""


def markdown() -> str:
    listing = "\n".join(f"- [`{operation.name}`](#{operation.name}): {operation.summary}" for operation in BUILT_IN)
    return "\n".join([HEAD, listing, *map(_section, BUILT_IN)])


def _section(operation: Operation) -> str:
    body = {"operation": operation.name, "parameters": dict(operation.example)}
    parts = [f"\n## {operation.name}\n", operation.summary, "", operation.description, ""]
    if operation.long:
        parts += ["Takes long: always a job.", ""]
    schema = operation.parameters.model_json_schema()
    if schema.get("properties"):
        parts += ["| Parameter | Value | Default | |", "|---|---|---|---|"]
        for name, described in schema["properties"].items():
            required = name in schema.get("required", ())
            parts.append(_parameter(name, described, schema.get("$defs", {}), required=required))
        parts.append("")
    return "\n".join([*parts, "```json", json.dumps(body), "```"])


def _parameter(name: str, described: dict[str, Any], definitions: dict[str, Any], *, required: bool) -> str:
    default = "required" if required else f"`{json.dumps(described['default'])}`" if "default" in described else "today"
    value = _value(described, definitions).replace("|", "\\|")
    return f"| `{name}` | {value} | {default} | {described.get('description', '')} |"


def _value(described: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The values that a JSON schema allows, in words."""
    if "$ref" in described:
        described = definitions[described["$ref"].rpartition("/")[2]]
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    if "anyOf" in described:
        return " or ".join(_value(each, definitions) for each in described["anyOf"])
    if described.get("type") == "array":
        return f"list of {_value(described['items'], definitions)}{_bounds(described, 'minItems', 'maxItems')}"
    if described.get("type") == "string":
        return described.get("format", "text") + _bounds(described, "minLength", "maxLength")
    return f"{described.get('type')}{_bounds(described, 'minimum', 'maximum')}"


def _bounds(described: dict[str, Any], least: str, most: str) -> str:
    bounds = [f"{word} {described[key]}" for word, key in (("from", least), ("to", most)) if key in described]
    return f" ({' '.join(bounds)})" if bounds else ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
