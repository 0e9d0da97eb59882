"""Dagster's web UI as a person sees it, in a real browser on a real platform, with no other machine to ask."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from pipeline_project_tests import browser
from pipeline_project_tests.live_stack import LiveStack, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(browser.CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]

FILES = {
    "crm-data/ui/good.json": [{"customer_id": f"UI-{n}", "company_name": f"Alder {n}", "revenue": n} for n in range(2)],
    "crm-data/ui/bad.json": [{"customer_id": "UI-7", "company_name": "Birch"}, {"customer_id": "UI-8"}],
}
DONE = b"SELECT count(*) FROM ingest.objects WHERE key LIKE 'crm-data/ui/%' AND state LIKE 'loaded%'"
RESULT = "analytics__simple_demo"
LATEST = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 1) { runId } } } }"""


def has_metadata(page: Page, name: str, value: str) -> None:
    """The metadata table of the event that is shown has such a value (a regular expression)."""
    row = page.locator("tr", has=page.get_by_text(name, exact=True))
    expect(row.locator("td").nth(1)).to_have_text(re.compile(value))


def plot_width(page: Page, kind: str) -> int:
    """Of the plot among the metadata, once it is shown."""
    page.locator("tr", has=page.get_by_text("plot", exact=True)).get_by_text("Show Markdown").click()
    plot = page.locator(f"img[src^='data:image/{kind};']").first
    expect(plot).to_be_visible()
    width = plot.evaluate("image => image.decode().then(() => image.naturalWidth)")
    page.keyboard.press("Escape")
    return width


def load(stack: LiveStack) -> None:
    """In one batch or two: the events of both are looked at together."""
    for key, records in FILES.items():
        stack.upload(key, json.dumps(records).encode())
    until(lambda: stack.sql(DONE) == [(len(FILES),)])
    key = {"path": ["canonical_crm__records"]}
    until(lambda: stack.graphql(LATEST, key=key)["assetMaterializations"])


def test_what_an_engineer_looks_at(stack: LiveStack) -> None:
    load(stack)
    with browser.page(stack.settings.dagster_url) as page:
        page.goto("/asset-groups")
        for group in ("landing", "canonical", "analytics"):
            expect(page.get_by_text(group, exact=True).first).to_be_visible()
        page.goto("/locations/pipeline_project/asset-groups/canonical")
        expect(page.get_by_text("canonical__entities", exact=True).first).to_be_visible()
        expect(page.get_by_text("landing_crm__objects", exact=True).first).to_be_visible()

        page.goto("/assets/canonical_crm__records")
        expect(page.get_by_text("Row count", exact=True)).to_be_visible()
        expect(page.get_by_text("company_name").or_(page.get_by_text("source_id", exact=True)).first).to_be_visible()
        page.goto("/assets/canonical_crm__records?view=events")
        expect(page.get_by_text("Metadata", exact=True).first).to_be_visible()
        has_metadata(page, "inserted", "^[123]$")
        has_metadata(page, "bytes", "^[1-9]")
        has_metadata(page, "preview", "crm_UI-.*(Alder|Birch)")  # short, so that it is shown at once
        assert plot_width(page, "svg+xml") > 500

        failed = break_and_fail(stack)
        page.goto(f"/runs/{failed}")
        expect(page.get_by_text("RUN_FAILURE").first).to_be_visible()
        expect(page.get_by_text("STEP_FAILURE").first).to_be_visible()
        page.get_by_role("button", name=re.compile("^Re-execute")).first.click()
        page.wait_for_url(lambda url: "/runs/" in url and failed not in url)
        again = page.url.rpartition("/runs/")[2].partition("?")[0]
        expect(page.get_by_text("RUN_SUCCESS").first).to_be_visible()
        assert stack.ended(again) == "SUCCESS"

        page.goto(f"/assets/{RESULT}?view=events")
        expect(page.get_by_text("Metadata", exact=True).first).to_be_visible()
        has_metadata(page, "result", re.escape(f"{stack.settings.api_url}/download/analytics/simple_demo/"))
        assert plot_width(page, "png") > 500


def break_and_fail(stack: LiveStack) -> str:
    """A run that failed, of a reason that has gone."""
    stack.sql(b"REVOKE SELECT ON analytics.entities FROM pipeline_reader")
    try:
        run_id = stack.launch("__ASSET_JOB", selector={"assetSelection": [{"path": [RESULT]}]})
        assert stack.ended(run_id) == "FAILURE"
    finally:
        stack.sql(b"GRANT SELECT ON analytics.entities TO pipeline_reader")
    return run_id
