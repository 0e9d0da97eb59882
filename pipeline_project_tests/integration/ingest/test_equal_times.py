"""Every order in which four objects arrive ends in the same tables, also where their times are equal.

Each entity is one case: for each object, what it says and at which of two times, or that it says nothing. Two objects are
uploaded at the same time each, so that in the end the object's id decides. Each object has a row for each case.
"""

from collections.abc import Iterator
from itertools import permutations, product

import pytest

from pipeline_project_tests.convergence import READ, Bench, File, Said, model
from pipeline_project_tests.fix_postgres import FreshDatabase
from pipeline_project_tests.landing import Landing

UPLOADED = (0, 0, 1, 1)
SAYINGS = (None, (0, 1), (1, 1), (0, 0), (1, 0))
"""Nothing, or a value and a time in half days before the beginning."""
CASES = tuple(product(SAYINGS, repeat=len(UPLOADED)))


@pytest.fixture
def bench(database: FreshDatabase) -> Iterator[Bench]:
    made = Bench(database)
    yield made
    made.close()


def files(dataset: str) -> list[File]:
    """The four uploads. A case's number is that of its entity."""
    return [
        File(
            source="crm",
            dataset=dataset,
            name=f"{place}.json",
            second=second,
            rows=tuple(
                Said(number, said[0], said[1]) for number, case in enumerate(CASES) if (said := case[place]) is not None
            ),
            form="array",
        )
        for place, second in enumerate(UPLOADED)
    ]


@pytest.mark.parametrize("dataset", ["entities", "relationships", "metrics"])
def test_equal_times_end_the_same_in_every_order(bench: Bench, dataset: str) -> None:
    landing = Landing()
    sent = [(landing.put(file.key, file.content(), second=file.second), file) for file in files(dataset)]
    expected = model([(seen.object_id, file) for seen, file in sent])
    for order in permutations(seen for seen, _ in sent):
        bench.empty()
        for each in order:
            bench.ingest(landing, bench.discover([each]))
        for name, rows in bench.tables(READ).items():
            assert rows == expected[name], (name, [each.key for each in order])
        bench.check_counts()


def test_equal_times_end_the_same_when_objects_are_loaded_together_or_again(bench: Bench) -> None:
    landing = Landing()
    sent = [(landing.put(file.key, file.content(), second=file.second), file) for file in files("entities")]
    expected = model([(seen.object_id, file) for seen, file in sent])
    for first, *others in permutations([seen for seen, _ in sent], 3):
        bench.empty()
        bench.ingest(landing, bench.discover(others))
        bench.ingest(landing, bench.discover([seen for seen, _ in sent]))
        bench.replay([first, others[0]])
        bench.ingest(landing, bench.discover([]))
        for name, rows in bench.tables(READ).items():
            assert rows == expected[name], (name, first.key, [each.key for each in others])
