"""Asset checks of the tables: those of sql/checks/, and one that compares the bucket with the ledger. Findings are shown."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_project.canonical.checks import COUNTED, SHOWN, Check, checks, run
from pipeline_project.canonical.tables import LEDGER
from pipeline_project.ingest.discovery import compare
from pipeline_project.orchestration.names import table_key
from pipeline_project.orchestration.presentation.markdown import markdown_table
from pipeline_project.services import Services

SEVERITIES = {"error": dg.AssetCheckSeverity.ERROR, "warn": dg.AssetCheckSeverity.WARN}
BUCKET_CHECK = "objects_are_known"
GRACE = timedelta(minutes=20)
"""Age from which an object must be in the ledger: twice the interval of listings."""
LISTING_SECONDS = 120
"""Time limit of the listing, enough for some hundred thousand objects. In a larger bucket, the check covers only those and
says so."""


def table_checks() -> list[dg.AssetChecksDefinition]:
    return [*(_table_check(check) for check in checks()), bucket_check]


@dg.asset_check(
    asset=table_key(LEDGER),
    name=BUCKET_CHECK,
    description=f"Objects that the bucket has held for {GRACE.seconds // 60} minutes and that are not in the ledger.",
)
def bucket_check(platform: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    bucket, before = platform.settings.landing_bucket, datetime.now(UTC) - GRACE
    with platform.loader.connect() as connection:
        found = compare(connection, platform.s3, bucket, before=before, seconds=LISTING_SECONDS)
    rows = [(each.key, each.version, each.size, each.modified) for each in found.missing[:SHOWN]]
    return dg.AssetCheckResult(
        passed=not found.missing,
        description=f"{len(found.missing):,} offending objects" if found.missing else None,
        metadata={
            "offending rows": len(found.missing),
            "objects listed": found.listed,
            "whole bucket": found.is_whole,
            "first rows": dg.MetadataValue.md(markdown_table(("key", "version", "size", "modified"), rows)),
        },
    )


def _table_check(check: Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table_key(check.table), name=check.name, description=check.description, blocking=check.blocking
    )
    def table_check(platform: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
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
