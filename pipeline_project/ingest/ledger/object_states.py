"""The states of an object in the ledger, their transitions, and the outcomes of a merge.

    unroutable ──► discovered ──► claimed ──► loaded | loaded_with_rejects | failed | superseded
                       ▲ ▲           │                          │
                       │ └───────────┘ released                 │
                       └────────────────────────────────────────┘ replayed

A trigger of the table refuses all other transitions. A state or outcome that is not listed here is an error.
"""

from enum import StrEnum


class ObjectState(StrEnum):
    """The state of an object on its way into the canonical tables."""

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
        """Return whether the object waits for a worker, or is being loaded."""
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
    # After a replay of its rejects, an object can be complete.
    ObjectState.LOADED_WITH_REJECTS: frozenset({ObjectState.DISCOVERED, ObjectState.LOADED}),
    ObjectState.FAILED: frozenset({ObjectState.DISCOVERED}),
    ObjectState.SUPERSEDED: frozenset({ObjectState.DISCOVERED}),
}


class Merged(StrEnum):
    """The outcome of a record in a merge, as the SQL reports it."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SAME = "same"
    """The same record of the same object is already in the table."""
    STALE = "stale"
    """A newer record is in the table."""
    LATE = "late"
    """Older than the current version. Its place in the version history is not decided yet."""
