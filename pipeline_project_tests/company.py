"""The example of a company in examples/company/, for the tests that use it."""

from pathlib import Path

import pytest

from pipeline_project.analytics.catalogue import operations
from pipeline_project.datasets.registry import datasets
from pipeline_project.sources.registry import sources

COMPANY = Path(__file__).parents[1] / "examples" / "company"
_DECLARED = {path.stem for kind in ("sources", "datasets", "operations") for path in (COMPANY / kind).glob("*.py")}
_TAKEN = sorted(_DECLARED & {*sources(), *datasets(), *operations()})
needs_company = pytest.mark.skipif(
    bool(_TAKEN), reason=f"the platform itself declares {', '.join(_TAKEN)}, so the example cannot be plugged in"
)
