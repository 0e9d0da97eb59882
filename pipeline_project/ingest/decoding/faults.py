"""What can be wrong with an object as a whole, and how it is told: stable codes, and the place where there is one."""

from functools import partial
from typing import Any

from pipeline_project.errors import Permanent


class ObjectFault(Permanent):
    """The object cannot be loaded as it is; its neighbours can. Nothing of it is loaded."""

    def __init__(self, code: str, message: str, *, line: int | None = None, column: int | None = None) -> None:
        """`line` and `column` count from 1, `column` in bytes."""
        message = message.replace("\0", "\ufffd")  # PostgreSQL's texts have none
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[Any, ...]:
        """Make a fault that came about in another process the same fault here."""
        return partial(type(self), line=self.line, column=self.column), (self.code, self.message)


def placed(message: str | None, line: int | None, column: int | None) -> str:
    """What is wrong, and where, for people: of a fault, or as the ledger keeps it."""
    place = f" (line {line}, column {column})" if line and column else f" (line {line})" if line else ""
    return f"{message or ''}{place}"
