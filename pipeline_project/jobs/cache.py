"""Answers kept in DynamoDB. The key holds the data version and the schema's, so an answer is never older than the last load or
migration; the expiry only bounds the space.

Of many who ask the same at once, one asks the database. The claim is an item that only one can put:

    first   ── claim(key) ✓ ── asks ── put(key) ── release ──┐
    others  ── claim(key) ✗ ── look, wait, look ──────────── answer

A claim ends by itself, as its holder may be dead; one that is only late must not let go of its successor's. So it has a token.
"""

import datetime as dt
import hashlib
import uuid
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import msgspec

from pipeline_project import exact_json
from pipeline_project.jobs.model import Reason, now
from pipeline_project.jobs.table import EXPIRY, Raw, decode, encode

LARGEST = 380 * 1024
"""DynamoDB takes items of 400 KB; what is larger, compressed, goes to S3."""
PREFIX = "cache/"
REFUSAL_SECONDS = 30
"""How long is kept that an answer is too much: for those who ask at the same time. The database may be quicker soon."""
GZIP = 31
"""zlib's number for the largest window with the header of gzip."""
LEVEL = 1
"""zlib's fastest: rows of JSON shrink to a sixth with it, at 100 MB/s."""


def cache_key(
    operation: str,
    code_version: str,
    parameters: Mapping[str, Any],
    options: Mapping[str, Any],
    data_version: int,
    schema_version: str,
) -> str:
    """Compute a key that is equal for equal questions about equal data. `parameters` are complete and normalised.

    `options` are those that change the answer.
    """
    question = [operation, code_version, parameters, options, data_version, schema_version]
    return hashlib.sha256(exact_json.encode_sorted(question)).hexdigest()


class Kept(msgspec.Struct, frozen=True):
    """A cached answer: its body, compressed with gzip as clients take it, and the digest of the body itself."""

    packed: bytes
    digest: str

    @classmethod
    def of(cls, body: bytes) -> Self:
        return cls(packed(body), hashlib.sha256(body).hexdigest())

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.packed, GZIP)


def packed(body: bytes) -> bytes:
    """Compress with gzip."""
    return zlib.compress(body, LEVEL, GZIP)


class Refusal(msgspec.Struct, frozen=True):
    """That a question cannot be answered at once. `seconds`: what it was given; None if more would not help."""

    reason: Reason
    detail: str
    seconds: float | None


class QueryCache:
    """Answers by key. `dynamodb` is a boto3 client; `s3` gives one, when an answer is too large for an item."""

    def __init__(
        self,
        dynamodb: Any,
        table: str,
        s3: Callable[[], Any],
        bucket: str,
        *,
        seconds: int = 3_600,
        largest: int = LARGEST,
        clock: Callable[[], dt.datetime] = now,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._s3 = s3
        self._bucket = bucket
        self._seconds = seconds
        self._largest = largest
        self._clock = clock

    def get(self, key: str) -> Kept | Refusal | None:
        values = self._read(_answer_key(key))
        if values is None:
            return None
        if "refusal" in values:
            return msgspec.json.decode(values["refusal"], type=Refusal)
        if "body" in values:
            return Kept(values["body"], values["digest"])
        s3 = self._s3()
        try:
            return Kept(s3.get_object(Bucket=self._bucket, Key=PREFIX + key)["Body"].read(), values["digest"])
        except s3.exceptions.NoSuchKey:
            return None

    def put(self, key: str, kept: Kept) -> None:
        """Cache an answer."""
        is_small = len(kept.packed) <= self._largest
        if not is_small:
            # Before the item, which says that it is there.
            self._s3().put_object(Bucket=self._bucket, Key=PREFIX + key, Body=kept.packed)
        body = kept.packed if is_small else None
        self._write(_answer_key(key), {"body": body, "digest": kept.digest, EXPIRY: self._expiry(self._seconds)})

    def refuse(self, key: str, refusal: Refusal) -> None:
        """Keep for a moment that there is no answer, so that those who wait for one do not ask in turn."""
        self._write(_answer_key(key), {"refusal": Raw(refusal), EXPIRY: self._expiry(REFUSAL_SECONDS)})

    def claim(self, key: str, seconds: float) -> str | None:
        """The claim's token if the caller is the one to ask. It ends by itself after `seconds`."""
        token = str(uuid.uuid4())
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={**_claim_key(key), **encode({"token": token, EXPIRY: self._expiry(seconds)})},
                ConditionExpression="attribute_not_exists(pk) OR #expiry < :now",
                ExpressionAttributeNames={"#expiry": EXPIRY},
                ExpressionAttributeValues=encode({":now": int(self._clock().timestamp())}),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return None
        return token

    def release(self, key: str, token: str) -> None:
        """End the claim, if it is still this one."""
        with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._dynamodb.delete_item(
                TableName=self._table,
                Key=_claim_key(key),
                ConditionExpression="#token = :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues=encode({":token": token}),
            )

    def _read(self, key: dict[str, Any]) -> dict[str, Any] | None:
        found = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        values = found and decode(found)
        return values if values and values[EXPIRY] > self._clock().timestamp() else None

    def _write(self, key: dict[str, Any], values: Mapping[str, Any]) -> None:
        self._dynamodb.put_item(TableName=self._table, Item={**key, **encode(values)})

    def _expiry(self, seconds: float) -> int:
        return int(self._clock().timestamp() + seconds)


def _answer_key(key: str) -> dict[str, Any]:
    return encode({"pk": f"answer#{key}", "sk": "answer"})


def _claim_key(key: str) -> dict[str, Any]:
    return encode({"pk": f"answer#{key}", "sk": "claim"})
