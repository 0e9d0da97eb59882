"""The example of a company in examples/company/, for the tests that use it."""

import zipfile
from pathlib import Path

import pytest

from pipeline_project.analytics.catalogue import operations
from pipeline_project.datasets.registry import datasets
from pipeline_project.sources.registry import sources

COMPANY = Path(__file__).parents[1] / "examples" / "company"
_DECLARED = {path.stem for kind in ("sources", "datasets", "operations") for path in (COMPANY / kind).glob("*.py")}
TAKEN = sorted(_DECLARED & {*sources(), *datasets(), *operations()})
"""Names that the platform itself declares. A name that is declared twice stops the start."""
needs_company = pytest.mark.skipif(
    bool(TAKEN), reason=f"the platform itself declares {', '.join(TAKEN)}, so the example cannot be plugged in"
)

ENTRY_POINTS = """
[pipeline_project.sources]
shop = company.sources.shop:SOURCE
[pipeline_project.datasets]
contacts = company.datasets.contacts:CONTACTS
invoices = company.datasets.invoices:INVOICES
[pipeline_project.operations]
invoice_totals = company.operations.invoice_totals:OPERATION
[pipeline_project.checks]
company = company.checks
[pipeline_project.migrations]
company = company.migrations
"""


def write_wheel(path: Path) -> None:
    """Write the example as an installable package, as a build would."""
    name, version = path.name.split("-")[:2]
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in sorted(COMPANY.rglob("*")):
            if file.is_file() and file.suffix in (".py", ".sql"):
                wheel.write(file, f"company/{file.relative_to(COMPANY)}")
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/entry_points.txt", ENTRY_POINTS)
        wheel.writestr(f"{information}/RECORD", "")
