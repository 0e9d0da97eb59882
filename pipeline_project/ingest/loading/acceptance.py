"""Checks an object as a whole: the name of its source, the number of records, the share of rejects and the control totals."""

from decimal import Decimal
from typing import Any

from pipeline_project.ingest.decoding import ObjectFault
from pipeline_project.ingest.loading.microbatches import Opened
from pipeline_project.ingest.loading.snapshots import read_time
from pipeline_project.ingest.mapping import Bad
from pipeline_project.schema.numbers import is_bounded, plain_number
from pipeline_project.sources.source import Source

TOO_MANY_REJECTS = "too_many_rejects"
UNREADABLE_ENOUGH = 3
"""Values that show that a column is written in another format. One or two can be typing errors."""


class JudgedInPart(Exception):
    """Raised if the columns of an object would refuse it, although some of its records were not mapped.

    These records are already stored. Perhaps they settle what the others mean.
    """


def accept_or_refuse(source: Source, opened: Opened) -> None:
    """Raise ObjectFault if the object must not be loaded. All its records must have been mapped before."""
    envelope, records = opened.envelope, opened.outcome.records
    bad_ordinals, first_bad = opened.bad_ordinals, opened.first_bad
    metadata = envelope.fields.get("metadata")
    summary = envelope.fields.get("summary")
    metadata = metadata if isinstance(metadata, dict) else {}
    summary = summary if isinstance(summary, dict) else {}
    for sender in (metadata.get("sourceSystem"), envelope.fields.get("sourceSystem")):
        if sender is not None and (not isinstance(sender, str) or sender.strip().lower() != source.name):
            raise ObjectFault(
                "wrong_source",
                f"says that it comes from {_shown(sender)!r} but lies below {source.prefix}/: "
                "upload it to the folder of its own source",
            )
    for place, count in (("metadata", metadata.get("recordCount")), ("summary", summary.get("recordCount"))):
        if count is not None and _number(count) != records:
            raise ObjectFault(
                "count_mismatch",
                f"{place}.recordCount is {_shown(count)}, but there are {records} records: "
                "the export is incomplete, run it again",
            )
    opened.required.refuse_if_missing(envelope.notes)
    read_time(source, opened)
    if bad_ordinals and len(bad_ordinals) > source.reject_threshold * records:
        reasons = "; ".join(f"record {bad.ordinal}: {_sentence(bad)}" for bad in first_bad[:3])
        raise ObjectFault(
            TOO_MANY_REJECTS,
            f"{len(bad_ordinals)} of {records} records are bad (at most {source.reject_threshold:.0%} may be), "
            f"so nothing was loaded: {reasons}{_folder_hint(opened)}",
            line=first_bad[0].line,
        )
    _judge_columns(source, opened)
    # The sum lacks rejected records, so it shows nothing about an object with rejects.
    if not bad_ordinals:
        for name, column in source.totals_of(opened.claimed.dataset).items():
            if opened.seen.unread[column]:
                continue
            declared, found = summary.get(name), opened.totals.get(column, Decimal(0))
            if declared is not None and _number(declared) != found:
                raise ObjectFault(
                    "total_mismatch",
                    f"summary.{name} is {_shown(declared)}, but the records sum up to {found}: "
                    "the export is incomplete, run it again",
                )


def _judge_columns(source: Source, opened: Opened) -> None:
    """Raise ObjectFault if a column cannot be read. Raise JudgedInPart if not all of its values were seen."""
    seen = opened.seen
    faults: list[ObjectFault] = []
    for doubts in seen.unsettled.values():
        _, first = doubts[0]
        examples = ", ".join(f'"{doubt.text}" (record {ordinal})' for ordinal, doubt in doubts)
        point, grouped = f"{float(first.text):g}", first.text.replace(".", "")
        faults.append(
            ObjectFault(
                "ambiguous_number",
                f"{first.name}: {examples} can be read in two ways: {first.text} is {point} or {grouped}. Declare "
                'decimal = ".", or decimal = "," and group = ".", under [dialect].',
            )
        )
    for name, unread in seen.unread.items():
        values = unread + seen.filled[name]
        if unread >= UNREADABLE_ENOUGH and unread > source.reject_threshold * values:
            examples = "; ".join(
                f"record {ordinal}: {each.error.message}" for ordinal, each in seen.unread_examples[name]
            )
            column = seen.unread_examples[name][0][1].error.field
            faults.append(
                ObjectFault(
                    "column_unreadable",
                    f"{column}: {unread} of {values} values cannot be read (at most {source.reject_threshold:.0%} may be), "
                    f"so nothing was loaded. {examples}",
                )
            )
    if faults and opened.stored:
        raise JudgedInPart
    if faults:
        raise faults[0]


def _number(value: Any) -> int | Decimal | None:
    """Return the number that a sender declares, as a number or as text. None for other values and for numbers out of bounds."""
    number = plain_number(value.strip()) if isinstance(value, str) else value
    if not isinstance(number, int | Decimal) or isinstance(number, bool):
        return None
    return number if is_bounded(number) else None


def _shown(value: Any) -> str:
    """Return the beginning of a declared value. Nested values are only named, because their depth has no bound."""
    return "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else str(value)[:50]


def _sentence(bad: Bad) -> str:
    return ", ".join(f"{error.field} {error.message}".strip() for error in bad.errors)[:200]


def _folder_hint(opened: Opened) -> str:
    hints = opened.envelope.notes.samples.get("folder_hint", ())
    return "".join(f"; {each.text}" for each in hints)
