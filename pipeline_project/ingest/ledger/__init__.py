"""The ledger: which objects were seen, which worker holds them, and how they ended."""

from pipeline_project.ingest.ledger.batches import Batch, Living, arrivals, assign, assign_to
from pipeline_project.ingest.ledger.objects import (
    COUNTS,
    Claimed,
    DiscoveredBy,
    ObjectSeen,
    Outcome,
    claim,
    discover,
    give_back,
    replay,
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
    "ObjectSeen",
    "Objects",
    "Outcome",
    "arrivals",
    "assign",
    "assign_to",
    "claim",
    "discover",
    "give_back",
    "put_back",
    "replay",
    "settle",
    "states",
    "take_turn",
    "try_later",
    "waiting",
]
