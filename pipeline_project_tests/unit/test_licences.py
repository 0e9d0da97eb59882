"""The licences of what is delivered: no copyleft that binds the whole, and NOTICE lists everything."""

import re

import pytest

from pipeline_project_tests.licences import ROOT, licence, notice, packages

COPYLEFT = re.compile(r"GPL|AGPL|MPL|EPL|CDDL|EUPL|OSL|SSPL|BUSL|CC-BY-(NC|SA)", re.IGNORECASE)
UNKNOWN = re.compile(r"^(|UNKNOWN|Proprietary.*)$", re.IGNORECASE)
ACCEPTED = {
    "certifi": "MPL-2.0 binds its own files only, which are delivered unchanged.",
    "psycopg": "LGPL-3.0: it is imported as a library, unchanged, and can be replaced by whoever installs the platform.",
    "psycopg-binary": "See psycopg.",
    "psycopg-pool": "See psycopg.",
    "psycopg2-binary": "LGPL-3.0 with an exception for linking. dagster-postgres needs it.",
    "tqdm": "MPL-2.0 binds its own files only, which are delivered unchanged.",
}


@pytest.mark.parametrize("package", packages())
def test_each_licence_is_permissive_or_accepted_with_a_reason(package: str) -> None:
    found = licence(package)
    assert not UNKNOWN.search(found), f"{package} declares no licence"
    assert not COPYLEFT.search(found) or package in ACCEPTED, (
        f"{package} has the licence {found}. Take another package, or accept it here with the reason."
    )


def test_each_accepted_licence_is_still_needed() -> None:
    assert {package for package in packages() if COPYLEFT.search(licence(package))} == set(ACCEPTED)


@pytest.mark.parametrize("found", ["GPL-3.0-or-later", "LGPL-2.1-only", "AGPL-3.0", "MPL-2.0 AND MIT"])
def test_copyleft_is_recognised(found: str) -> None:
    assert COPYLEFT.search(found)


def test_the_notice_lists_all_packages() -> None:
    """To renew it, run `python -m pipeline_project_tests.licences > NOTICE`."""
    assert (ROOT / "NOTICE").read_text("utf-8") == notice()
