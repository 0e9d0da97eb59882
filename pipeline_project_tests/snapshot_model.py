"""Snapshots in a few lines of plain Python: the history of one entity as a function of its rows and its marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Row:
    """One record of the entity. Rows and marks compare by their positions."""

    position: tuple[Any, ...]
    content: Any = None
    deleted: bool = False


@dataclass(frozen=True, order=True)
class Mark:
    """Whether a snapshot had the entity. `scope` is None if the snapshots of the source have no scopes."""

    position: tuple[Any, ...]
    present: bool
    scope: str | None = None


@dataclass(frozen=True)
class State:
    """A version of the entity. `by` is the row or mark that began it."""

    content: Any
    deleted: bool
    by: Row | Mark


def history(rows: Sequence[Row], marks: Sequence[Mark]) -> list[State]:
    """Walk rows and marks in the order of their positions. Return the versions, the earliest first."""
    states: list[State] = []
    live: Any = None
    """The content of the last row that was no tombstone."""
    exists: bool | None = None
    """None: no row so far."""
    state: tuple[Any, bool] = (None, False)
    scope: str | None = None
    for each in sorted([*rows, *marks], key=lambda event: event.position):
        match each:
            case Row(_, content, deleted):
                exists = not deleted
                live = live if deleted else content
                state = (content, deleted)
            case Mark(_, True, of):
                scope = of
                if exists is not False or live is None:
                    continue
                exists, state = True, (live, False)
            case Mark(_, False, of):
                if not exists or (of is not None and of != scope):
                    continue
                exists, state = False, (live, True)
        if not states or (states[-1].content, states[-1].deleted) != state:
            states.append(State(*state, by=each))
    return states
