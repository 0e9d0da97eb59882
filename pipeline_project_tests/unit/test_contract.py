"""The contract of a source: which faults of a declaration `pipeline sources check` reports."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = """
import os
from pipeline_project.datasets.entities import Entity
from pipeline_project.schema.fields import Id, Text, aliased
from pipeline_project.sources.source import Source

class ShopCustomer(Entity):
    source_id: Id = aliased("number", required=True)
    name: Text | None = aliased("title", "number")

SOURCE = Source(
    name="shop", description="", records=(ShopCustomer,), fallbacks={"entity_type": str(os.getpid())},
    totals={"totalRevenue": "revenue", "totalWeight": "weight"},
)
"""


def test_each_fault_of_a_declaration_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "acme" / "sources"
    folder.mkdir(parents=True)
    (folder / "shop.py").write_text(SOURCE, "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline_project.cli.main import main; main()", "sources", "check"],
        env={**os.environ, "PIPELINE_PLUGINS": str(tmp_path / "acme"), "COLUMNS": "250"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "crm: samples 0, faults 0" in lines
    found = [line.strip() for line in lines[lines.index("shop: samples 0, faults 5") + 1 :]]
    assert found[0].startswith("ShopCustomer: the alias 'number' names 2 fields.")
    assert found[1].startswith("source shop: the total 'totalWeight' sums up 'weight', which is no field.")
    assert [line.partition(" differs")[0] for line in found[2:]] == [
        f"source shop: the fingerprint of {dataset}" for dataset in ("entities", "relationships", "metrics")
    ]
