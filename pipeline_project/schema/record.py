"""The record that all datasets begin with: what any record may say about itself."""

from datetime import datetime
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from pipeline_project.schema.fields import Time, aliased, in_utc

DELETED = ("_deleted", "IsDeleted", "is_deleted", "deleted")
"""Usual names of the flag of a deleted record. Under all but the first, a value that is no flag is an attribute."""


def tombstone(*aliases: str) -> Any:
    """Declare the flag of a deleted record. A dataset declares it again to give its column another place.

    `aliases` replace the usual names.
    """
    return Field(default=False, validation_alias=AliasChoices(*(aliases or DELETED)))


class Record(BaseModel):
    """What every record may say about itself, whatever its dataset. The base of each dataset's model."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, str_strip_whitespace=True)

    updated_at: Time | None = aliased(
        *("updated_at", "updatedAt", "last_modified", "modified_at"),
        *("SystemModstamp", "LastModifiedDate", "hs_lastmodifieddate", "modifiedon", "Last Modified"),
    )
    """When the source last changed the record. A time without a zone is in UTC. The later of two records is newer."""
    deleted: bool = tombstone()
    """True if the record is a tombstone: the source deleted what it describes."""

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
