"""The canonical records as pydantic models, and how a source's spellings are told to them.

A source subclasses these models and names its spellings; types, bounds and meaning are the same for all. A field that is
null or blank counts as not sent. Numbers may come as strings ("1200.50"), but without separators, which mean different
things in different countries. Ids are texts: `7` and `"7"` are the same id.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from pipeline_project.sources.numbers import LARGEST_EXPONENT, LONGEST_NUMBER, is_bounded, plain_number

ID_LENGTH = 200
"""Longest source id, in characters; an index entry of PostgreSQL holds about 2,700 bytes."""

_NOT_A_DAY = PydanticCustomError(
    "not_a_day", "Input should be a day, or an ISO 8601 time that begins with one: write a day as 2024-12-31"
)
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
            "Input should be a time, or a Unix time of the years 1990 to 2100: write a time as 2024-12-31T23:59:59Z",
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
    number = _number(value.strip() if isinstance(value, str) else value)
    if number is None and isinstance(value, bool | str):
        raise PydanticCustomError(
            "not_a_plain_number", "Input should be a plain number: 1234.50, without separators and units"
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


Id = Annotated[str, StringConstraints(min_length=1, max_length=ID_LENGTH)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
# Twenty decimals, since sums of floats end in a long tail (0.1 + 0.2); bounded, so that nothing sent as a number can grow
# into megabytes of digits (1e9999).
Money = Annotated[Decimal, BeforeValidator(_plain_number), Field(ge=-(10**18), le=10**18, decimal_places=20)]
Amount = Annotated[Decimal, BeforeValidator(_plain_number), Field(ge=0, le=10**18, decimal_places=20)]
Count = Annotated[int, BeforeValidator(_plain_number), Field(ge=0, le=2**53)]
Share = Annotated[float, BeforeValidator(_plain_number), Field(ge=0, le=1)]
Structure = Annotated[Any, BeforeValidator(_structure)]
Day = Annotated[date, BeforeValidator(_day)]
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 12, 31)
MetricDay = Annotated[Day, Field(ge=FIRST_DAY, le=LAST_DAY)]
Time = Annotated[datetime, BeforeValidator(_time)]


def spelled(*spellings: str, required: bool = False) -> Any:
    """A field under the names a source gives it, in order of preference; a dot goes into a nested object.

    A CSV has none, so that a column of it, or any other field, may have the whole path as its name.
    """
    choices: list[str | AliasPath] = []
    for spelling in spellings:
        choices += [AliasPath(*spelling.split(".")), spelling] if "." in spelling else [spelling]
    alias = AliasChoices(*choices)
    return Field(validation_alias=alias) if required else Field(default=None, validation_alias=alias)


def spellings(name: str, field: FieldInfo) -> list[tuple[str, ...]]:
    """What a field may be called in a source, the preferred first: each a path, of one step unless it is nested."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [tuple(map(str, each.path)) if isinstance(each, AliasPath) else (each,) for each in choices]


class Record(BaseModel):
    """What every record may say of itself, whatever the dataset."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, str_strip_whitespace=True)

    updated_at: Time | None = spelled("updated_at", "updatedAt", "last_modified", "modified_at")
    """When the source last changed the record; without a zone it is UTC. It decides which of two records is newer."""
    deleted: bool = Field(default=False, validation_alias=AliasChoices("_deleted"))

    @field_validator("updated_at")
    @classmethod
    def _updated_in_utc(cls, value: datetime | None) -> datetime | None:
        try:
            return None if value is None else in_utc(value)
        except OverflowError:
            raise PydanticCustomError(
                "time_out_of_range",
                "Input should lie within the years 1 to 9999 (UTC): leave out what is not known",
            ) from None


class EntityRecord(Record):
    """A customer, supplier, account or company. A tombstone (`_deleted`, or status `deleted`) needs only its id."""

    source_id: Id = spelled("id", required=True)
    entity_type: Label | None = spelled("entity_type", "type")
    name: Text | None = spelled("name")
    status: Label | None = spelled("status")
    industry: Label | None = spelled("industry")
    region: Label | None = spelled("region")
    country: Label | None = spelled("country")
    customer_tier: Label | None = spelled("customer_tier", "tier")
    revenue: Amount | None = spelled("revenue")
    employees: Count | None = spelled("employees")
    lifetime_value: Money | None = spelled("lifetime_value")
    total_spent: Money | None = spelled("total_spent")
    total_orders: Count | None = spelled("total_orders")


BEGINNING = date(1900, 1, 1)
"""From when a relationship is valid that does not say so."""


class RelationshipRecord(Record):
    """An edge from parent to child. An end is a canonical id, or an id of the same source (`parent_id`, `child_id`)."""

    parent_canonical_id: Id | None = spelled("parent_canonical_id")
    child_canonical_id: Id | None = spelled("child_canonical_id")
    parent_id: Id | None = spelled("parent_id")
    child_id: Id | None = spelled("child_id")
    relationship_type: Label = spelled("relationship_type", "type", required=True)
    valid_from: Day = Field(default=BEGINNING)
    valid_to: Day | None = spelled("valid_to")


class MetricRecord(Record):
    """A value of one type, for one entity of the same source, on one day."""

    source_id: Id = spelled("entity_id", "customer_id", "id", required=True)
    metric_type: Label = spelled("metric_type", "type", "metric", required=True)
    metric_date: MetricDay = spelled("metric_date", "date", required=True)
    value: Money | None = spelled("value")
    quality: Share | None = spelled("quality", "quality_score")
    tags: Structure | None = spelled("tags")


Dataset = Literal["entities", "relationships", "metrics"]
