"""The context is a typed view and a mapping, and cannot wire or stop anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError

import pytest

from headrace.authoring.context import Context


async def test_it_is_a_mapping_of_what_older_components_ask_for() -> None:
    context = Context("pump", system="plant", config={"rate": 1})
    assert isinstance(context, Mapping)
    assert context["name"] == context.name == "pump"
    assert context["system"] == "plant"
    assert context.get("config") == {"rate": 1}
    assert context.get("nothing", 5) == 5
    assert set(context) == set(context.keys())
    assert len(context) == len(list(context)) == 8
    assert "spawn" not in context
    with pytest.raises(KeyError, match="spawn"):
        context["spawn"]


async def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Context("pump").name = "other"  # type: ignore[misc]


async def test_outside_a_run_it_has_harmless_defaults() -> None:
    context = Context("pump")
    assert not context.stop_event.is_set()
    assert context.clock() >= 0
    assert 0 <= context.random.random() < 1
    assert dict(context.resources) == {}
    context.report_status("pumping")
    with pytest.raises(RuntimeError, match=r"call it from process\(\)"):
        context.spawn(print)
