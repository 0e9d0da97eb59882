"""A snapshot: the declaration of exports that contain everything, so that a record that is missing in one was deleted.

A snapshot is one object or several parts. Its name, its scope and the role of each object follow from the key alone. The
loader reads this declaration (ingest/loading/snapshots.py). No code that loads belongs here.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, NamedTuple

OBJECT = "object"
SINGLE = "single"
MANIFEST = "manifest"
_NAME = "snapshot"
"""The group of `keys` that names the snapshot. Also the beginning of an `as_of` that reads the name."""
_MANIFEST_FILE = re.compile(r"_?(.*[._-])?manifest(\.(json|txt|csv))?", re.IGNORECASE)
_PATH = re.compile(r"\w+(\.\w+)+")
_EXAMPLE = datetime(2024, 12, 31, 13, 5, 7, tzinfo=UTC)


class SnapshotError(ValueError):
    """A key or a time from which a snapshot cannot be read."""


class Place(NamedTuple):
    """The place of an object in a snapshot, as its key tells it."""

    name: str | None
    """None: the object is a snapshot of its own, which its version names."""
    scope: str
    role: Literal["part", "marker", "manifest"]
    part: int | None = None
    parts: int | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The declaration of the snapshots of a source. Objects whose keys do not fit are ordinary files.

    `Snapshot(keys=r"sap-data/full/(?P<snapshot>[^/]+)/", as_of="snapshot:%Y%m%d", complete="_SUCCESS")`
    """

    keys: str
    """A regular expression that the keys of parts begin with. The group `snapshot` names the snapshot."""
    scope: str = ""
    """A further group of `keys`: each snapshot holds everything of one scope, for example of one country."""
    as_of: str = OBJECT
    """When the exporter read.

    `snapshot:FORMAT` reads the name with strptime codes, for example `snapshot:%Y%m%d`. A path, for example
    `metadata.exportedAt`, reads the JSON around the records, and the earliest time of the parts counts. `object` is the
    upload of the marker or of the last part.
    """
    complete: str = SINGLE
    """When all parts are there.

    `single`: each object is complete. `parts:REGEX`: the groups `part` and `parts` of the file's name say so, for example
    `parts:(?P<part>\\d+)-of-(?P<parts>\\d+)`. `manifest`: a manifest lists the parts. Any other text is the name of the
    marker that is uploaded last, for example `_SUCCESS`.
    """
    max_deletes: float = 0.05
    """The largest share of the records that a snapshot may delete before a person has approved it."""

    def __post_init__(self) -> None:
        groups = self._regex("keys", self.keys).groupindex
        if _NAME not in groups and (self.complete != SINGLE or self.as_of.startswith(f"{_NAME}:")):
            raise ValueError(
                f"snapshot: keys = {self.keys!r} does not name the snapshot. Add the group (?P<snapshot>…), for example "
                r"keys = 'sap-data/full/(?P<snapshot>[^/]+)/'."
            )
        if self.scope and (self.scope == _NAME or self.scope not in groups):
            raise ValueError(
                f"snapshot: scope = {self.scope!r} is not a group of keys = {self.keys!r}. Add (?P<{self.scope}>…) to keys."
            )
        if self.as_of != OBJECT and not _PATH.fullmatch(self.as_of) and not self._format:
            raise ValueError(
                f"snapshot: as_of = {self.as_of!r} is not a time. Use 'object', a path as 'metadata.exportedAt', or "
                "'snapshot:' and a format as 'snapshot:%Y%m%d'."
            )
        if self._format:
            try:
                fits = datetime.strptime(_EXAMPLE.strftime(self._format), self._format).date() == _EXAMPLE.date()  # noqa: DTZ007
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(
                    f"snapshot: as_of = {self.as_of!r} does not say the day. Use at least year, month and day, for example "
                    "'snapshot:%Y%m%d'."
                )
        if self.complete.startswith("parts:") and not {"part", "parts"} <= self._parts.groupindex.keys():
            raise ValueError(
                f"snapshot: complete = {self.complete!r} needs the groups part and parts, for example "
                r"'parts:(?P<part>\d+)-of-(?P<parts>\d+)'."
            )
        if not self.complete or "/" in self.complete.removeprefix(f"parts:{self._parts.pattern}"):
            raise ValueError(
                f"snapshot: complete = {self.complete!r} is not the name of a file. Use a name as '_SUCCESS', or 'single', "
                "'manifest' or 'parts:…'."
            )
        if not 0 <= self.max_deletes <= 1:
            raise ValueError(f"snapshot: max_deletes = {self.max_deletes} is not a share. Use a number from 0 to 1.")

    def includes(self, key: str) -> bool:
        """Return whether an object belongs to a snapshot."""
        return self._keys.match(key) is not None

    def place(self, key: str) -> Place | None:
        """Return the place of an object in its snapshot, or None for an ordinary file. Raises SnapshotError."""
        match = self._keys.match(key)
        if match is None:
            return None
        groups = match.groupdict()
        for group in filter(None, (_NAME if _NAME in groups else "", self.scope)):
            if not groups[group]:
                raise SnapshotError(
                    f"the group {group!r} of the snapshot's keys is empty in this key. Correct the key."
                )
        name, scope = groups.get(_NAME), groups[self.scope] if self.scope else ""
        file = key.rsplit("/", 1)[-1]
        if self.complete == MANIFEST and _MANIFEST_FILE.fullmatch(file):
            return Place(name, scope, "manifest")
        if self.complete == file:
            return Place(name, scope, "marker")
        if not self.complete.startswith("parts:"):
            return Place(name, scope, "part")
        numbers = self._parts.search(file)
        if numbers is None or not (numbers["part"].isdecimal() and numbers["parts"].isdecimal()):
            raise SnapshotError(
                f"the file name {file[:50]!r} does not say which part it is. Name it as complete = {self.complete!r} says."
            )
        return Place(name, scope, "part", int(numbers["part"]), int(numbers["parts"]))

    def time_in_name(self, name: str) -> datetime | None:
        """Return the time that the name tells; None if `as_of` is another time. Raises SnapshotError."""
        if not self._format:
            return None
        try:
            at = datetime.strptime(name, self._format)  # noqa: DTZ007 without a zone, it is UTC
        except ValueError:
            raise SnapshotError(
                f"the snapshot's name {name[:50]!r} is not a time as {self._format!r}. Correct the key, or `as_of`."
            ) from None
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    @property
    def time_path(self) -> list[str] | None:
        """The path of the time in the JSON around the records; None if `as_of` is another time."""
        return self.as_of.split(".") if self.as_of != OBJECT and not self._format else None

    @property
    def _format(self) -> str:
        prefix = f"{_NAME}:"
        return self.as_of.removeprefix(prefix) if self.as_of.startswith(prefix) else ""

    @cached_property
    def _keys(self) -> re.Pattern[str]:
        return self._regex("keys", self.keys)

    @cached_property
    def _parts(self) -> re.Pattern[str]:
        return self._regex(
            "complete", self.complete.removeprefix("parts:") if self.complete.startswith("parts:") else ""
        )

    def _regex(self, setting: str, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text)
        except re.error as error:
            raise ValueError(
                f"snapshot: {setting} = {text!r} is not a regular expression: {error}. Correct it, or write a dot as '\\.'."
            ) from None
