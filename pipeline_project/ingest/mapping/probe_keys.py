"""What tells whether records are there already in this very form, on its way into the table `peeked`.

In COPY's binary format: as text it takes PostgreSQL three times as long, since there are a time and a uuid to parse.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain, compress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BEGIN, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
"""What stands around the rows of a COPY in binary format."""

Integers = npt.NDArray[np.int64]


class ProbeKeys(NamedTuple):
    """Columns of one length."""

    keys: list[str]
    """Canonical ids, without NUL."""
    times: Integers
    """Microseconds since the beginning of 2000."""
    ordinals: Integers
    object_places: Integers
    """Which object each is of: its place among those of the probe, from 1."""
    digests: list[bytes]
    """SHA-256; half of it is compared."""


def joined(some: Sequence[ProbeKeys]) -> ProbeKeys:
    """All of these, in their order."""
    if len(some) == 1:
        return some[0]
    if not some:
        none = np.empty(0, np.int64)
        return ProbeKeys([], none, none, none, [])
    keys, times, ordinals, object_places, digests = zip(*some, strict=True)
    return ProbeKeys(
        list(chain.from_iterable(keys)),
        np.concatenate(times),
        np.concatenate(ordinals),
        np.concatenate(object_places),
        list(chain.from_iterable(digests)),
    )


def without_repeated_keys(peeks: ProbeKeys) -> ProbeKeys:
    """Those whose key is there once."""
    if len(set(peeks.keys)) == len(peeks.keys):
        return peeks
    times = Counter(peeks.keys)
    once = np.fromiter((times[key] == 1 for key in peeks.keys), bool, len(peeks.keys))
    return ProbeKeys(
        list(compress(peeks.keys, once)),
        peeks.times[once],
        peeks.ordinals[once],
        peeks.object_places[once],
        list(compress(peeks.digests, once)),
    )


def to_binary_copy(peeks: ProbeKeys) -> bytes:
    """All of the COPY into `peeked`; empty where there are no rows. Those whose keys have the same length are made together."""
    if not peeks.keys:
        return b""
    keys = list(map(str.encode, peeks.keys))
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    order = np.argsort(lengths, kind="stable")
    columns = {
        "source_updated_at": peeks.times,
        "record_digest": np.frombuffer(b"".join(peeks.digests), "V32").view("V16")[::2],
        "ordinal": peeks.ordinals,
        "object_place": peeks.object_places,
        "canonical_id": np.array(keys, bytes),
    }
    parts = [_BEGIN]
    for here in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        rows = np.full(len(here), _row(int(lengths[here[0]])))
        for name, column in columns.items():
            rows[name] = column[here]
        parts.append(rows.tobytes())
    return b"".join((*parts, _END))


@cache
def _row(length: int) -> npt.NDArray[np.void]:
    """A row whose key has so many bytes, with the number of its columns and the length before each."""
    columns = {
        "source_updated_at": ">i8",
        "record_digest": "V16",
        "ordinal": ">i4",
        "object_place": ">i4",
        "canonical_id": f"S{length}",
    }
    fields = [("columns", ">i2")]
    for name, kind in columns.items():
        fields += [(f"length of {name}", ">i4"), (name, kind)]
    row = np.zeros((), np.dtype(fields))
    row["columns"] = len(columns)
    for name in columns:
        row[f"length of {name}"] = row.dtype[name].itemsize
    return row
