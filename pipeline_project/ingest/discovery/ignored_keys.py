"""Objects that are not loaded: what tools leave behind beside the data, and what a source declares with `ignore_keys`."""

import re

from pipeline_project.sources.dialect import key_pattern
from pipeline_project.sources.registry import route
from pipeline_project.sources.snapshot import SnapshotError

_LEFTOVER = re.compile(
    r"(?:^|.*/)(?:"
    # Spark and Hadoop: _SUCCESS, _temporary/, .part-0.crc. A folder `_x=y` is a partition of data.
    r"(?:_(?![^/=]*=)|\.)[^/]*(?:/.*)?"
    r"|[^/]*\.(?:crc|tmp|part)|~\$[^/]*|Thumbs\.db|desktop\.ini)",
    re.IGNORECASE | re.DOTALL,
)


def why_ignored(key: str, size: int) -> str | None:
    """Return why an object is not loaded: the end of a sentence that begins with its key. None: it is loaded."""
    if _completes_snapshot(key):
        return None
    if size == 0:
        return "it is empty"
    if key.endswith("/"):
        return "it is a folder"
    if "\0" in key:
        return "its key has a NUL character, which PostgreSQL cannot store"
    if _LEFTOVER.fullmatch(key):
        return "tools leave objects with such names beside the data"
    if (routed := route(key)) is not None:
        source, dataset = routed
        patterns = source.dialect_of(dataset, key).ignore_keys or ()
        if pattern := next((each for each in patterns if key_pattern(each).fullmatch(key)), None):
            return f"`ignore_keys` of the source has the pattern {pattern!r}"
    return None


def _completes_snapshot(key: str) -> bool:
    """Return whether an object is the marker or the manifest of a snapshot. A marker is often empty."""
    routed = route(key) if "\0" not in key else None
    declared = routed[0].snapshot_of(routed[1]) if routed else None
    try:
        place = declared.place(key) if declared else None
    except SnapshotError:
        return False
    return place is not None and place.role != "part"
