"""Where a component comes from, and which of its settings are shown to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from headrace.authoring.component import Component
from headrace.edges.web.access import Access
from headrace.edges.web.application import application
from headrace.edges.web.origin import registered_at, settings_of, source_of
from headrace.edges.web.site import Site
from headrace.model.secret import HIDDEN, Secret
from headrace.runtime.member import Member
from headrace.runtime.system_execution_harness import System

HERE = "tests/edges/web/test_origin.py"
ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-token-of-the-tests"
NO_KEY = Secret("")


async def numbers(
    *, password: str = "", most: int = 5, url: str = "", key: Secret = NO_KEY
) -> AsyncIterator[int]:
    """Yield nothing."""
    await anyio.sleep_forever()
    yield most


class Sink(Component):
    """Takes nothing."""

    class Config(msgspec.Struct):
        """Its settings."""

        servers: list[dict[str, Any]]
        depth: int = 3

    async def process(self) -> None:
        """Wait."""
        await anyio.sleep_forever()


def system(**settings: Any) -> System:
    """Return a system of a function and a class."""
    made = System("from", source_grace=0.01)
    made.add("numbers", numbers, **settings)
    made.add("sink", Sink, servers=[{"host": "a", "api_key": "k1"}])
    return made


def member(made: System, name: str) -> Member:
    """Return what the runtime keeps of a component."""
    return made.wiring.members[name]


def line_of(text: str) -> int:
    """Return the line of this file that begins so."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


def test_the_source_is_the_function_or_the_process_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made = system()
    assert source_of(member(made, "numbers")) == f"{HERE}:{line_of('async def numbers')}"
    assert source_of(member(made, "sink")) == f"{HERE}:{line_of('async def process')}"
    assert registered_at(member(made, "numbers")) == f"{HERE}:{line_of('made.add(' + chr(34) + 'numbers')}"


def test_of_a_file_elsewhere_only_the_name_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_of(member(system(), "numbers")).startswith("test_origin.py:")


def test_settings_are_shown_with_those_it_has_by_itself_and_without_secrets() -> None:
    made = system(password="hunter2", url="postgres://me:hunter2@db/x", key=Secret("hunter2"))
    assert settings_of(member(made, "numbers"), str) == {
        "password": HIDDEN,
        "most": 5,
        "url": f"postgres://{HIDDEN}@db/x",
        "key": HIDDEN,
    }
    assert settings_of(member(made, "sink"), str) == {
        "servers": [{"host": "a", "api_key": HIDDEN}],
        "depth": 3,
    }


def test_a_text_that_the_system_hides_is_hidden_in_settings_too() -> None:
    shown = settings_of(
        member(system(url="say hunter2"), "numbers"), lambda text: text.replace("hunter2", "?")
    )
    assert shown["url"] == "say ?"
    assert shown["password"] == ""


async def test_settings_are_for_those_who_may_control() -> None:
    app = application(Site(system(), Access(TOKEN)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as web:
        found = (await web.get("/api/v1/components/numbers")).json()
        assert found["settings"] is None
        assert found["source"].rpartition(":")[0].endswith("test_origin.py")
        headers = {"authorization": f"Bearer {TOKEN}"}
        found = (await web.get("/api/v1/components/numbers", headers=headers)).json()
        assert found["settings"]["most"] == 5
