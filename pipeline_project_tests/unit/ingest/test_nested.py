"""Nested spellings: a mapped field and the attributes together are all that was sent."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import create_model

from pipeline_project.datasets.entities import Entity
from pipeline_project.ingest.decoding.records import Chunk
from pipeline_project.ingest.mapping.mapper import Mapper
from pipeline_project.ingest.mapping.rows import ObjectPosition, Row
from pipeline_project.schema.fields import Text, aliased
from pipeline_project.sources.registry import sources
from pipeline_project_tests.mapped import new_mapper, told

POSITION = ObjectPosition(7, datetime(2025, 6, 1, tzinfo=UTC))
SPELLINGS = st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(".".join)
FIELDS = st.lists(st.lists(SPELLINGS, min_size=1, max_size=3, unique=True), min_size=1, max_size=3)
LEAVES = st.sampled_from(["text", "text", None, "", 7])
OBJECTS = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4), max_leaves=12)
RECORDS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "a.b", "a.b.c"]), OBJECTS, max_size=4)


def mapper(fields: list[list[str]]) -> Mapper:
    """Map texts under these spellings: one to a column, others to attributes."""
    names = ["industry", "sent_first", "sent_second"]
    hint: Any = Text
    spelt: Any = {name: (hint | None, aliased(*aliases)) for name, aliases in zip(names, fields, strict=False)}
    model = create_model("Model", __base__=Entity, **spelt)
    return new_mapper(dataclasses.replace(sources()["legacy"], records=(model,)), "entities")


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value that is no object, with its path. Null, blank and empty count as not sent."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif value is not None and value != "":
        yield path, value


def numbered(value: Any, counter: list[int]) -> Any:
    """The same with another text in each place."""
    if isinstance(value, dict):
        return {name: numbered(inner, counter) for name, inner in value.items()}
    counter[0] += 1
    return f"text {counter[0]}" if value == "text" else value + counter[0] if value == 7 else value


@given(fields=FIELDS, sent=RECORDS)
@example([["a.b.c"]], {"a": {"b": {"c": "text", "d": "text", "a": "text"}, "d": "text"}})
@example([["a.b.c.a.b"]], {"a": {"b": {"c": {"a": {"b": "text", "c": "text"}, "d": 7}}}})
@example([["a.b"], ["a.b.c"]], {"a": {"b": {"c": "text"}, "c": "text"}})
@example([["a.b.c"], ["a.b.d"]], {"a": {"b": {"c": "text", "d": "text"}}})
@example([["a.b.c", "d"]], {"a": {"b": {"c": None, "d": "text"}}, "d": "text"})
@example([["a.b.c", "d"]], {"a": {"b": "text"}, "d": "text"})
@example([["a.b.c", "d"]], {"a": None, "d": "text"})
@example([["a.b"]], {"a": {"b": "text", "c": {}}})
@example([["a.b"], ["b"]], {"a": {"b": "text", "c": "text"}, "b": "text", "a.b": "text"})
def test_fields_and_attributes_together_are_all_that_was_sent(fields: list[list[str]], sent: dict[str, Any]) -> None:
    mapping = mapper(fields)
    sent = numbered(sent, [0])
    raw = json.dumps({"id": "1", "name": "Alder", **sent}).encode()
    alone, many = mapping.map(raw, 1, POSITION), mapping.map_all(Chunk(1, [raw]), [0], POSITION)
    assert [*told(many.rows), *many.bad] == (told(alone) if isinstance(alone, Row) else [alone])
    if not isinstance(alone, Row):
        assert {error.rule for error in alone.errors} <= {"string_type"}  # an object in the place of a text
        return
    columns = dict(zip(mapping.columns, alone.line.split("\t"), strict=True))
    attributes = json.loads(columns["attributes"])
    if attributes.pop("_unread", None):
        return  # an object in the place of a text
    taken = [columns["industry"], attributes.pop("sent_first", ""), attributes.pop("sent_second", "")]
    kept = dict(leaves(attributes))
    everything = dict(leaves(sent))
    assert kept.items() <= everything.items()
    assert {str(value) for path, value in everything.items() if path not in kept} == {*filter(None, taken)}


@pytest.mark.parametrize("many", [False, True])
def test_the_neighbours_of_a_deep_spelling_are_kept(many: bool) -> None:
    mapping = mapper([["profile.address.countryCode"]])
    address = {"countryCode": "DE", "street": "Alder Lane 1", "zip": "10115"}
    raw = json.dumps({"id": "1", "name": "Alder", "profile": {"address": address, "language": "de"}}).encode()
    mapped = mapping.map_all(Chunk(1, [raw]), [0], POSITION).rows if many else mapping.map(raw, 1, POSITION)
    assert not hasattr(mapped, "errors")
    (row,) = told(mapped)  # pyright: ignore[reportArgumentType] it has no errors
    columns = dict(zip(mapping.columns, row.line.split("\t"), strict=True))
    assert columns["industry"] == "DE"
    kept = {"address": {"street": "Alder Lane 1", "zip": "10115"}, "language": "de"}
    assert json.loads(columns["attributes"]) == {"profile": kept}
