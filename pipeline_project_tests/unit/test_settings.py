"""Settings are read from the environment, by their new names or for one release by their old names."""

import pytest

from pipeline_project.settings import PREFIX, RENAMED, LocalSettings, Settings

REQUIRED = {
    "PIPELINE_LANDING_BUCKET": "landing",
    "PIPELINE_RESULTS_BUCKET": "results",
    "PIPELINE_LANDING_QUEUE_URL": "http://queue",
    "PIPELINE_TABLE_NAME": "table",
    "PIPELINE_EVENTS_TOPIC_ARN": "arn:topic",
}


def test_each_old_name_has_a_setting_and_is_none_itself() -> None:
    names = {*Settings.__struct_fields__, *LocalSettings.__struct_fields__}
    assert set(RENAMED.values()) <= names
    assert not set(RENAMED) & names


def test_an_old_name_still_works_and_a_warning_names_the_new_one() -> None:
    with pytest.warns(
        FutureWarning, match="PIPELINE_API_OPEN_JOBS has a new name: set PIPELINE_API_MAX_UNFINISHED_JOBS"
    ):
        settings = Settings.load({**REQUIRED, "PIPELINE_API_OPEN_JOBS": "7"})
    assert settings.api_max_unfinished_jobs == 7
    variables = settings.environment_variables()
    assert (variables["PIPELINE_API_MAX_UNFINISHED_JOBS"], "PIPELINE_API_OPEN_JOBS" in variables) == ("7", False)


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_the_new_name_counts_if_both_are_set(old: str) -> None:
    values = {"landing_listens": ("false", "true"), "local_ready_seconds": ("5", "6")}.get(old, ("5", "6"))
    variables = {PREFIX + old.upper(): values[0], PREFIX + RENAMED[old].upper(): values[1]}
    kind = LocalSettings if old.startswith("local_") else Settings
    with pytest.warns(FutureWarning):
        settings = kind.load({**REQUIRED, **variables})
    assert str(getattr(settings, RENAMED[old])).lower().removesuffix(".0") == values[1]


def test_an_empty_value_under_an_old_name_is_no_value() -> None:
    assert Settings.load({**REQUIRED, "PIPELINE_CONFIRMATION_DAYS": ""}).confirmation_retention_days == 35
