"""The ledger: which objects were seen, which worker holds them, and how they ended."""

from pipeline_project.ingest.ledger.batches import Batch, LiveRuns, arrivals, assign, assign_to
from pipeline_project.ingest.ledger.column_sets import ColumnSet
from pipeline_project.ingest.ledger.mappings import MappingInUse, mapping_version, mappings_in_use
from pipeline_project.ingest.ledger.object_states import Merged, ObjectState
from pipeline_project.ingest.ledger.objects import (
    COUNTS,
    Claimed,
    DiscoveredBy,
    ObjectSeen,
    Outcome,
    claim,
    claimable,
    discover,
    lock_dataset,
    open_objects,
    release,
    replay,
    reroute,
    retry_later,
    settle,
    states,
    waiting,
)
from pipeline_project.ingest.ledger.replays import Objects, requeue

__all__ = [
    "COUNTS",
    "Batch",
    "Claimed",
    "ColumnSet",
    "DiscoveredBy",
    "LiveRuns",
    "MappingInUse",
    "Merged",
    "ObjectSeen",
    "ObjectState",
    "Objects",
    "Outcome",
    "arrivals",
    "assign",
    "assign_to",
    "claim",
    "claimable",
    "discover",
    "lock_dataset",
    "mapping_version",
    "mappings_in_use",
    "open_objects",
    "release",
    "replay",
    "requeue",
    "reroute",
    "retry_later",
    "settle",
    "states",
    "waiting",
]
