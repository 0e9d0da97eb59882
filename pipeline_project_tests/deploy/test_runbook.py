"""The runbook says what to do for every alarm there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_alarm_has_its_heading() -> None:
    stacks = [path.read_text("utf-8") for path in (ROOT / "deploy").glob("*/*.py")]
    alarms = set(re.findall(r'^\s*"([A-Z]\w+Alarm)",$', "\n".join(stacks), re.M))
    assert len(alarms) > 10
    headings = re.findall(r"^### (.+)$", (ROOT / "docs" / "operations-runbook.md").read_text("utf-8"), re.M)
    assert alarms <= {name for heading in headings for name in heading.split(", ")}
