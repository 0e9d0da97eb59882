"""Documents: links lead somewhere, named files exist, decision records have one form, and every package is described."""

import re
from pathlib import Path

import pytest

from pipeline_project_tests.architecture.test_imports import NAME, OWN, part_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "deploy").rglob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = ROOT / "docs" / "decisions"
RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
PARTS = ["## Context", "## Decision", "## Consequences", "## Alternatives"]
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
NAMES_FILES = ("ARCHITECTURE.md", "docs/explanation/ingestion-semantics.md", "docs/testing.md")
"""Pages whose names of files are all meant as files of this repository."""
FOLDERS = ("", "pipeline_project", "pipeline_project_tests", "pipeline_project_tests/mutate")
"""Folders that those names start in."""


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_documents_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", NAMES_FILES)
def test_named_files_exist(name: str) -> None:
    named = set(re.findall(r"`([\w/.-]+\.(?:py|sql|md|toml))`", (ROOT / name).read_text("utf-8")))
    assert named
    assert {path for path in named if not any((ROOT / folder / path).exists() for folder in FOLDERS)} == set()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_record_is_short_and_has_four_parts(record: Path) -> None:
    text = record.read_text("utf-8")
    number = int(record.stem[:4])
    assert text.startswith(f"# {number}. ")
    assert re.findall(r"^## .+$", text, re.MULTILINE) == PARTS
    assert len(text.split()) <= 400
    assert f"[{number}]({record.name})" in (DECISIONS / "README.md").read_text("utf-8")


def test_decision_records_are_numbered_without_gaps() -> None:
    assert [int(record.stem[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "README.md"])
def test_every_package_is_described(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    packages = [path.parent.name for path in (ROOT / "pipeline_project").glob("*/__init__.py")]
    assert [name for name in packages if not re.search(rf"(`{name}`|\b{name}/)", text)] == []


def test_the_drawing_of_packages_shows_the_imports() -> None:
    """Each arrow is an import. Each import between drawn packages is an arrow, or follows from arrows."""
    [drawing] = re.findall(
        r"^```mermaid\nflowchart TD\n(.*?)^```", (ROOT / "ARCHITECTURE.md").read_text("utf-8"), re.M | re.S
    )
    arrows = {
        (above, below)
        for left, right in re.findall(r"^ *([\w &]+) --> ([\w &]+)", drawing, re.M)
        for above in left.split(" & ")
        for below in right.split(" & ")
    }
    packages = {package for arrow in arrows for package in arrow} - {"foundation"}
    imports = {
        (part_of(module), part_of(target))
        for module in OWN
        if module != NAME
        for target in OWN[module]
        if target != NAME
    }
    drawn = {arrow for arrow in arrows if "foundation" not in arrow}
    assert drawn - imports == set(), "ARCHITECTURE.md draws arrows that are no imports"
    reached = {package: {package} for package in packages}
    for _ in packages:
        for above, below in drawn:
            reached[above] |= reached[below]
    missing = {(above, below) for above, below in imports if above in packages and below in packages - reached[above]}
    assert missing == set(), "ARCHITECTURE.md lacks arrows"
