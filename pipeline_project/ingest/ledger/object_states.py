"""The words of the object ledger: the states of an object and their transitions, and what a merge made of a record.

    unroutable ──► discovered ──► claimed ──► loaded | loaded_with_rejects | failed | superseded
                       ▲ ▲           │                          │
                       │ └───────────┘ released                 │
                       └────────────────────────────────────────┘ replayed

A trigger of the table refuses every other transition. A word that is not listed here is an error.
"""

from enum import StrEnum


class ObjectState(StrEnum):
    """Where an object is on its way into the canonical tables."""

    DISCOVERED = "discovered"
    CLAIMED = "claimed"
    LOADED = "loaded"
    LOADED_WITH_REJECTS = "loaded_with_rejects"
    FAILED = "failed"
    UNROUTABLE = "unroutable"
    """No source is registered for the folder of the object."""
    SUPERSEDED = "superseded"
    """The key was overwritten before this content was loaded."""

    @property
    def is_waiting(self) -> bool:
        """Whether a worker still has to load the object, or is loading it."""
        return self in (ObjectState.DISCOVERED, ObjectState.CLAIMED)


FIRST = frozenset({ObjectState.DISCOVERED, ObjectState.UNROUTABLE})
"""The states in which an object enters the ledger."""

TRANSITIONS: dict[ObjectState, frozenset[ObjectState]] = {
    ObjectState.UNROUTABLE: frozenset({ObjectState.DISCOVERED}),
    ObjectState.DISCOVERED: frozenset({ObjectState.CLAIMED}),
    ObjectState.CLAIMED: frozenset(
        {
            ObjectState.DISCOVERED,
            ObjectState.LOADED,
            ObjectState.LOADED_WITH_REJECTS,
            ObjectState.FAILED,
            ObjectState.SUPERSEDED,
        }
    ),
    ObjectState.LOADED: frozenset({ObjectState.DISCOVERED}),
    # A replay of its rejects can make an object whole.
    ObjectState.LOADED_WITH_REJECTS: frozenset({ObjectState.DISCOVERED, ObjectState.LOADED}),
    ObjectState.FAILED: frozenset({ObjectState.DISCOVERED}),
    ObjectState.SUPERSEDED: frozenset({ObjectState.DISCOVERED}),
}


class Merged(StrEnum):
    """What the merge of a record was, as the SQL of merges reports it."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SAME = "same"
    """This very record of this very object is in the table already."""
    STALE = "stale"
    """A newer record is in the table."""
    LATE = "late"
    """Older than the current version, and yet to be placed in the version history."""
