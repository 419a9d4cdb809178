"""The tutorial and the how-tos: every file of theirs is written, every command run, every output compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"


def pages_of(folder: str) -> list[str]:
    """Return the pages of a folder of docs, by their paths in the checkout."""
    return sorted(str(path.relative_to(ROOT)) for path in (DOCS / folder).glob("*.md"))


PLAYED = [
    "docs/tutorial.md",
    *pages_of("how-to"),
    *(page for page in pages_of("reference") if "```" in (ROOT / page).read_text(encoding="utf-8")),
]
WRITTEN = sorted({"README.md", "docs/index.md", *PLAYED, *pages_of("reference")})
INSTALLING = {
    "python3 -m venv .venv",
    "source .venv/bin/activate",
    "pip install '.[trio]' pytest",
    "cd ..",
}
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PLAYED)
def test_a_page_does_what_it_says(
    page: str, blocks: Any, player: Any, request: pytest.FixtureRequest
) -> None:
    if "DATABASE_URL" in (ROOT / page).read_text(encoding="utf-8"):
        server = request.getfixturevalue("postgres")
        player.environment |= {"DATABASE_URL": server.url, "PGPASSWORD": server.password}
    if "NATS_URL" in (ROOT / page).read_text(encoding="utf-8"):
        player.environment["NATS_URL"] = request.getfixturevalue("nats").url
    if "MQTT_URL" in (ROOT / page).read_text(encoding="utf-8"):
        player.environment["MQTT_URL"] = f"mqtt://127.0.0.1:{request.getfixturevalue('mosquitto').port}"
    player.play(blocks(page))


@pytest.mark.parametrize("page", PLAYED)
def test_every_block_of_a_page_is_a_file_a_console_or_the_installation(page: str, blocks: Any) -> None:
    found = blocks(page)
    assert any(block.language == "console" for block in found)
    for block in found:
        is_known = block.language == "sh" and set(block.text.splitlines()) <= INSTALLING
        is_played = bool(block.title) != (block.language == "console")
        assert is_played != is_known, f"{page}:{block.line} is not played"


@pytest.mark.parametrize("page", PLAYED)
def test_every_file_of_a_page_is_used_by_what_follows(page: str, blocks: Any) -> None:
    found = blocks(page)
    for number, block in enumerate(found):
        if block.title:
            later = "\n".join(one.text for one in found[number + 1 :])
            assert Path(block.title).stem in later, f"{page}:{block.line} {block.title} is never used"


@pytest.mark.parametrize("page", WRITTEN)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target, _ in _LINK.findall(_FENCED.sub("", path.read_text(encoding="utf-8"))):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{page}: no {target}"


def test_the_index_links_every_page() -> None:
    linked = {(DOCS / target).resolve() for target, _ in _LINK.findall((DOCS / "index.md").read_text())}
    pages = {ROOT / page for page in WRITTEN} - {ROOT / "README.md", DOCS / "index.md"}
    assert not pages - linked
