"""Draft the declaration of a source from samples of its files. Nothing is guessed that a person has to decide."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain, count
from keyword import iskeyword
from pathlib import Path
from typing import NamedTuple

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest.drafting import formats
from pipeline_project.ingest.drafting.declarations import Declaration, DraftedField, as_python, as_toml, spelled
from pipeline_project.ingest.drafting.known_names import OWN_ID, by_name, entity_type, flags
from pipeline_project.ingest.drafting.samples import ColumnSample, Sample, read_samples
from pipeline_project.ingest.mapping.converters import id_error
from pipeline_project.sources.dialect import FieldFormat

NUMBERS = frozenset({"revenue", "employees", "lifetime_value", "total_spent", "total_orders"})
"""Fields of an entity that hold numbers."""
MOST_FLAG_TEXTS = 4
"""More different texts are no flag."""
_DATED = re.compile(r"date|datum|day|tag|_at$|seit|since|time", re.IGNORECASE)
_SALESFORCE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


class Question(NamedTuple):
    """A question that only a person can answer, with the settings that would answer it."""

    text: str
    settings: Sequence[str]


@dataclass
class Draft:
    """A drafted declaration, and what is open."""

    toml: str
    python: str
    questions: list[Question] = field(default_factory=list)
    to_confirm: list[str] = field(default_factory=list)
    """Statements that a person checks. Nothing is lost if they are wrong for a while."""


def draft(paths: Sequence[Path], name: str) -> Draft:
    """Draft the declaration of a source. Raises Permanent if a file cannot be read."""
    sample = read_samples(paths)
    return _Drafting(sample, name).draft()


class _Drafting:
    """The work on one draft."""

    def __init__(self, sample: Sample, name: str) -> None:
        self._sample = sample
        self._questions = [Question(text, settings) for text, settings in sample.questions]
        self._to_confirm: list[str] = []
        self._found = by_name(sample.columns)
        self._declared = Declaration(
            name=name,
            description=f"Files of {name}",
            entity_type="customer",
            read=[f"Drafted from {shape}" for shape in sample.shapes],
            dialect=replace(sample.dialect, encoding=None),
        )
        self._number_formats: dict[str, FieldFormat] = {}

    def draft(self) -> Draft:
        if self._sample.columns:
            self._choose_id()
            for field_name, column in self._found.items():
                self._add_field(field_name, self._sample.columns[column])
            if "name" not in self._found:
                self._questions.append(
                    Question("Which column is the name? An entity needs one.", self._texts_of("name"))
                )
            self._add_days()
            self._declare_numbers()
            self._ask_for_deletion()
            taken = {each.column for each in self._declared.fields}
            self._declared.others = [column for column in self._sample.columns if column not in taken]
        self._to_confirm += [
            *(f"{count:,} rows of the samples are no records ({rule})." for rule, count in self._sample.flaws.items()),
            f'The records describe entities of the type "{self._declared.entity_type}".',
            "A file has changes only, or everything: nothing is deleted because it is missing in a file. See `[snapshot]`.",
            "A record has all fields of its entity: a field that it does not send becomes empty.",
        ]
        return Draft(as_toml(self._declared), as_python(self._declared), self._questions, self._to_confirm)

    # --- the ID

    def _choose_id(self) -> None:
        columns = self._sample.columns
        if OWN_ID not in self._found:
            candidates = [each for each in columns.values() if self._can_be_id(each)]
            if not candidates:
                self._questions.append(Question(self._no_id(), []))
                return
            if len(candidates) > 1:
                settings = [f'source_id = ["{each.name}"]' for each in candidates[:5]]
                self._questions.append(Question("Which column is the ID? Several are filled and unique.", settings))
            self._found = {OWN_ID: candidates[0].name, **self._found}
        chosen = columns[self._found[OWN_ID]]
        self._declared.entity_type = entity_type(chosen.name)
        self._warn_of_id(chosen)

    def _can_be_id(self, column: ColumnSample) -> bool:
        if column.filled < self._sample.records or not column.is_unique or column.name in self._found.values():
            return False
        return column.kinds.keys() <= {"str", "int"} and formats.as_times(column) is None

    def _no_id(self) -> str:
        """Say that no single column is an ID, and which two columns together may be one."""
        filled = [each for each in self._sample.columns.values() if each.filled == self._sample.records]
        pairs = [
            f"{one.name} and {other.name}"
            for place, one in enumerate(filled)
            for other in filled[place + 1 :]
            if len(one.distinct) * len(other.distinct) >= self._sample.records
        ]
        together = f" Perhaps these are unique together: {'; '.join(pairs[:3])}." if pairs else ""
        return (
            f"Which column is the ID? None is filled and unique in all records.{together} Export a column with one ID."
        )

    def _warn_of_id(self, column: ColumnSample) -> None:
        """Ask about IDs that look damaged, or written in two ways."""
        texts = list(column.texts)
        for text in texts:
            error = id_error(text)
            if error is not None and error.rule == "id_decimals":
                self._declare("id_decimals", "strip", f'{column.texts[text]} "{text}"')
            elif error is not None:
                self._questions.append(Question(f'{column.name}: "{text}" ({column.texts[text]}). {error.message}', []))
                break
        salesforce = {len(text) for text in texts if _SALESFORCE.fullmatch(text)}
        if salesforce == {15, 18}:
            self._questions.append(
                Question(f"{column.name} has IDs of 15 and of 18 characters.", ['id_cleanup = ["salesforce18"]'])
            )
        digits = [text for text in texts if text.isdecimal()]
        if any(text.startswith("0") for text in digits) and len({*map(len, digits)}) > 1:
            self._questions.append(
                Question(
                    f"{column.name} has IDs with and without leading zeros. Do 007 and 7 name the same entity?",
                    ['id_cleanup = ["leading_zeros"]'],
                )
            )

    # --- fields

    def _add_field(self, field_name: str, column: ColumnSample) -> None:
        evidence = f"{column.filled:,} of {self._sample.records:,} filled"
        if field_name in NUMBERS:
            reading = formats.as_number(column)
            if reading is None:
                self._to_confirm.append(
                    f"{column.name} is kept as an attribute: most of its values are no numbers, for example "
                    f'"{next(iter(column.texts), "")}".'
                )
                return
            evidence += self._number(column, reading)
        elif field_name == "updated_at":
            reading = formats.as_times(column)
            if reading is None:
                self._to_confirm.append(f"{column.name} is kept as an attribute: its values are no times.")
                return
            evidence += self._times(column, reading)
        elif field_name == OWN_ID:
            evidence += ", all different" if column.is_unique else ", some occur twice: the newest record counts"
        self._declared.fields.append(DraftedField(field_name, column.name, evidence))

    def _number(self, column: ColumnSample, reading: formats.Reading) -> str:
        if reading.ambiguous:
            self._ask_for_format(column, reading)
            return ""
        self._number_formats[column.name] = reading.format
        if reading.unread:
            return f"; not read: {', '.join(reading.unread[:3])}"
        settings = spelled(reading.format)
        return f"; {settings}: {reading.evidence}" if reading.format != FieldFormat() else ""

    def _times(self, column: ColumnSample, reading: formats.Reading) -> str:
        if reading.ambiguous:
            self._ask_for_format(column, reading)
            return ""
        if reading.format.times:
            self._declare("times", reading.format.times, reading.evidence)
        if reading.is_local:
            question = f"Which time zone have the times in {column.name}? They name none, and UTC is assumed."
            self._questions.append(Question(question, ['zone = "UTC"', 'zone = "Europe/Berlin"']))
        return f"; {reading.evidence}"

    def _ask_for_format(self, column: ColumnSample, reading: formats.Reading) -> None:
        shown = "; ".join(f"with {spelled(each)}: {example}" for each, example in reading.ambiguous)
        settings = [spelled(each) for each, _ in reading.ambiguous]
        self._questions.append(Question(f"How are the values of {column.name} written? Ambiguous: {shown}.", settings))

    def _add_days(self) -> None:
        """Declare attributes for columns of days that are not written as ISO 8601."""
        for column in self._sample.columns.values():
            if column.name in self._found.values() or not column.texts:
                continue
            if not _DATED.search(column.name) and any(text.isdecimal() for text in column.texts):
                continue
            reading = formats.as_days(column)
            if reading is None or reading.unread or not (reading.format.days or reading.ambiguous):
                continue
            if reading.ambiguous:
                self._ask_for_format(column, reading)
                continue
            declared = self._declared.dialect.days or ()
            if declared in ((), reading.format.days):
                self._declare("days", reading.format.days, reading.evidence)
            else:
                self._declare_column(column.name, reading.format)
            self._declared.fields.append(
                DraftedField(self._attribute(column.name), column.name, f"days: {reading.evidence}", "day")
            )

    def _attribute(self, column: str) -> str:
        """Return a name of an attribute for a column: one that Python takes, and that no other field has."""
        name = re.sub(r"\W+", "_", column.casefold(), flags=re.ASCII).strip("_")
        taken = {*Entity.model_fields, "attributes", *(each.name for each in self._declared.fields)}
        if not name or not name[0].isalpha() or iskeyword(name) or name.startswith("model_"):
            name = f"column_{name}"
        return next(each for each in chain([name], (f"{name}_{n}" for n in count(2))) if each not in taken)

    # --- settings

    def _declare_numbers(self) -> None:
        """Declare one format for all numbers if it reads them as their own formats do, or else a format for each column."""
        chosen = [each for each in self._number_formats.values() if each != FieldFormat()]
        common = max(chosen, key=lambda each: len(spelled(each)), default=None)
        if common is None:
            return
        exceptions = {
            name: own for name, own in self._number_formats.items() if not self._is_read_alike(name, own, common)
        }
        for each in fields(FieldFormat):
            if (value := getattr(common, each.name)) is not None:
                self._declare(each.name, value, "")
        for name, own in exceptions.items():
            self._declare_column(name, own if own != FieldFormat() else FieldFormat(decimal=".", group=""))

    def _is_read_alike(self, name: str, own: FieldFormat, common: FieldFormat) -> bool:
        texts = self._sample.columns[name].texts
        return formats.numbers(own, texts) == formats.numbers(common, texts)

    def _ask_for_deletion(self) -> None:
        if "deleted" in self._found:
            return
        for name in flags(self._sample.columns):
            column = self._sample.columns[name]
            if len(column.distinct) > MOST_FLAG_TEXTS:
                continue
            texts = " or ".join(f'"{text}"' for text in column.texts) or "true and false"
            filled = f"{column.filled:,} of {self._sample.records:,} records have {texts}"
            true = ", ".join(f'"{text}"' for text in column.texts)
            settings = [f'deleted = ["{name}"], with true = [{true}] and false = [""] under [dialect]'] if true else []
            self._questions.append(Question(f"Does {name} mark deleted records? {filled}.", settings))

    def _declare(self, setting: str, value: object, evidence: str) -> None:
        self._declared.dialect = replace(self._declared.dialect, **{setting: value})
        if evidence:
            self._declared.evidence.setdefault(setting, evidence)

    def _declare_column(self, name: str, declared: FieldFormat) -> None:
        columns = {**self._declared.dialect.fields, name: declared}
        self._declared.dialect = replace(self._declared.dialect, fields=columns)

    def _texts_of(self, field_name: str) -> list[str]:
        """Return settings that name the columns of texts, as candidates for a field."""
        columns = [
            each.name for each in self._sample.columns.values() if each.texts and each.name not in self._found.values()
        ]
        return [f'{field_name} = ["{name}"]' for name in columns[:5]]
