"""What is known of mutations already, in a file below build/: a run that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Outcome(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Judged:
    """A mutation that was tried. `source` and `tests` are digests of what it was judged by."""

    id: str
    path: str
    line: int
    rule: str
    before: str
    after: str
    outcome: Outcome
    seconds: float
    source: str
    tests: str

    def still_counts(self, source: str, tests: str) -> bool:
        """A mutation that was killed stays so while its file is the same. A survivor may be killed by other tests."""
        return self.source == source and (self.outcome is Outcome.KILLED or self.tests == tests)


class Record:
    """The judgements of one area, one JSON line each. The last line of a mutation counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._judged: dict[str, Judged] = {}
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        for line in lines:
            fields = json.loads(line)
            self._judged[fields["id"]] = Judged(**{**fields, "outcome": Outcome(fields["outcome"])})

    def get(self, mutation_id: str) -> Judged | None:
        return self._judged.get(mutation_id)

    def add(self, judged: Judged) -> None:
        self._judged[judged.id] = judged
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(judged)) + "\n")


def digest(root: Path, paths: Iterable[Path]) -> str:
    """Return a digest of the files' contents."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.as_posix().encode() + b"\0" + (root / path).read_bytes() + b"\0")
    return found.hexdigest()[:16]
