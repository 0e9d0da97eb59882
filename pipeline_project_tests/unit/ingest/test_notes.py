"""Notes about an object are bounded, and their codes are those of the table."""

import pytest

from pipeline_project.ingest.decoding.notes import Notes


def test_a_note_counts_everything_and_keeps_a_few_samples() -> None:
    notes = Notes()
    for line in range(10):
        notes.add("footer", sample="x" * 60, line=line)
    notes.add("footer", 5)
    assert notes.counts == {"footer": 15}
    assert notes.samples == {"footer": [(0, "x" * 50), (1, "x" * 50), (2, "x" * 50)]}


def test_a_note_without_a_sentence_is_an_error_of_the_code() -> None:
    with pytest.raises(KeyError):
        Notes().add("surprise")


def test_names_of_columns_are_bounded() -> None:
    notes = Notes()
    notes.name_columns({f"c{number}": f"C{number}" for number in range(3_000)})
    assert list(notes.columns.items())[-1] == ("c1999", "C1999")
