"""The flights demo, slowed down and made to crash, in a real browser: what one sees of it is what goes on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.edges.web.watching import TOKEN, browsing, details, fact, keep, node, opened, page_of
from tests.examples.test_flights_signals import BLUEPRINT, data_folder
from tests.servers.processes import ServerProcess

SLOWED = """
components:
  arrived: {type: "slowed:Arrived", restart: {when: failure, backoff: {first: 0.5s}}}
"""
MODULE = '''
from pathlib import Path
from typing import Any

import anyio
from flights import arrived

from headrace import HarnessComponent, In, Out, Rejected

HERE = Path(__file__).parent


class Arrived(HarnessComponent):
    """Lets flights through as the demo does, some hundred a second; files beside it hold it up or end its life."""

    in_: In[dict[str, Any]]
    out: Out[dict[str, Any]]
    rejected: Out[Rejected[dict[str, Any]]]

    async def process(self) -> None:
        async for flight in self.in_:
            await anyio.sleep(0.002)
            while (HERE / "hold").exists():
                await anyio.sleep(0.05)
            if (HERE / "crash").exists():
                (HERE / "crash").unlink()
                raise ConnectionError("the tower does not answer")
            result = arrived.fn(flight)
            await (self.rejected if isinstance(result, Rejected) else self.out).send(result)
'''


class Demo(ServerProcess):
    """The demo with its page, started again at the same place."""

    def __init__(self, folder: Path, backend: str) -> None:
        super().__init__(folder)
        (folder / "slowed.yaml").write_text(SLOWED)
        (folder / "slowed.py").write_text(MODULE)
        self._backend = backend

    def command(self) -> list[str]:
        """Return the command that starts it, with its environment."""
        more = {"DATA": data_folder(), "OUT": self.folder, "HEADRACE_WEB_TOKEN": TOKEN}
        paths = os.pathsep.join([str(BLUEPRINT.parent), str(self.folder)])
        run = [
            sys.executable,
            "-m",
            "headrace",
            "run",
            str(BLUEPRINT),
            "-f",
            str(self.folder / "slowed.yaml"),
            "--allow",
            "slowed",
        ]
        address = f"127.0.0.1:{self.port}"
        environment = [f"{name}={value}" for name, value in {**more, "PYTHONPATH": paths}.items()]
        return ["env", *environment, *run, "--backend", self._backend, "--web", address]

    def wait(self) -> str:
        """Wait until it has ended, and return what it has said."""
        assert self._process is not None
        self._process.wait(60)
        return (self.folder / "server.log").read_text()


def yes(page: Page) -> None:
    """Say yes to what the page asks."""
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_demo_is_seen_held_up_crash_come_back_and_stop(tmp_path: Path, backend: str) -> None:
    with Demo(tmp_path, backend) as demo, browsing() as browser, page_of(browser) as (page, _):
        opened(page, f"http://127.0.0.1:{demo.port}/?token={TOKEN}", 19)
        panel, word = page.locator("#details"), page.locator(f"{node(page, 'arrived')} .word")
        given_out = fact(page, "out")
        expect(given_out).to_have_text(re.compile("[1-9]"), timeout=60_000)
        before = given_out.text_content() or ""
        expect(given_out).not_to_have_text(before)
        # --- held up: the line before it turns red, and the sentence says who
        (tmp_path / "hold").touch()
        blocked = page.locator('g.link.stop[data-name="flights.out -> arrived.in"]')
        expect(blocked).to_have_count(1, timeout=30_000)
        expect(page.locator("#troubles")).to_contain_text("arrived", timeout=30_000)
        keep(page, f"flights-{backend}")
        (tmp_path / "hold").unlink()
        # --- it crashes and comes back
        (tmp_path / "crash").touch()
        details(page, "arrived")
        expect(fact(page, "restarts")).to_have_text("1", timeout=30_000)
        expect(panel).to_contain_text("ConnectionError: the tower does not answer")
        expect(word).not_to_have_text(re.compile("crashed|restarting"), timeout=30_000)
        # --- what the buttons do
        panel.get_by_role("button", name="Restart").click()
        yes(page)
        expect(fact(page, "restarts")).to_have_text("2")
        panel.get_by_role("button", name="Pause").click()
        yes(page)
        expect(word).to_have_text("paused")
        panel.get_by_role("button", name="Resume").click()
        expect(word).not_to_have_text("paused")
        page.locator("#stop").click()
        yes(page)
        assert " lost 0 in " in demo.wait()
        expect(page.locator("#link")).to_have_text(re.compile("gone|lost"))
        # --- the next one, at the same place
        demo.start()
        expect(page.locator("#link")).to_have_text("live", timeout=60_000)
        expect(page.locator("#state")).to_contain_text("running", timeout=60_000)
