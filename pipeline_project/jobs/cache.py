"""Answers kept in DynamoDB. The key holds the data version, so an answer is never older than the last load; the expiry
only bounds the space."""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pipeline_project.jobs.model import now
from pipeline_project.jobs.table import EXPIRY, decode, encode

LARGEST = 380 * 1024
"""DynamoDB takes items of 400 KB."""


def cache_key(operation: str, code_version: str, parameters: Mapping[str, Any], data_version: int) -> str:
    """Equal for equal questions about equal data. `parameters` are complete and normalised. Serves as the ETag, too."""
    question = [operation, code_version, parameters, data_version]
    return hashlib.sha256(msgspec.json.encode(question, order="sorted")).hexdigest()


class QueryCache:
    """Answers by key. `dynamodb` is a boto3 client."""

    def __init__(
        self, dynamodb: Any, table: str, clock: Callable[[], dt.datetime] = now, *, seconds: int = 3_600
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._clock = clock
        self._seconds = seconds

    def get(self, key: str) -> bytes | None:
        found = self._dynamodb.get_item(TableName=self._table, Key=_key(key)).get("Item")
        if found is None:
            return None
        values = decode(found)
        return values["body"] if values[EXPIRY] > self._clock().timestamp() else None

    def put(self, key: str, body: bytes) -> None:
        """Keep an answer; one that DynamoDB would not take is not kept."""
        if len(body) <= LARGEST:
            expiry = int(self._clock().timestamp()) + self._seconds
            self._dynamodb.put_item(TableName=self._table, Item={**_key(key), **encode({"body": body, EXPIRY: expiry})})


def _key(key: str) -> dict[str, Any]:
    return encode({"pk": f"answer#{key}", "sk": "answer"})
