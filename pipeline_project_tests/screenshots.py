"""`make screenshots`: the pictures of docs/images/, taken of a platform that has loaded examples/ and refreshed its results."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from pipeline_project.local.examples import EXAMPLES, example_files
from pipeline_project.orchestration.assets.ingest import ARRIVAL_DAY
from pipeline_project.orchestration.names import ingest_key
from pipeline_project.sources.registry import sources
from pipeline_project_tests import browser
from pipeline_project_tests.live_stack import LiveStack, live_stack, until

TARGET = Path(__file__).parent.parent / "docs" / "images"
SETTLE_MILLISECONDS = 2_500
"""Status and freshness of assets come a moment after the page."""
GOOD = ("erp-data/partners.json", "legacy-data/accounts.jsonl", "crm-data/customers.json")
LOADED = b"SELECT count(*) FROM ingest.objects WHERE state = 'loaded'"
WAITING = b"SELECT count(*) FROM ingest.objects WHERE state NOT IN ('discovered', 'claimed')"


def lineage(page: Page) -> None:
    page.set_viewport_size({"width": 1800, "height": 900})
    page.goto("/assets/analytics__revenue_analysis?view=lineage&lineageScope=upstream&lineageDepth=10")
    expect(page.get_by_text("landing_crm__objects", exact=True).first).to_be_visible()
    expect(page.get_by_text("Loading...")).to_have_count(0)


def run(page: Page) -> None:
    """The latest: it found warm workers."""
    page.goto("/runs?q[0]=job:ingest_job")
    run_id = page.locator("a[href^='/runs/']", has_text=re.compile("^[0-9a-f]{8}$")).first.get_attribute("href")
    page.goto(str(run_id))
    expect(page.get_by_text("RUN_SUCCESS").first).to_be_visible()


def batch(page: Page) -> None:
    page.set_viewport_size({"width": 1700, "height": 1200})
    page.goto("/assets/canonical_crm__records?view=events")
    expect(page.get_by_text("outcomes", exact=True)).to_be_visible()


def batch_plot(page: Page) -> None:
    page.goto("/assets/canonical_crm__records?view=events")
    show_plot(page)


def checks(page: Page) -> None:
    page.goto("/assets/ingest__objects?view=checks")
    page.get_by_text("objects_have_a_source", exact=True).first.click()
    page.get_by_text("Show Markdown").first.click()
    expect(page.get_by_text("folder", exact=True).first).to_be_visible()


def result(page: Page) -> None:
    page.goto("/assets/analytics__revenue_analysis?view=events")
    show_plot(page)


def show_plot(page: Page) -> None:
    page.locator("tr", has=page.get_by_text("plot", exact=True)).get_by_text("Show Markdown").click()
    expect(page.locator("img[src^='data:image/']").first).to_be_visible()


def examples(stack: LiveStack) -> None:
    """Just started, with files that have something to object to."""
    files = example_files()
    for key, path in files.items():
        stack.upload(key, path.read_bytes())
    until(lambda: stack.sql(WAITING) == [(len(files),)])
    assert stack.ended(stack.launch("daily_refresh")) == "SUCCESS"


def in_use(stack: LiveStack) -> None:
    """All days before have been looked at, good files came, and the results were refreshed."""
    stack.backfill([ingest_key(source).to_user_string() for source in sources()], ARRIVAL_DAY.get_partition_keys()[:-1])
    for _ in range(2):  # the second finds everything warm
        [(known,)] = stack.sql(LOADED)
        for key in GOOD:
            stack.upload(key, (EXAMPLES / key).read_bytes())
        until(lambda known=known: stack.sql(LOADED) == [(known + len(GOOD),)])
    assert stack.ended(stack.launch("monthly_refresh")) == "SUCCESS"


STORY: tuple[tuple[Callable[[LiveStack], None], tuple[Callable[[Page], None], ...]], ...] = (
    (examples, (batch, batch_plot, checks)),
    (in_use, (lineage, run, result)),
)
"""What happens, and the pictures that are taken then."""


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        path = Path(folder)
        with live_stack(path / "stack", path / "api.zip") as stack:
            for happens, pictures in STORY:
                happens(stack)
                for picture in pictures:
                    with browser.page(stack.settings.dagster_url) as page:
                        picture(page)
                        page.wait_for_timeout(SETTLE_MILLISECONDS)
                        page.screenshot(path=TARGET / f"{picture.__name__}.png")


if __name__ == "__main__":
    main()
