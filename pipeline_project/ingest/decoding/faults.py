"""Errors of a file as a whole: a stable code, a message, and a place if it is known."""

from functools import partial
from typing import Any

from pipeline_project.errors import Permanent


class ObjectFault(Permanent):
    """A file error: the object fails as a whole, and nothing is loaded. Other objects are not affected."""

    def __init__(self, code: str, message: str, *, line: int | None = None, column: int | None = None) -> None:
        """`line` and `column` count from 1, `column` in bytes."""
        message = message.replace("\0", "\ufffd")  # PostgreSQL cannot store NUL
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error pass from one process to another with all its fields."""
        return partial(type(self), line=self.line, column=self.column), (self.code, self.message)


def placed(message: str | None, line: int | None, column: int | None) -> str:
    """Return a message with its place, for people."""
    place = f" (line {line}, column {column})" if line and column else f" (line {line})" if line else ""
    return f"{message or ''}{place}"
