"""The checks of sql/checks/ as asset checks of the tables: what they find is shown with the check."""

import dagster as dg

from pipeline_project.canonical.checks import COUNTED, Check, checks, run
from pipeline_project.ingest.report import markdown_table
from pipeline_project.orchestration.names import table_key
from pipeline_project.orchestration.resources import Platform

SEVERITIES = {"error": dg.AssetCheckSeverity.ERROR, "warn": dg.AssetCheckSeverity.WARN}


def table_checks() -> list[dg.AssetChecksDefinition]:
    return [_table_check(check) for check in checks()]


def _table_check(check: Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(check.table), name=check.name, description=check.description, blocking=check.blocking
    )
    def table_check(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
        found = run(platform.loader, check)
        many = "or more " if found.count == COUNTED else ""
        return dg.AssetCheckResult(
            passed=not found.count,
            severity=SEVERITIES[check.severity],
            description=f"{found.count:,} {many}offending rows" if found.count else None,
            metadata={
                "offending rows": found.count,
                "first rows": dg.MetadataValue.md(markdown_table(found.columns, found.rows)),
            },
        )

    return table_check
