"""Probe keys: they show whether a record is already stored unchanged, before the record is mapped.

They go to the temporary table `probe_keys` in the binary format of COPY. As text they take PostgreSQL three times as long,
because it has to parse a time and a UUID for each row.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain, compress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BEGIN, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
"""Header and trailer of a binary COPY."""

Integers = npt.NDArray[np.int64]


class ProbeKeys(NamedTuple):
    """Columns of the same length, one entry for each record."""

    keys: list[str]
    """Canonical IDs, without NUL."""
    times: Integers
    """Microseconds since the beginning of 2000."""
    ordinals: Integers
    object_places: Integers
    """The object of each record, as its place among the objects of the probe, from 1."""
    digests: list[bytes]
    """SHA-256 of each record. The first half is compared."""


def joined(some: Sequence[ProbeKeys]) -> ProbeKeys:
    """Join probe keys in their order."""
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


def without_repeated_keys(probe_keys: ProbeKeys) -> ProbeKeys:
    """Drop all records whose key occurs more than once."""
    keys = probe_keys.keys
    if len(set(keys)) == len(keys):
        return probe_keys
    counts = Counter(keys)
    once = np.fromiter((counts[key] == 1 for key in keys), bool, len(keys))
    return ProbeKeys(
        list(compress(keys, once)),
        probe_keys.times[once],
        probe_keys.ordinals[once],
        probe_keys.object_places[once],
        list(compress(probe_keys.digests, once)),
    )


def to_binary_copy(probe_keys: ProbeKeys) -> bytes:
    """Return the whole binary COPY, or nothing if there are no rows.

    This is a hot path. NumPy builds all rows whose keys have the same length in one step.
    """
    if not probe_keys.keys:
        return b""
    keys = list(map(str.encode, probe_keys.keys))
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    order = np.argsort(lengths, kind="stable")
    columns = {
        "source_updated_at": probe_keys.times,
        "record_digest": np.frombuffer(b"".join(probe_keys.digests), "V32").view("V16")[::2],
        "ordinal": probe_keys.ordinals,
        "object_place": probe_keys.object_places,
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
    """Return an empty row whose key has this many bytes, with the number of its columns and the length of each."""
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
