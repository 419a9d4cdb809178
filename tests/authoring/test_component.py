"""The neutral base and the protocol: what a harness asks of any object, and no more."""

from __future__ import annotations

from headrace.authoring.component import Component, ComponentLike


class Stranger:
    async def setup(self, harness_context: object = None) -> None: ...

    async def process(self) -> None: ...

    async def cleanup(self) -> None: ...


async def test_a_component_has_a_name_a_config_of_its_own_and_four_calls() -> None:
    config = {"rate": 1}
    part = Component("pump", config)
    config["rate"] = 2
    assert (part.name, part.config) == ("pump", {"rate": 1})
    await part.setup()
    await part.setup({"any": "mapping"})
    await part.process()
    await part.cleanup()
    await part.cleanup()
    assert await part.health_check() == {"name": "pump", "healthy": True}
    assert Component("pump").config == Component("pump", None).config == {}
    assert repr(part) == "<Component 'pump'>"


def test_any_object_with_the_three_methods_is_like_a_component() -> None:
    assert isinstance(Stranger(), ComponentLike)
    assert isinstance(Component("pump"), ComponentLike)
    assert not isinstance(object(), ComponentLike)


def test_the_base_knows_nothing_of_streams_or_states() -> None:
    assert set(vars(Component("pump"))) == {"name", "config"}
