"""Loading: claiming objects and writing their records to PostgreSQL, one transaction for each object."""

from pipeline_project.ingest.loading.acceptance import JudgedInPart
from pipeline_project.ingest.loading.loader import Loader
from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.ingest.loading.retention import prune_confirmations, prune_patches
from pipeline_project.ingest.loading.worker import Worker, open_object

__all__ = [
    "JudgedInPart",
    "Loader",
    "Opened",
    "Worker",
    "open_object",
    "prune_confirmations",
    "prune_patches",
    "snapshots",
    "suspects",
    "time_limit",
]
