"""CONTRIBUTING.md is true: somebody who only reads it adds a source, an attribute, a dataset and an operation.

The steps are performed in a fresh copy of the tree. Texts and commands come from the document itself.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pipeline_project_tests.fix_ingest import Rows
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.handbook import Section, are_just
from pipeline_project_tests.landing import Landing, ingest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTIONS = ("A source system", "An attribute", "A dataset", "An operation")
LEFT_OUT = {"integration/ingest/test_convergence.py": "it takes minutes, and has a dataset of each kind of its own"}
"""Proofs that are not run here, each with the reason."""
STORED = "SELECT to_jsonb(e) - 'segment' AS stored FROM canonical.entities e ORDER BY canonical_id"
LOAD = """
import json, sys
from pathlib import Path
import pipeline_project
from pipeline_project.analytics.catalogue import operation
from pipeline_project.analytics.execution import execute
from pipeline_project.canonical.migrations import migrate
from pipeline_project.database import Database
from pipeline_project_tests.landing import Landing, ingest

assert Path(pipeline_project.__file__).parent.parent == Path.cwd(), pipeline_project.__file__
given = json.load(sys.stdin)
migrate(given["admin"], given["passwords"])
landing = Landing()
seen = [landing.put(key, content, second=100 + n) for n, (key, content) in enumerate(given["files"].items())]
outcomes = ingest(Database(lambda: given["loader"]), landing, *seen)
asked = operation("invoice_totals")
with execute(Database(lambda: given["reader"]), asked, asked.validate({}), timeout_seconds=60) as rows:
    totals = [[str(value) for value in row] for batch in rows for row in batch]
print(json.dumps([{key: [each.state, each.inserted, each.updated] for key, each in outcomes.items()}, totals]))
"""


class Clone:
    """A fresh copy of the tree, with the environment of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns(".*", "build", "dist", "node_modules", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT, folder, ignore=ignored)
        (folder / ".venv").symlink_to(sys.prefix)

    def run(self, command: str, stdin: str | None = None) -> str:
        """Run a command as typed into a shell whose environment is active. It has to succeed."""
        environment = {name: value for name, value in os.environ.items() if name != "PIPELINE_PLUGINS"}
        environment |= {
            "PATH": f"{self.folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYRIGHT_PYTHON_GLOBAL_NODE": "off",
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout[-5_000:]}\n{done.stderr[-5_000:]}"
        return done.stdout

    def files(self) -> dict[str, str]:
        """The digest of each file."""
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file() and ".venv" not in path.relative_to(self.folder).parts
        }


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_a_newcomer_adds_each_thing_in_the_promised_files(
    database: FreshDatabase, landing: Landing, rows: Rows, tmp_path: Path
) -> None:
    ingest(database.loader, landing, landing.put("crm-data/a", [{"customer_id": 1, "name": "A", "segment": "retail"}]))
    before = rows(STORED)
    clone = Clone(tmp_path / "clone")
    changed: set[str] = set()
    proofs: list[str] = []

    for title in SECTIONS:
        section = Section.of(PAGE, title)
        then = clone.files()
        section.type_into(clone.folder)
        for command in section.commands:
            clone.run(command)
        now = clone.files()
        assert not then.keys() - now.keys(), title
        own = {path for path, digest in now.items() if then.get(path) != digest}
        assert are_just(own, section.files), (title, own)
        changed |= own
        proofs += [proof for proof in section.proofs if proof not in LEFT_OUT]

    # The loaded database is migrated, what it holds stays as it is, and new files arrive in the new places.
    [(_, sent)] = Section.of(PAGE, SECTIONS[0]).blocks("json")
    customer = {**json.loads(sent)[0], "segment": "trade"}
    invoices = [
        {"invoice_id": "R-1", "customer_id": "K-1", "date": "2026-01-31", "amount": "100.25", "currency": "EUR"},
        {"invoice_id": "R-2", "customer_id": "K-1", "date": "2026-02-28", "amount": "20", "currency": "EUR"},
    ]
    given = {
        "admin": database.admin,
        "passwords": database.server.passwords,
        **{role: database.server.conninfo(role, database.name) for role in ("loader", "reader")},
        "files": {"shop-data/a.json": [customer], "shop-data/invoices/b.json": invoices},
    }
    with psycopg.connect(database.admin) as admin:
        # A clone does not have the grants of the database that it was cloned from.
        admin.execute(
            f"GRANT CONNECT, TEMPORARY ON DATABASE {database.name} TO pipeline_loader, pipeline_reader".encode()
        )
    printed = clone.run(f"python -W error -c '{LOAD}'", json.dumps(given))
    assert json.loads(printed.splitlines()[-1]) == [
        {"shop-data/a.json": ["loaded", 1, 0], "shop-data/invoices/b.json": ["loaded", 2, 0]},
        [["shop_K-1", "Harbour Ltd", "EUR", "2", "120.25"]],
    ]
    assert rows(f"SELECT * FROM ({STORED}) s WHERE stored ->> 'source' = 'crm'") == before
    assert rows("SELECT name, revenue::text, segment, attributes FROM analytics.entities WHERE source = 'shop'") == [
        ("Harbour Ltd", "1200.5", "trade", {"company": {"size": "large"}})
    ]

    # What a reviewer asks for.
    modules = " ".join(sorted(path for path in changed if path.endswith(".py")))
    clone.run(f"ruff check . && ruff format --check . && pyright {modules}")
    tests = " ".join(sorted({f"pipeline_project_tests/{proof}" for proof in proofs}))
    clone.run(f"pytest -q -n 0 -p no:cacheprovider pipeline_project_tests/architecture {tests}")


def test_each_section_names_its_files_and_proofs() -> None:
    for title in SECTIONS:
        section = Section.of(PAGE, title)
        assert section.files and section.proofs, title
        for proof in section.proofs:
            assert (ROOT / "pipeline_project_tests" / proof).is_file(), proof


def test_a_file_that_is_not_promised_is_noticed() -> None:
    promised = ["a.py", "sql/*_add.sql"]
    assert are_just({"a.py", "sql/1_add.sql"}, promised)
    assert not are_just({"a.py", "sql/1_add.sql", "b.py"}, promised)
    assert not are_just({"a.py"}, promised)
    assert not are_just({"a.py", "sql/1_other.sql"}, promised)
    assert not are_just({"sql/1_add.sql", "sql/2_add.sql"}, promised)
