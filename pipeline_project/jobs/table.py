"""The DynamoDB table as jobs, cache and outbox use it: how items are keyed, encoded and changed under a condition.

Every item has `pk` and `sk`. Two indexes: `by_time` lists a principal's jobs, `by_state` is sparse and holds only what
somebody still has to do something about (open jobs, undelivered events).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline_project import exact_json

BY_TIME = "by_time"
BY_STATE = "by_state"
SEEN_TO_AT_ONCE = 100
"""Items of one state that are taken from `by_state` in one call."""
EXPIRY = "expireAt"
"""Seconds since 1970. DynamoDB deletes some time after: whoever reads has to look at it."""

Item = dict[str, dict[str, Any]]


class Raw(msgspec.Struct, frozen=True):
    """A document stored as JSON text (exact_json.py). DynamoDB's own numbers and maps would alter decimals and empty values."""

    value: Any


def encode(values: Mapping[str, Any]) -> Item:
    """Attribute values from str, int, bytes, Raw and sets of str; None is left out."""
    return {name: _attribute(value) for name, value in values.items() if value is not None}


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case Raw():
            return {"S": exact_json.encode(value.value).decode()}
        case str():
            return {"S": str(value)}
        case bytes():
            return {"B": value}
        case int():
            return {"N": str(value)}
        case frozenset():
            return {"SS": sorted(value)}
        case _:
            raise TypeError(f"no attribute type for {type(value).__name__}")


def decode(item: Item) -> dict[str, Any]:
    """The reverse of `encode`, but that Raw stays text and a set becomes a list."""
    return {name: int(value["N"]) if "N" in value else next(iter(value.values())) for name, value in item.items()}


class Change:
    """Collects the parts of an UpdateItem: SET and REMOVE clauses and the conditions that must hold."""

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._adds: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: Item = {}

    def set(self, **values: Any) -> "Change":
        """Values as for `encode`; None removes the attribute."""
        for name, value in values.items():
            if value is None:
                self._removes.append(self._name(name))
            else:
                self._sets.append(f"{self._name(name)} = {self._value(value)}")
        return self

    def add(self, name: str, by: int) -> "Change":
        self._adds.append(f"{self._name(name)} {self._value(by)}")
        return self

    def where(self, name: str, operator: str, value: Any) -> "Change":
        self._conditions.append(f"{self._name(name)} {operator} {self._value(value)}")
        return self

    def where_in(self, name: str, values: Any) -> "Change":
        self._conditions.append(f"{self._name(name)} IN ({', '.join(self._value(value) for value in values)})")
        return self

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `update_item` (or of an Update in a transaction), without table and key."""
        clauses = (("SET", self._sets), ("REMOVE", self._removes), ("ADD", self._adds))
        return {
            "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }

    def _name(self, name: str) -> str:
        self._names[f"#{name}"] = name
        return f"#{name}"

    def _value(self, value: Any) -> str:
        key = f":v{len(self._values)}"
        self._values[key] = _attribute(value)
        return key
