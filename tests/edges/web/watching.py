"""A system that runs in a thread of its own, and a page of a real browser that looks at it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from tests.servers import ROOT, program

from headrace.edges.web.serving import Served, serving
from headrace.runtime.system_execution_harness import System

MARKUP = '<img src="x" onerror="window.broken=1"><b>bold</b>'
TOKEN = "a-token-of-the-tests"
SCREENSHOTS = ROOT / "build" / "ci" / "screenshots"
_SILENT = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GONE = re.compile("Failed to load resource: (net::ERR_(CONNECTION|INCOMPLETE|FAILED)|.*status of 400)")
"""What a browser says by itself when its server is away, or says no."""


class Gate:
    """Something that components wait for, and a test lets them through."""

    def __init__(self) -> None:
        self._opened: anyio.Event | None = None
        self.is_open = False

    async def wait(self) -> None:
        """Wait until it is open."""
        if not self.is_open:
            self._opened = self._opened or anyio.Event()
            await self._opened.wait()

    def open(self) -> None:
        """Let all through; called in the event loop."""
        self.is_open = True
        if self._opened is not None:
            self._opened.set()


@dataclass
class Watched:
    """A system that is served.

    Attributes:
        served: Where.
        portal: Calls functions in its event loop.
    """

    served: Served
    portal: BlockingPortal

    @property
    def link(self) -> str:
        """The link with the token."""
        return f"{self.served.url}?token={TOKEN}"


@contextmanager
def watched(
    system: System, backend: str = "asyncio", *, port: int = 0, token: str = TOKEN
) -> Iterator[Watched]:
    """Run a system and serve it in this block; what is left in it at the end is let go."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Served]:
        async with (
            serving(system, f"127.0.0.1:{port}", token=token, local=False, tick=0.1) as served,
            system,
        ):
            yield served

    with start_blocking_portal(backend) as portal:
        around = portal.wrap_async_context_manager(run())
        served = around.__enter__()
        try:
            yield Watched(served, portal)
        finally:
            around.__exit__(None, None, None)  # what a test fails with is no failure of the system


@dataclass
class Seen:
    """What a page has said and asked for."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start the browser of this machine."""
    expect.set_options(timeout=30_000)  # machines stand still now and then
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=_SILENT)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, **options: Any) -> Iterator[tuple[Page, Seen]]:
    """Open a page in this block; it may say no error, and ask nobody but this computer."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page, seen = context.new_page(), Seen()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).hostname or request.url))
    try:
        yield page, seen
    finally:
        context.close()
    assert [error for error in seen.errors if not GONE.search(error)] == []
    assert seen.hosts <= {"127.0.0.1"}


def keep(page: Page, name: str) -> Path:
    """Keep a screenshot of a whole page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


# --- what is found on the page -----------------------------------------------------------------------------


def opened(page: Page, link: str, components: int = 6) -> None:
    """Open the page, and wait for its graph."""
    page.goto(link)
    expect(page.locator("g.node")).to_have_count(components)
    expect(page.locator("#link")).to_have_text("live")


def node(page: Page, name: str) -> str:
    """Return where a component of the graph is."""
    return f'g.node[data-name="{name}"]'


def fact(page: Page, name: str) -> Locator:
    """Return the value of a fact: one of the top line, or of the details."""
    return page.locator(f"div:has(> dt:text-is('{name}')) > dd")


def details(page: Page, name: str) -> None:
    """Choose a component."""
    page.click(node(page, name))
    expect(page.locator("#details h2")).to_have_text(name)


# --- what systems are made of -----------------------------------------------------------------------------


async def flown() -> AsyncIterator[int]:
    """Yield flights."""
    for number in count(1):
        yield number
        await anyio.sleep(0.002)


def weather() -> Iterator[int]:
    """Yield weather, which ends."""
    yield from range(500)


def arrived(number: int) -> int:
    """Fail on some flights."""
    if number % 50 == 0:
        raise ValueError(f"flight {number} never arrived {MARKUP}")
    return number


def joined(number: int) -> int:
    """Pass on."""
    return number


def by_carrier(number: int) -> None:
    """Take."""


async def waits() -> AsyncIterator[int]:
    """Be a source that says nothing."""
    await anyio.sleep_forever()
    yield 0


__all__ = [
    "MARKUP",
    "SCREENSHOTS",
    "TOKEN",
    "Gate",
    "Seen",
    "Watched",
    "arrived",
    "browsing",
    "by_carrier",
    "details",
    "fact",
    "flown",
    "joined",
    "keep",
    "node",
    "opened",
    "page_of",
    "waits",
    "watched",
    "weather",
]
