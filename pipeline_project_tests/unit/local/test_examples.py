"""The files that `make run` uploads."""

from pipeline_project.local.examples import example_files, expected


def test_it_uploads_the_files_whose_outcome_is_stated_and_no_others() -> None:
    assert set(example_files()) == set(expected())
