"""The soak itself: what it takes for uncertain, and that nothing that fails in it goes unnoticed. No platform."""

import threading
from typing import Any

import pytest

from pipeline_project_tests.soak import Soak, soak


class Stack:
    """Takes uploads, and does something at each before it is acknowledged."""

    def __init__(self) -> None:
        self.before_acknowledged: Any = lambda: None

    def upload(self, _key: str, _content: bytes) -> None:
        self.before_acknowledged()


def test_an_upload_is_unsure_from_its_beginning_to_a_while_after_it() -> None:
    stack: Any = Stack()
    found = Soak(stack, seed=1)
    seen = []
    stack.before_acknowledged = lambda: seen.append(found.unsure())
    found.upload(7)
    assert [*seen, found.unsure()] == [[7], [7]]


def test_what_fails_beside_the_uploads_fails_the_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill_until(_soak: Soak, _stop: threading.Event) -> None:
        raise AssertionError("it could not upload again")

    monkeypatch.setattr(Soak, "kill_until", kill_until)
    stack: Any = Stack()
    with pytest.raises(AssertionError, match="could not upload again"):
        soak(stack, seconds=0, seed=1)
