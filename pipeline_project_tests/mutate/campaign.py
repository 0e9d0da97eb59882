"""Tries a sample of an area's mutations, one at a time, and prints which of them no test noticed."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline_project_tests.mutate import configuration, python_code, sql_text
from pipeline_project_tests.mutate.areas import Area
from pipeline_project_tests.mutate.equivalents import equivalents
from pipeline_project_tests.mutate.mutation import Mutation, changed_lines, mutations
from pipeline_project_tests.mutate.record import Judged, Outcome, Record, digest
from pipeline_project_tests.mutate.tree import changed
from pipeline_project_tests.mutate.trial import run_tests

LANGUAGES = {
    ".py": python_code,
    ".sql": sql_text,
    ".toml": configuration,
    ".yaml": configuration,
}
LONGEST_FACTOR = 3
"""Tests that take so many times as long as without a mutation have noticed it: it made them wait for ever."""
SHORTEST_LIMIT = 60.0


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


def every_mutation(root: Path, area: Area) -> list[Mutation]:
    """Find all mutations of an area's sources."""
    found: list[Mutation] = []
    for path in area.source_files(root):
        text = (root / path).read_text("utf-8")
        found += mutations(path, text, LANGUAGES[path.suffix].changes(text))
    return found


def sample(root: Path, area: Area, size: int, seed: int) -> list[Mutation]:
    """Choose mutations at random, by lines first: a line with many places counts no more than another."""
    by_line: dict[tuple[Path, int], list[Mutation]] = {}
    for mutation in every_mutation(root, area):
        by_line.setdefault((mutation.path, mutation.line), []).append(mutation)
    chance = random.Random(seed)
    lines = list(by_line.values())
    chance.shuffle(lines)
    chosen: list[Mutation] = []
    for line in lines:
        if len(chosen) == size:
            break
        text = (root / line[0].path).read_text("utf-8")
        valid = [each for each in line if LANGUAGES[each.path.suffix].is_valid(each.change.apply(text))]
        chosen += chance.sample(valid, min(1, len(valid)))
    return chosen


def run(copy: Path, records: Path, area: Area, chosen: Sequence[Mutation], servers: Path, deadline: float) -> Result:
    """Judge the chosen mutations until the deadline (of time.monotonic), and print each."""
    tests = area.test_files(copy)
    judged_by = digest(copy, tests)
    record = Record(records / f"{area.name}.jsonl")
    reasons = equivalents()
    result = Result(area.name)
    limit = 0.0
    for mutation in chosen:
        source = digest(copy, [mutation.path])
        text = (copy / mutation.path).read_text("utf-8")
        after = mutation.change.apply(text)
        lines = changed_lines(text, after)
        judged = record.get(mutation.id)
        is_new = judged is None or not judged.still_counts(source, judged_by)
        if (mutation.path.name, *lines) in reasons:
            outcome, seconds, is_new = Outcome.EQUIVALENT, 0.0, False
            judged = None
        elif not is_new:
            assert judged is not None
            outcome, seconds = judged.outcome, judged.seconds
        elif time.monotonic() > deadline:
            result.left += 1
            continue
        else:
            limit = limit or _limit(copy, tests, servers)
            with changed(copy / mutation.path, after):
                trial = run_tests(copy, tests, servers, limit)
            outcome, seconds = Outcome.SURVIVED if trial.passed else Outcome.KILLED, trial.seconds
        judged = Judged(
            mutation.id,
            mutation.path.as_posix(),
            mutation.line,
            mutation.rule,
            *lines,
            outcome,
            round(seconds, 1),
            source,
            judged_by,
        )
        if is_new:
            record.add(judged)
        result.judged.append(judged)
        print("\n".join(_printed(judged)), flush=True)  # noqa: T201
    return result


def _limit(copy: Path, tests: Sequence[Path], servers: Path) -> float:
    """Run the tests without a mutation: they have to pass."""
    trial = run_tests(copy, tests, servers, 3600)
    if not trial.passed:
        raise SystemExit(f"the tests fail without a mutation:\n{trial.output[-3000:]}")
    return max(LONGEST_FACTOR * trial.seconds, SHORTEST_LIMIT)


def _printed(judged: Judged) -> Iterator[str]:
    yield f"{judged.outcome:10} {judged.seconds:5.0f} s  {judged.path}:{judged.line}  {judged.rule}"
    if judged.outcome is not Outcome.KILLED:
        yield f"    - {judged.before}"
        yield f"    + {judged.after}"
