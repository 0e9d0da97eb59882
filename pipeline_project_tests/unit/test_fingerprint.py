"""The fingerprint of a mapping: what changes it, what does not, and that it is the same in every process."""

import dataclasses
import re
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from textwrap import dedent
from typing import Annotated, Any, Literal, NewType, Optional

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model, field_validator
from typing_extensions import TypeAliasType

from pipeline_project.datasets.entities import ENTITIES, Entity
from pipeline_project.datasets.registry import datasets
from pipeline_project.schema import fingerprint as module
from pipeline_project.schema.fields import Amount, Label, Money, Text, aliased
from pipeline_project.schema.record import Record
from pipeline_project.schema.rules import not_before, required_unless_deleted
from pipeline_project.sources.registry import sources
from pipeline_project.sources.source import Source
from pipeline_project_tests import mapped_twice

BASE = Source(name="test", description="For a test", fallbacks={"entity_type": "customer"})


def of(*records: type[Record], **changes: Any) -> str:
    return dataclasses.replace(BASE, records=records, **changes).fingerprint("entities")


def with_field(annotation: Any, **arguments: Any) -> str:
    """The fingerprint of a mapping with this field beside those of an entity."""
    field = Field(default=None, **arguments)
    return of(create_model("Own", __base__=Entity, extra_field=(annotation, field)))


class Level(StrEnum):
    LOW = "low"


class Inner(BaseModel):
    street: str = ""


class OtherInner(BaseModel):
    street: str | None = ""


def test_two_sources_and_two_datasets_have_mappings_of_their_own() -> None:
    every = [source.fingerprint(dataset) for source in sources().values() for dataset in datasets()]
    assert len({*every}) == len(every)
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in every)


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": 1},
        {"fallbacks": {"entity_type": "supplier"}},
        {"name": "other"},
    ],
)
def test_what_a_source_declares_counts(changes: dict[str, Any]) -> None:
    assert of(**changes) != of()


def test_what_is_for_people_and_for_whole_objects_does_not_count() -> None:
    assert of(description="Other words", reject_threshold=0.1, totals={"total": "revenue"}) == of()
    assert with_field(Text | None, description="A") == with_field(Text | None, description="B", title="C")


def test_the_revision_of_the_platform_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    monkeypatch.setattr(module, "MAPPING_REVISION", module.MAPPING_REVISION + 1)
    assert of() != before


def test_the_aliases_of_a_field_and_their_order_count() -> None:
    named = {
        of(create_model("Own", __base__=Entity, name=(Text | None, aliased(*each))))
        for each in (("name",), ("title",), ("name", "title"), ("title", "name"), ("inner.name",))
    }
    assert len(named) == 5


alias: Any = TypeAliasType
CONSTRAINED: list[Any] = [
    *(Text, Label, Money, Amount, Literal["a"], Literal["a", "b"]),
    *(Annotated[str, Field(max_length=5)], Annotated[str, Field(max_length=6)]),
    *(Annotated[str, Field(pattern="a")], Annotated[str, Field(pattern="b")]),
    *(Annotated[int, Field(ge=1)], Annotated[int, Field(gt=1)], Annotated[int, Field(multiple_of=2)]),
    *(Annotated[Decimal, Field(decimal_places=2)], Annotated[Decimal, Field(decimal_places=3)]),
    *(Annotated[str, BeforeValidator(str.strip)], Annotated[str, BeforeValidator(str.lower)]),
    *(Annotated[str, AfterValidator(str.strip)], Annotated[timedelta, Field(le=timedelta(1))]),
    Annotated[str, BeforeValidator(partial(mapped_twice.cut, length=3))],
    Annotated[str, BeforeValidator(partial(mapped_twice.cut, length=4))],
    Annotated[str, BeforeValidator(mapped_twice.longer_than(3))],
    Annotated[str, BeforeValidator(mapped_twice.longer_than(4))],
    *(alias("Alias", int), alias("Alias", str), NewType("New", int), NewType("New", str)),
    *(list[str], list[int], dict[str, int], str, int, bool, Level, Inner, OtherInner),
]
ANNOTATIONS: list[Any] = [*CONSTRAINED, *(Optional[each] for each in CONSTRAINED), int | str, str | int, Any]  # noqa: UP045 also of an alias


def test_annotations_and_constraints_count() -> None:
    found = [with_field(each) for each in ANNOTATIONS]
    alike = [repr(each) for place, each in enumerate(ANNOTATIONS) if found.count(found[place]) > 1]
    assert alike == []
    assert found == [with_field(each) for each in ANNOTATIONS]


def test_the_default_of_a_field_and_whether_it_is_required_count() -> None:
    fields = [Field(default=None), Field(default="a"), Field(default="b"), Field(), Field(default_factory=str)]
    found = {of(create_model("Own", __base__=Entity, extra_field=(str | None, each))) for each in fields}
    assert len(found) == len(fields)


def test_the_configuration_of_the_model_counts() -> None:
    class Strict(Entity):
        model_config = ConfigDict(str_strip_whitespace=False)

    class Named(Entity):
        model_config = ConfigDict(title="Somebody")

    assert of(Strict) != of(Entity) == of(Named)


def rendered(validator: str, head: str = "") -> str:
    """The fingerprint of a mapping in a module of this text: `validator` is the body of a class that reads `name`."""
    return mapped_twice.fingerprint_of(dedent(head), dedent(validator))


UPPER = """
@field_validator("name")
@classmethod
def upper(cls, value):
    return value.upper()
"""


def test_comments_docstrings_and_layout_do_not_count() -> None:
    assert rendered(UPPER) == rendered(
        '''
        "What it is."
        # A comment.
        @field_validator("name")
        @classmethod
        def upper(cls, value):
            """Say why."""

            return (  # upper case
                value.upper())
        '''
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (UPPER, UPPER.replace("upper()", "lower()")),
        (UPPER, UPPER.replace('("name")', '("name", mode="before")')),
        (UPPER, UPPER.replace('("name")', '("status")')),
        (UPPER, ""),
        (UPPER.replace("upper()", "ljust(WIDTH)"), UPPER.replace("upper()", "ljust(HEIGHT)")),
        (
            "def helper(self): return 1\n@property\ndef kind(self): return self.helper()",
            "def helper(self): return 2\n@property\ndef kind(self): return self.helper()",
        ),
    ],
)
def test_what_a_validator_does_counts(one: str, other: str) -> None:
    head = "WIDTH = HEIGHT = 5"
    assert rendered(one, head) != rendered(other, head)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("WIDTH = 5", "WIDTH = 6"),
        ("WIDTH = {'a': {1, 2}}", "WIDTH = {'a': {1, 3}}"),
        ("def WIDTH(value=1): return value", "def WIDTH(value=2): return value"),
        ("WIDTH = lambda: 1", "WIDTH = lambda: 2"),
        ("import re\nWIDTH = re.compile('a')", "import re\nWIDTH = re.compile('a', re.I)"),
        ("def WIDTH(): return inner()\ndef inner(): return 1", "def WIDTH(): return inner()\ndef inner(): return 2"),
    ],
)
def test_constants_and_functions_of_the_same_module_count(one: str, other: str) -> None:
    own = UPPER.replace("value.upper()", "read(value, WIDTH)")
    assert rendered(own, one) != rendered(own, other)
    assert rendered(own, one) == rendered(own, f"# first\n\n{one}\nUNUSED = 7")


def test_what_is_no_constant_does_not_count() -> None:
    """A store of what was read before has other contents in each process."""
    own = UPPER.replace("value.upper()", "read(value, kept)")
    assert rendered(own, "kept = {}") == rendered(own, "kept = {'a': 1}")


def test_a_function_that_calls_itself_is_told_once() -> None:
    own = UPPER.replace("value.upper()", "again(value)")
    assert rendered(own, "def again(value): return again(value)") != rendered(own, "def again(value): return value")


def test_a_validator_of_a_base_of_the_platform_is_told_by_its_name() -> None:
    class Own(Entity):
        @field_validator("updated_at")
        @classmethod
        def _updated_in_utc(cls, value: Any) -> Any:
            return value

    assert of(Own) != of(Entity)


RULES = [
    (required_unless_deleted("name", "is required"),),
    (required_unless_deleted("status", "is required"),),
    (not_before("name", "status", "lies before"),),
    (),
]


def of_dataset(**changes: Any) -> str:
    dataset = dataclasses.replace(ENTITIES, **changes)
    return module.fingerprint(source="test", dataset=dataset, model=Entity, fallbacks={}, revision=0)


def test_the_rules_of_a_dataset_and_its_tombstones_count() -> None:
    found = {of_dataset(rules=rules) for rules in RULES}
    assert len(found) == len(RULES)
    assert of_dataset(deleted_if=None) != of_dataset() != of_dataset(deleted_if=("status", "gone"))
    assert of_dataset(rules=(required_unless_deleted("name", "Other words"),)) == of_dataset(rules=RULES[0])
    assert of_dataset(description="Other words", table="elsewhere") == of_dataset()


def test_the_condition_of_a_rule_counts() -> None:
    """Also of a rule that was made by hand, beside its name and its text in SQL."""
    (rule,) = RULES[0]
    own = dataclasses.replace(rule, holds=lambda record: record.name is not None)
    assert of_dataset(rules=(own,)) != of_dataset(rules=(rule,))


TOLD = """
from pipeline_project.datasets.registry import datasets
from pipeline_project.sources.registry import sources
from pipeline_project_tests import mapped_twice
for source in sources().values():
    for dataset in datasets():
        print(source.fingerprint(dataset))
print(mapped_twice.fingerprint_of_everything())
"""


def test_every_process_finds_the_same() -> None:
    found = {
        subprocess.run(
            [sys.executable, *options, "-c", TOLD],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed, options in (("1", []), ("2", ["-O"]), ("77", ["-OO"]))
    }
    (told,) = found
    assert told.split()[:-1] == [source.fingerprint(name) for source in sources().values() for name in datasets()]


def test_every_version_of_python_finds_the_same() -> None:
    """This value may change with `MAPPING_REVISION` only: any other change maps every record of every source again."""
    assert module.MAPPING_REVISION == 2
    assert mapped_twice.fingerprint_of_everything() == mapped_twice.FINGERPRINT
