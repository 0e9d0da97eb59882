"""Assets for the folders of the landing bucket. Exports fill them, and each run reports what it read from them."""

import dagster as dg

from pipeline_project.datasets.registry import datasets
from pipeline_project.orchestration.names import LANDING, OWNERS, landing_key
from pipeline_project.orchestration.presentation.columns import landing_columns
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source


def landing_assets() -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            landing_key(source.name),
            description=(
                f"{source.description}, as they are uploaded to `{source.prefix}/` of the landing bucket. "
                f"The next folder may name the dataset ({', '.join(datasets())}; entities by default). "
                "What became of each object is in the ledger, `ingest.objects`."
            ),
            group_name=LANDING,
            kinds={"s3", "json"},
            owners=OWNERS,
            metadata={"prefix": f"{source.prefix}/", **landing_columns(source)},
        )
        for source in sources().values()
    ]


def log_objects(context: dg.AssetExecutionContext, source: Source, objects: int, size: int) -> None:
    """Record in the run how many objects and bytes of a source had arrived."""
    metadata = {"objects": objects, "bytes": size}
    context.log_event(dg.AssetObservation(landing_key(source.name), metadata=metadata))
