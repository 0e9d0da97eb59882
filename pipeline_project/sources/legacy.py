"""The legacy application: accounts, under the canonical names."""

from pipeline_project.sources.source import Source

SOURCE = Source(
    name="legacy",
    description="Accounts of the legacy application",
    fallbacks={"entity_type": "account"},
)
