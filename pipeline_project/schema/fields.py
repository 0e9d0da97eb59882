"""The types of fields, and the functions that declare a field in a record model.

A type has the same bounds and meaning in every dataset, and carries the type of its column. A source subclasses the models
of the datasets and names its aliases with `aliased`. A field that is null or blank counts as not sent. Numbers may come as
texts ("1200.50"), but without separators, which mean different things in different countries. IDs are texts: `7` and `"7"`
are the same ID.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from pipeline_project.schema.numbers import LARGEST_EXPONENT, LONGEST_NUMBER, is_bounded, plain_number

ID_LENGTH = 200
"""Longest source id, in characters; an index entry of PostgreSQL holds about 2,700 bytes."""

_NOT_A_DAY = PydanticCustomError("not_a_day", "is not a day of ISO 8601: write a day as 2024-12-31")
UNIX_SECONDS = (631_152_000, 4_102_444_800)
"""A number within these years (1990 to 2100), in seconds or milliseconds, is a Unix time. Any other is more likely a day
that is written without hyphens (20260102) or counted by a spreadsheet (45678), and would be read as one of 1970."""

_datetime = TypeAdapter(datetime)


def _number(value: Any) -> int | float | Decimal | None:
    """The number that this is, be it as text; None for anything else."""
    if isinstance(value, str):
        return plain_number(value)
    return value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _time(value: Any) -> Any:
    """Keeps pydantic from taking any number for a Unix time."""
    value = value.strip() if isinstance(value, str) else value
    number = _number(value)
    first, last = UNIX_SECONDS
    if number is not None and not (first <= number <= last or first * 1000 <= number <= last * 1000):
        raise PydanticCustomError(
            "not_a_time",
            "is not a time of ISO 8601 or a Unix time of the years 1990 to 2100: write a time as 2024-12-31T23:59:59Z",
        )
    return value


def _day(value: Any) -> Any:
    """The day of a timestamp; anything else but numbers is left for pydantic to judge."""
    value = value.strip() if isinstance(value, str) else value
    if _number(value) is not None:
        raise _NOT_A_DAY
    if not isinstance(value, str) or len(value) <= len("2024-12-31"):
        return value
    try:
        _datetime.validate_python(value)
    except ValidationError:
        raise _NOT_A_DAY from None
    return value[: len("2024-12-31")]


def _plain_number(value: Any) -> Any:
    """Refuse what Python would take (1_000, ١, and true for 1), and numbers whose conversion takes long."""
    kind = type(value)
    number = value if kind is Decimal or kind is int else _number(value.strip() if kind is str else value)
    if number is None and isinstance(value, bool | str):
        raise PydanticCustomError(
            "not_a_plain_number",
            "is not a plain number: send digits with an optional decimal point, for example 1200.50",
        )
    if number is not None and not is_bounded(number):
        raise PydanticCustomError(
            "number_too_large",
            "Input should be a number of at most {digits} digits and an exponent within {exponent}",
            {"digits": LONGEST_NUMBER, "exponent": LARGEST_EXPONENT},
        )
    return value


def _structure(value: Any) -> Any:
    """One message, where pydantic has one for each alternative."""
    if not isinstance(value, dict | list):
        raise PydanticCustomError("not_an_object_or_array", "Input should be an object or an array")
    return value


def in_utc(value: datetime) -> datetime:
    """The same moment in UTC, which is what a time without a zone is in. OverflowError beyond the years 1 to 9999."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@dataclass(frozen=True)
class Sql:
    """The type of a column in PostgreSQL: a marker in the annotation of a field."""

    type: str


@dataclass(frozen=True)
class Identifying:
    """A marker in the annotation of IDs: they are repaired and judged as such."""


Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_LENGTH), Sql("text"), Identifying()]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200), Sql("text")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=10_000), Sql("text")]
# Twenty decimals, since sums of floats end in a long tail (0.1 + 0.2); bounded, so that nothing sent as a number can grow
# into megabytes of digits (1e9999).
Money = Annotated[
    Decimal, BeforeValidator(_plain_number), Field(ge=-(10**18), le=10**18, decimal_places=20), Sql("numeric")
]
Amount = Annotated[Decimal, BeforeValidator(_plain_number), Field(ge=0, le=10**18, decimal_places=20), Sql("numeric")]
Count = Annotated[int, BeforeValidator(_plain_number), Field(ge=0, le=2**53), Sql("bigint")]
Share = Annotated[float, BeforeValidator(_plain_number), Field(ge=0, le=1), Sql("real")]
Structure = Annotated[Any, BeforeValidator(_structure), Sql("jsonb")]
Day = Annotated[date, BeforeValidator(_day), Sql("date")]
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 12, 31)
MetricDay = Annotated[Day, Field(ge=FIRST_DAY, le=LAST_DAY)]
Time = Annotated[datetime, BeforeValidator(_time), Sql("timestamptz")]


class Role(StrEnum):
    """What a field becomes."""

    VALUE = "value"
    """A column of its own name."""
    OWN_ID = "own_id"
    """The canonical ID of the row: `<source>_<ID>`."""
    REFERENCE = "reference"
    """The canonical ID of another row of the same source."""
    PART = "part"
    """Nothing by itself: the dataset's mapper makes a column of several such fields."""


@dataclass(frozen=True)
class Declared:
    """What the declaration of a field says beside its type and aliases."""

    role: Role = Role.VALUE
    column: str | None = None
    not_null: bool = False
    references: str | None = None
    """The dataset whose rows a reference names."""

    @staticmethod
    def of(model: type[BaseModel], name: str) -> "Declared":
        """What a model declares of a field. TypeError if it was not declared by a function of this module."""
        extra = model.model_fields[name].json_schema_extra
        declared = extra.get("pipeline") if isinstance(extra, dict) else None
        if not isinstance(declared, Declared):
            raise TypeError(f"{model.__name__}.{name} is not declared: use field(), own_id() or reference()")
        return declared


def field(
    description: str,
    *aliases: str,
    required: bool = False,
    default: Any = None,
    not_null: bool = False,
    part: bool = False,
) -> Any:
    """Declare a field that becomes a column.

    `aliases` as in `aliased`; without any, the field has its own name. `required`: a record without it is rejected.
    `not_null`: the column never holds null, since the mapper or `default` fills it. `part`: see `Role.PART`.
    """
    declared = Declared(Role.PART if part else Role.VALUE, not_null=not_null or required)
    return _field(description, aliases, declared, required=required, default=default)


def own_id(description: str, *aliases: str) -> Any:
    """Declare the ID of a record in its source. The row's canonical ID is `<source>_<ID>`."""
    return _field(description, aliases, Declared(Role.OWN_ID, "canonical_id", not_null=True), required=True)


def reference(description: str, *aliases: str, to: str, column: str) -> Any:
    """Declare the ID of a row of the dataset `to` in the same source. `column` holds its canonical ID."""
    return _field(description, aliases, Declared(Role.REFERENCE, column, references=to), required=False)


def _field(
    description: str, aliases: tuple[str, ...], declared: Declared, *, required: bool, default: Any = None
) -> Any:
    arguments: dict[str, Any] = {"description": description, "json_schema_extra": {"pipeline": declared}}
    if aliases:
        arguments["validation_alias"] = _choices(aliases)
    return Field(**arguments) if required else Field(default=default, **arguments)


def aliased(*aliases: str, required: bool = False) -> Any:
    """Give a field the names that a source has for it, the preferred name first. A dot goes into a nested object.

    A CSV file has no nested objects. So a column of it, or any other field, may have the whole path as its name.
    """
    alias = _choices(aliases)
    return Field(validation_alias=alias) if required else Field(default=None, validation_alias=alias)


def _choices(aliases: tuple[str, ...]) -> AliasChoices:
    choices: list[str | AliasPath] = []
    for spelling in aliases:
        choices += [AliasPath(*spelling.split(".")), spelling] if "." in spelling else [spelling]
    return AliasChoices(*choices)


def aliases(name: str, field: FieldInfo) -> list[tuple[str, ...]]:
    """What a field may be called in a source, the preferred first: each a path, of one step unless it is nested."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [tuple(map(str, each.path)) if isinstance(each, AliasPath) else (each,) for each in choices]
