"""The ledger: which objects were seen, which worker holds them, and how they ended."""

from pipeline_project.ingest.ledger.batches import Batch, Living, arrivals, assign, assign_to
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
    give_back,
    open_objects,
    replay,
    reroute,
    settle,
    states,
    take_turn,
    try_later,
    waiting,
)
from pipeline_project.ingest.ledger.replays import Objects, put_back

__all__ = [
    "COUNTS",
    "Batch",
    "Claimed",
    "DiscoveredBy",
    "Living",
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
    "give_back",
    "open_objects",
    "put_back",
    "replay",
    "reroute",
    "settle",
    "states",
    "take_turn",
    "try_later",
    "waiting",
]
