"""The page in a real browser, with a real system behind it; what it looked like is kept in build/ci/screenshots."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from itertools import count

import anyio
import pytest
from playwright.sync_api import Browser, expect
from tests.edges.web.watching import (
    MARKUP,
    TOKEN,
    Gate,
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
    waits,
    watched,
    weather,
)
from tests.servers import free_port

from headrace.model.restart_policy import RestartPolicy
from headrace.runtime.system_execution_harness import System

HIDE = """is => {
    Object.defineProperty(document, 'hidden', {value: is, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the browser."""
    with browsing() as made:
        yield made


async def paced() -> AsyncIterator[int]:
    """Yield now and then."""
    for number in count(1):
        yield number
        await anyio.sleep(0.1)


def passed(number: int) -> int | None:
    """Pass on every fifth."""
    return number if number % 5 == 0 else None


def flights(gate: Gate | None = None) -> System:
    """Return a system like the flights demo, with a store that waits for a gate."""

    async def store(number: int) -> None:
        if gate is not None:
            await gate.wait()

    made = System("flights", source_grace=0.01, shutdown_timeout=0.5)
    made.add("flights", flown)
    made.add("weather", weather)
    made.add("arrived", arrived, attempts=1)
    made.add("joined", joined)
    made.add("store", store)
    made.add("by_carrier", by_carrier)
    made.connect("flights", "arrived")
    made.connect("arrived", "joined")
    made.connect("weather", "joined")
    made.connect("joined", "store")
    made.connect("joined", "by_carrier")
    return made


@BACKENDS
def test_the_graph_appears_and_its_numbers_move(browser: Browser, backend: str) -> None:
    with watched(flights(), backend) as made, page_of(browser) as (page, _):
        opened(page, made.link)
        assert TOKEN not in page.url
        expect(page.locator("#state")).to_contain_text("running")
        expect(page.locator("#name")).to_have_text("flights")
        given_out = fact(page, "out")
        expect(given_out).to_have_text(re.compile("[1-9]"))
        before = given_out.text_content() or ""
        expect(given_out).not_to_have_text(before)
        expect(page.locator("#figures dt", has_text="in flight")).to_have_count(1)
        expect(page.locator("g.pillbox")).to_have_count(5)
        expect(page.locator(f"{node(page, 'flights')} .rate")).to_contain_text("/s")
        expect(page.locator("g.node .spark").first).to_have_attribute("points", re.compile(" "))
        keep(page, f"graph-light-{backend}")


@BACKENDS
def test_a_blocked_line_turns_red_and_a_sentence_names_the_culprit(browser: Browser, backend: str) -> None:
    gate = Gate()
    with watched(flights(gate), backend) as made, page_of(browser, color_scheme="dark") as (page, _):
        opened(page, made.link)
        expect(page.locator("#troubles")).to_contain_text("store")
        expect(page.locator('g.link.stop[data-name="joined.out -> store.in"]')).to_have_count(1)
        expect(page.locator('g.link.stop[data-name="joined.out -> by_carrier.in"]')).to_have_count(0)
        expect(page.locator(f"{node(page, 'joined')} .word")).to_have_text("held up")
        details(page, "store")
        expect(page.locator("#details")).to_contain_text("store awaits wait() at watching.py")
        keep(page, f"blocked-dark-{backend}")
        made.portal.call(gate.open)
        expect(page.locator("#troubles")).to_have_text("Nothing holds anything up.")
        expect(page.locator("g.link.stop")).to_have_count(0)


@BACKENDS
def test_a_component_is_paused_restarted_and_stopped(browser: Browser, backend: str) -> None:
    with watched(flights(), backend) as made, page_of(browser) as (page, _):
        opened(page, made.link)
        details(page, "joined")
        panel = page.locator("#details")
        panel.get_by_role("button", name="Pause").click()
        page.get_by_role("dialog").get_by_role("button", name="Yes").click()
        expect(page.locator(f"{node(page, 'joined')} .word")).to_have_text("paused")
        panel.get_by_role("button", name="Resume").click()
        expect(page.locator(f"{node(page, 'joined')} .word")).not_to_have_text("paused")
        panel.get_by_role("button", name="Restart").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        panel.get_by_role("button", name="Restart").click()
        keep(page, f"confirm-{backend}")
        page.get_by_role("dialog").get_by_role("button", name="Yes").click()
        expect(fact(page, "restarts")).to_have_text("1")
        details(page, "by_carrier")
        panel.get_by_role("button", name="Stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Yes").click()
        expect(page.locator(f"{node(page, 'by_carrier')} .word")).to_have_text("stopped")
        expect(panel.get_by_role("button", name="Restart")).to_be_disabled()
        page.locator("#stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Yes").click()
        expect(page.locator("#state")).to_contain_text("stopped")
        expect(page.locator("#figures dt", has_text="lost")).to_have_count(1)
        expect(page.locator("#pause")).to_be_disabled()
        keep(page, f"ended-{backend}")


def test_whatever_names_and_errors_hold_is_shown_as_text(browser: Browser) -> None:
    made = System(MARKUP, source_grace=0.01, shutdown_timeout=0.5)

    async def numbers() -> AsyncIterator[str]:
        yield MARKUP
        await anyio.sleep_forever()

    def breaks(text: str) -> None:
        raise ValueError(text)

    name = "<b>x</b>"
    made.add("numbers", numbers)
    made.add(name, breaks, attempts=1)
    made.connect("numbers", name)
    with watched(made) as served, page_of(browser) as (page, _):
        opened(page, served.link, 2)
        expect(page.locator("#name")).to_have_text(MARKUP)
        page.click("#tab-letters")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.click("tbody summary")
        expect(page.locator("tbody pre")).to_contain_text(MARKUP)
        details(page, name)
        page.click("#tab-log")
        expect(page.locator("ol.log")).to_contain_text(MARKUP)
        page.click("#tab-components")
        expect(page.locator("tbody")).to_contain_text(name)
        assert page.locator("img, b").count() == 0
        assert page.evaluate("window.broken") is None
        keep(page, "markup")


def test_a_component_that_crashes_shows_its_failure_and_comes_back(browser: Browser) -> None:
    made = System("crashing", source_grace=0.01, shutdown_timeout=0.5)
    fails = Gate()

    async def source() -> AsyncIterator[int]:
        for number in count(1):
            yield number
            await anyio.sleep(0.01)
            if number == 20 and not fails.is_open:
                fails.open()
                raise ConnectionError(f"the line is dead {MARKUP}")

    made.add("source", source, restart=RestartPolicy("failure"))
    made.add("sink", [].append)
    made.connect("source", "sink")
    with watched(made) as served, page_of(browser) as (page, _):
        opened(page, served.link, 2)
        expect(page.locator(f"{node(page, 'source')} .badge")).to_have_text("✗ 1")
        details(page, "source")
        expect(page.locator("#details pre")).to_contain_text("ConnectionError")
        expect(fact(page, "restarts")).to_have_text("1")
        expect(page.locator(f"{node(page, 'source')} .word")).to_have_text("running")
        assert page.locator("#details img").count() == 0
        keep(page, "failure")


def test_the_page_says_when_the_server_is_gone_and_comes_back_with_the_next(browser: Browser) -> None:
    port = free_port()
    with page_of(browser) as (page, _):
        with watched(flights(), port=port) as made:
            opened(page, made.link)
            page.evaluate("window.old = true")
            page.route("**/api/v1/events", lambda route: route.abort())
            page.evaluate(HIDE, True)
            page.evaluate(HIDE, False)
            expect(page.locator("#link")).to_have_text("connection lost, retrying")
            keep(page, "lost")
            page.unroute("**/api/v1/events")
            expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#link")).to_have_text("server gone, retrying")
        expect(page.locator("#state")).to_contain_text("stopped")
        expect(fact(page, "lost")).to_have_text(re.compile("[0-9]"))
        other = System("other", source_grace=0.01)
        other.add("alone", waits)
        with watched(other, port=port):
            expect(page.locator("#link")).to_have_text("live")
            expect(page.locator("#name")).to_have_text("other")
            expect(page.locator("g.node")).to_have_count(1)
            assert page.evaluate("window.old") is True


def test_a_system_without_components_and_one_that_has_finished_say_so(browser: Browser) -> None:
    with watched(System("empty")) as made, page_of(browser) as (page, _):
        page.goto(made.link)
        expect(page.locator("#canvas")).to_contain_text("no components")
        expect(page.locator("#troubles")).to_contain_text("lost 0")
        keep(page, "empty")


def test_on_a_phone_the_graph_goes_downwards_and_nothing_is_wider_than_the_screen(browser: Browser) -> None:
    phone = {"viewport": {"width": 375, "height": 740}}
    with watched(flights()) as made, page_of(browser, **phone) as (page, _):
        opened(page, made.link)
        one, other = (page.locator(node(page, name)).bounding_box() for name in ("flights", "joined"))
        assert one is not None
        assert other is not None
        assert other["y"] > one["y"] + one["height"]
        details(page, "joined")
        for tab in ("log", "letters", "components"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 375
            keep(page, f"phone-{tab}")


def test_everything_can_be_reached_by_keys(browser: Browser) -> None:
    with watched(flights()) as made, page_of(browser) as (page, _):
        opened(page, made.link)
        page.keyboard.press("/")
        page.keyboard.type("arriv")
        page.keyboard.press("Enter")
        expect(page.locator("#details h2")).to_have_text("arrived")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#details h2")).to_have_text("joined")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        expect(page.locator("#details h2")).not_to_have_text("joined")
        page.keyboard.press("Escape")
        expect(page.locator("#details")).to_be_hidden()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("find a component")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator("#pause")).to_be_enabled()
        page.keyboard.press("p")
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_contain_text("paused")


def test_without_the_token_one_may_only_look_until_it_is_given(browser: Browser) -> None:
    with watched(flights()) as made, page_of(browser) as (page, _):
        opened(page, made.served.url)
        details(page, "joined")
        expect(page.locator("#details .actions button:visible").first).to_be_disabled()
        expect(page.locator("#details")).to_contain_text("Only looking")
        page.click("#token")
        page.get_by_role("dialog").get_by_label("token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#details").get_by_role("button", name="Restart")).to_be_enabled()
        expect(page.locator("#token")).to_be_hidden()


def test_a_line_shows_its_queue_and_a_live_tap_of_its_messages(browser: Browser) -> None:
    async def words() -> AsyncIterator[str]:
        for number in count(1):
            yield f"{number} {MARKUP}"
            await anyio.sleep(0.02)

    made = System("tapped", source_grace=0.01, shutdown_timeout=0.5)
    made.add("words", words)
    made.add("sink", [].append)
    made.connect("words", "sink")
    with watched(made) as served, page_of(browser) as (page, _):
        opened(page, served.link, 2)
        page.click("g.pillbox")
        panel = page.locator("#details")
        expect(panel.locator("h2")).to_have_text("words.out -> sink.in")
        expect(panel.locator(".bucket")).not_to_have_count(0)
        panel.get_by_role("button", name="Tap").click()
        expect(panel.locator(".messages li").nth(3)).to_contain_text("<b>bold</b>")
        keep(page, "tap")
        panel.get_by_role("button", name="Stop the tap").click()
        panel.get_by_label("a condition on messages").fill("v >>> 3")
        panel.get_by_role("button", name="Tap").click()
        expect(panel).to_contain_text("v >>> 3")
        expect(panel.get_by_role("button", name="Tap")).to_have_text("Tap")
        assert panel.locator(".messages b").count() == 0


def test_dead_letters_are_sent_again_and_discarded(browser: Browser) -> None:
    broken = Gate()

    async def three() -> AsyncIterator[int]:
        for number in (1, 2, 3):
            yield number
        await anyio.sleep_forever()

    def parse(number: int) -> None:
        if not broken.is_open:
            raise KeyError(number)

    made = System("letters", source_grace=0.01, shutdown_timeout=0.5)
    made.add("three", three)
    made.add("parse", parse, attempts=1)
    made.connect("three", "parse")
    with watched(made) as served, page_of(browser) as (page, _):
        opened(page, served.link, 2)
        expect(page.locator("#tab-letters")).to_have_text("Dead letters (3)")
        page.click("#tab-letters")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(3)
        rows.first.get_by_text("KeyError").click()
        expect(rows.first.locator("pre")).to_contain_text("Traceback")
        keep(page, "letters")
        rows.nth(2).get_by_role("button", name="Discard").click()
        page.get_by_role("dialog").get_by_role("button", name="Yes").click()
        expect(rows).to_have_count(2)
        served.portal.call(broken.open)
        rows.first.get_by_role("button", name="Redrive").click()
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="Redrive all").click()
        page.get_by_role("dialog").get_by_role("button", name="Yes").click()
        expect(page.locator("#shown")).to_contain_text("No message has failed for good.")


def test_a_page_that_nobody_sees_asks_for_nothing(browser: Browser) -> None:
    with watched(flights()) as made, page_of(browser) as (page, _):
        opened(page, made.link)
        page.evaluate(HIDE, True)
        given_out = fact(page, "out")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        before = given_out.text_content()
        for _ in range(20):
            page.evaluate("fetch('api/v1/access').then(answer => answer.text())")
        assert [url for url in asked if not url.endswith("/access")] == []
        assert given_out.text_content() == before
        page.evaluate(HIDE, False)
        expect(given_out).not_to_have_text(before or "")


def test_three_hundred_components_and_a_thousand_lines_never_hold_the_page_up(browser: Browser) -> None:
    made = System("large", source_grace=0.01, shutdown_timeout=0.5)
    for number in range(300):
        made.add(f"part_{number}", paced if number < 20 else passed)
    lines = [(one, one + 20 + step) for one in range(280) for step in (0, 1, 3, 7) if one + 20 + step < 300]
    for one, other in lines:
        made.connect(f"part_{one}", f"part_{other}")
    with watched(made) as served, page_of(browser) as (page, _):
        page.add_init_script(
            "window.long = []; new PerformanceObserver(list => list.getEntries().forEach("
            "one => long.push(one.duration))).observe({type: 'longtask', buffered: true})"
        )
        opened(page, served.link, 300)
        expect(page.locator("g.link")).to_have_count(len(lines))
        assert len(lines) > 1000
        page.evaluate("window.long.length = 0")
        first = page.locator("g.node .spark").first
        expect(first).to_have_attribute("points", re.compile("( .*){4}"), timeout=20_000)
        details(page, "part_25")
        page.click("#tab-components")
        keep(page, "large")
        long = sorted(page.evaluate("window.long"))
        assert all(one < 200 for one in long[:-1]), long  # one may be the machine's own


def test_replicas_are_one_box_and_the_graph_can_be_turned(browser: Browser) -> None:
    made = System("many", source_grace=0.01, shutdown_timeout=0.5)
    made.add("source", paced)
    made.add("workers", passed, replicas=3)
    made.add("back", passed)
    made.connect("source", "workers")
    made.connect("workers", "back")
    made.connect("back", "workers")
    with watched(made) as served, page_of(browser) as (page, _):
        opened(page, served.link, 3)
        expect(page.locator(f"{node(page, 'workers')} .name")).to_have_text("workers x3")
        expect(page.locator("g.link.back")).to_have_count(1)
        details(page, "workers")
        expect(page.locator("#details")).to_contain_text("workers[2]: running")
        beside = page.locator(node(page, "back")).get_attribute("transform") or ""
        page.keyboard.press("t")
        expect(page.locator(node(page, "back"))).not_to_have_attribute("transform", beside)
        expect(page.locator("#details h2")).to_have_text("workers")
        keep(page, "turned")
