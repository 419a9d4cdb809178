"""Sub-systems on the page: a box each where somebody wants less, and all that is in them where somebody looks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from tests.edges.web.watching import (
    arrived,
    browsing,
    by_carrier,
    details,
    fact,
    flown,
    joined,
    keep,
    node,
    opened,
    page_of,
    watched,
)

from headrace.runtime.system_execution_harness import System


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the browser."""
    with browsing() as made:
        yield made


def plant() -> System:
    """Return a system with a sub-system in a sub-system."""
    made = System("plant", source_grace=0.01, shutdown_timeout=0.5)
    made.add("flown", flown)
    for name in ("ingest/clean", "ingest/shape/cut", "ingest/shape/join"):
        made.add(name, joined)
    made.add("ingest/check", arrived, attempts=1)
    made.add("store", by_carrier)
    made.add("count", by_carrier)
    made.connect("flown", "ingest/clean")
    made.connect("ingest/clean", "ingest/check")
    made.connect("ingest/check", "ingest/shape/cut")
    made.connect("ingest/shape/cut", "ingest/shape/join")
    made.connect("ingest/shape/join", "store")
    made.connect("ingest/check", "count")
    return made


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_sub_system_is_folded_into_a_box_and_unfolded(browser: Browser, backend: str) -> None:
    with watched(plant(), backend) as made, page_of(browser) as (page, _):
        opened(page, made.link, 7)
        fold, panel = page.locator("#fold"), page.locator("#details")
        fold.click()
        expect(page.locator("g.node")).to_have_count(4)
        expect(page.locator("g.link")).to_have_count(3)
        box = page.locator(node(page, "ingest"))
        expect(box).to_contain_text("4 components")
        expect(box.locator(".rate").first).to_contain_text("/s")
        expect(box).to_have_attribute("aria-label", re.compile("ingest 4 components running .*/s"))
        details(page, "ingest")
        expect(panel).to_contain_text("a sub-system of 4 components")
        expect(fact(page, "comes in")).to_contain_text("/s")
        expect(fact(page, "dead letters so far")).to_have_text(re.compile("[1-9]"))
        keep(page, f"folded-{backend}")
        # --- what is in it is shown when it is wanted
        panel.get_by_role("button", name="shape/cut").click()
        expect(page.locator("g.node")).to_have_count(7)
        expect(panel.locator("h2")).to_have_text("ingest/shape/cut")
        panel.get_by_role("button", name="Fold ingest/shape").click()
        expect(page.locator("g.node")).to_have_count(6)
        expect(panel.locator("h2")).to_have_text("ingest/shape")
        page.reload()
        expect(page.locator("g.node")).to_have_count(6)
        # --- by its name, and by keys
        page.fill("#find", "shape/join")
        page.press("#find", "Enter")
        expect(page.locator("g.node")).to_have_count(7)
        expect(panel.locator("h2")).to_have_text("ingest/shape/join")
        page.press("body", "f")
        expect(page.locator("g.node")).to_have_count(4)
        expect(panel.locator("h2")).to_have_text("ingest")
        panel.get_by_role("button", name="Unfold").click()
        expect(page.locator("g.node")).to_have_count(7)


def test_a_large_system_is_folded_when_it_is_first_seen(browser: Browser) -> None:
    large = System("large", source_grace=0.01, shutdown_timeout=0.5)
    large.add("store", by_carrier)
    for line in ("north", "east", "south", "west", "centre"):
        large.add(f"{line}/source", flown)
        for step in range(20):
            large.add(f"{line}/step{step}", joined)
            before = f"step{(step - 1) // 2}" if step else "source"
            large.connect(f"{line}/{before}", f"{line}/step{step}")
        large.connect(f"{line}/step19", "store")
    with watched(large) as made, page_of(browser) as (page, _):
        opened(page, made.link, 6)
        expect(page.locator("#fold")).to_have_text("Unfold")
        expect(page.locator(f"{node(page, 'north')} .rate").first).to_have_text(re.compile("[1-9].*/s"))
        keep(page, "components-106-folded")
        page.click("#fold")
        expect(page.locator("g.node")).to_have_count(106)
        expect(page.locator(f"{node(page, 'store')} .rate")).to_have_text(re.compile("[1-9].*/s"))
        keep(page, "components-106")
