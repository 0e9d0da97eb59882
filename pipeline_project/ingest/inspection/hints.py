"""Hints about columns that no field takes: fields whose names resemble the column, and columns that may mark a deletion."""

from collections.abc import Collection, Iterable, Mapping

from pipeline_project.schema.names import folded

FLAGS_OF_DELETION = frozenset(
    map(
        folded, ("active", "archived", "disabled", "inactive", "is_active", "is_archived", "loekz", "loevm", "obsolete")
    )
)
"""Names of columns that often mark a deleted record. Only a person can say whether they do."""
DELETED = "deleted"


def hints(names: Iterable[str], aliases: Mapping[str, str], read: Collection[str | None]) -> dict[str, str]:
    """Return column -> the field that it may be meant for. Only a single candidate is a hint.

    `names` are columns without a field, `aliases` the fields by their names, `read` the fields that other columns have.
    """
    candidates = [(folded(alias), field) for alias, field in aliases.items() if field not in read]
    found: dict[str, str] = {}
    for name in names:
        short = folded(name.rpartition(".")[2])
        fields = {field for alias, field in candidates if _resembles(short, alias)}
        if not fields and short in FLAGS_OF_DELETION and DELETED not in read:
            fields = {DELETED}
        if len(fields) == 1:
            found[name] = fields.pop()
    return found


def _resembles(name: str, alias: str) -> bool:
    """Return whether two folded names are equal, or so long that one or two wrong letters are a slip."""
    return _is_within(name, alias, min(len(name), len(alias)) // 4)


def _is_within(one: str, other: str, most: int) -> bool:
    """Return whether at most so many edits (never more than two) turn one text into the other."""
    most = min(most, 2)
    if abs(len(one) - len(other)) > most:
        return False
    before = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, other_letter in enumerate(other, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other_letter)))
        if min(row) > most:
            return False
        before = row
    return before[-1] <= most
