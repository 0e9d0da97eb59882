"""Tries a sample of an area's mutations, one at a time, and prints which of them no test noticed."""

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline_project_tests.mutate import configuration, python_code, sql_text
from pipeline_project_tests.mutate.areas import Area, Judges
from pipeline_project_tests.mutate.equivalents import equivalents
from pipeline_project_tests.mutate.mutation import Mutation, changed_lines, mutations
from pipeline_project_tests.mutate.observed import Observed
from pipeline_project_tests.mutate.record import Judged, Outcome, Record, digest
from pipeline_project_tests.mutate.tree import changed
from pipeline_project_tests.mutate.trial import preload, run_tests

LANGUAGES = {
    ".py": python_code,
    ".sql": sql_text,
    ".toml": configuration,
    ".yaml": configuration,
}
LONGEST_FACTOR = 4
"""Tests that take so many times as long as without a mutation have noticed it: it made them wait for ever."""
SHORTEST_LIMIT = 120.0


@dataclass
class Result:
    """What came out of a sample."""

    area: str
    judged: list[Judged] = field(default_factory=list)
    left: int = 0

    def of(self, outcome: Outcome) -> list[Judged]:
        return [each for each in self.judged if each.outcome is outcome]

    @property
    def share(self) -> float:
        """Killed, of what is not equivalent."""
        killed, survived = len(self.of(Outcome.KILLED)), len(self.of(Outcome.SURVIVED))
        return killed / (killed + survived) if killed + survived else 1.0

    def __str__(self) -> str:
        counts = ", ".join(f"{len(self.of(outcome))} {outcome}" for outcome in Outcome)
        return f"{self.area}: {self.share:.0%} killed ({counts}, {self.left} not tried)"


def every_mutation(tree: Path, area: Area) -> list[Mutation]:
    """Find all mutations of an area's sources."""
    found: list[Mutation] = []
    for path in area.judged(tree):
        text = (tree / path).read_text("utf-8")
        found += mutations(path, text, LANGUAGES[path.suffix].changes(text))
    return found


def sample(tree: Path, area: Area, size: int, seed: int) -> list[Mutation]:
    """Choose mutations at random, by lines first: a line with many places counts no more than another."""
    by_line: dict[tuple[Path, int], list[Mutation]] = {}
    for mutation in every_mutation(tree, area):
        by_line.setdefault((mutation.path, mutation.line), []).append(mutation)
    chance = random.Random(seed)
    lines = list(by_line.values())
    chance.shuffle(lines)
    chosen: list[Mutation] = []
    for line in lines:
        if len(chosen) == size:
            break
        text = (tree / line[0].path).read_text("utf-8")
        valid = [each for each in line if LANGUAGES[each.path.suffix].is_valid(each.change.apply(text))]
        chosen += chance.sample(valid, min(1, len(valid)))
    return chosen


class Campaign:
    """Judges mutations on a copy of the tree until a deadline (of time.monotonic)."""

    def __init__(self, copy: Path, servers: Path, records: Path, deadline: float) -> None:
        self._copy = copy
        self._servers = servers
        self._records = records
        self._deadline = deadline
        self._reasons = equivalents()
        self._baselines: dict[Judges, tuple[float, Observed]] = {}

    def run(self, area: Area, chosen: Sequence[Mutation]) -> Result:
        """Judge the chosen mutations of an area, and print each."""
        record = Record(self._records / f"{area.name}.jsonl")
        judged_by = area.judged(self._copy)
        result = Result(area.name)
        for mutation in chosen:
            judged = self._judge(mutation, judged_by[mutation.path], record)
            if judged is None:
                result.left += 1
                continue
            result.judged.append(judged)
            print("\n".join(_printed(judged)), flush=True)  # noqa: T201
        return result

    def _judge(self, mutation: Mutation, judges: Judges, record: Record) -> Judged | None:
        """Return what the record says or what the tests say; None if there is no time left."""
        source, tests_digest = digest(self._copy, [mutation.path]), digest(self._copy, judges.modules)
        text = (self._copy / mutation.path).read_text("utf-8")
        after = mutation.change.apply(text)
        lines = changed_lines(text, after)

        def judged(outcome: Outcome, seconds: float) -> Judged:
            place = (mutation.id, mutation.path.as_posix(), mutation.line, mutation.rule)
            return Judged(*place, *lines, outcome, round(seconds, 1), source, tests_digest)

        if (mutation.path.name, *lines) in self._reasons:
            return judged(Outcome.EQUIVALENT, 0)
        known = record.get(mutation.id)
        if known is not None and known.still_counts(source, tests_digest):
            return judged(known.outcome, known.seconds)
        if (baseline := self._baseline(judges)) is None:
            return None
        limit, observed = baseline
        rest = max(self._deadline - time.monotonic(), 0)
        first = self._copy.parent / "first.json"
        lines_of = LANGUAGES[mutation.path.suffix].statement_lines(text, mutation.line)
        first.write_text(json.dumps(observed.selection(mutation.path, lines_of)), "utf-8")
        with changed(self._copy / mutation.path, after):
            trial = run_tests(self._copy, judges, self._servers, min(limit, rest), "--first", str(first))
        if trial.passed is None and rest < limit:
            return None
        found = judged(Outcome.SURVIVED if trial.passed else Outcome.KILLED, trial.seconds)
        record.add(found)
        return found

    def _baseline(self, judges: Judges) -> tuple[float, Observed] | None:
        """Return how long the tests may take and what they do: they run once without a mutation, and have to pass."""
        if judges not in self._baselines:
            rest = self._deadline - time.monotonic()
            path = self._copy.parent / "observed.json"
            trial = run_tests(self._copy, judges, self._servers, max(rest, 0), "--observe", str(path))
            if trial.passed is None:
                return None
            if not trial.passed:
                raise SystemExit(f"the tests fail without a mutation:\n{trial.output[-3000:]}")
            observed = Observed.read(path)
            preload(observed.modules)
            self._baselines[judges] = max(LONGEST_FACTOR * trial.seconds, SHORTEST_LIMIT), observed
        return self._baselines[judges]


def _printed(judged: Judged) -> Iterator[str]:
    yield f"{judged.outcome:10} {judged.seconds:5.0f} s  {judged.path}:{judged.line}  {judged.rule}"
    if judged.outcome is not Outcome.KILLED:
        yield f"    - {judged.before}"
        yield f"    + {judged.after}"
