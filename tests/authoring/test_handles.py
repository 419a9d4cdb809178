"""Handles: ports by attribute, and everything else of the component as it is now."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headrace.authoring.function_component import component
from headrace.authoring.handles import (
    Accepts,
    ComponentHandle,
    Emits,
    FunctionHandle,
    PortHandle,
    SinkHandle,
    SourceHandle,
    registered_as,
)
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import (
    ComponentAlreadyRegistered,
    InvalidEndpointError,
    PortTypeError,
    UnknownPortAttributeError,
    UnknownPortError,
)
from headrace.model.endpoint import Endpoint
from headrace.runtime.system_execution_harness import System


class Parse(HarnessComponent):
    in_: In[bytes]
    side: In[int] | None
    out: Out[int]
    limit = 3
    _hidden = 4

    def doubled(self) -> int:
        return self.limit * 2


class Undeclared(HarnessComponent):
    limit = 5


class SourceOnly(HarnessComponent):
    out: Out[int]
    status_: Out[str]


class Clash(HarnessComponent):
    """Declares two ports whose attributes differ in an underscore."""

    out: Out[int]
    in_: In[int]
    name_: Out[str]


class Text(HarnessComponent):
    in_: In[str]
    numbers: In[float]


@component
def double(number: int) -> int | None:
    return number * 2


@pytest.fixture
def system() -> System:
    return System()


def test_an_attribute_that_is_a_port_is_a_handle_of_the_port(system: System) -> None:
    parse: Any = system.add("parse", Parse)
    assert parse.in_ == PortHandle(Endpoint("parse", "in"))
    assert [str(port) for port in (parse.in_, parse.out, parse.side)] == [
        "parse.in",
        "parse.out",
        "parse.side",
    ]
    assert str(getattr(parse, "in")) == "parse.in"


def test_every_other_attribute_is_the_components_own(system: System) -> None:
    parse = system.add("parse", Parse)
    assert (parse.limit, parse.doubled(), parse.name, parse._hidden) == (3, 6, "parse", 4)
    assert parse.status is system.components["parse"].status


def test_an_attribute_that_is_set_is_set_on_the_component(system: System) -> None:
    parse = system.add("parse", Parse)
    parse.limit = 7
    assert (system.components["parse"].limit, parse.doubled()) == (7, 14)


def test_the_handle_follows_a_component_that_is_replaced(system: System) -> None:
    parse = system.add("parse", Parse)

    class Faster(Parse):
        limit = 30
        more: Out[int]

    system.replace("parse", Faster)
    handle: Any = parse
    assert handle.limit == 30
    assert str(handle.more) == "parse.more"
    assert handle.component is system.components["parse"]


def test_an_attribute_that_is_neither_is_an_error_that_names_the_nearest(system: System) -> None:
    parse: Any = system.add("parse", Parse)
    with pytest.raises(
        UnknownPortAttributeError, match="neither a port nor an attribute 'outt'; did you mean 'out'"
    ):
        parse.outt  # noqa: B018
    with pytest.raises(UnknownPortError, match="did you mean 'in_'"):
        parse.inn_  # noqa: B018
    assert not hasattr(parse, "outt")
    assert not hasattr(parse, "_outt")
    assert not hasattr(parse, "__outt__")


def test_where_ports_are_not_declared_any_name_is_one_that_is_no_attribute(system: System) -> None:
    part: Any = system.add("part", Undeclared)
    assert str(part.anything) == "part.anything"
    assert str(part.in_) == "part.in"
    assert part.limit == 5


def test_the_attribute_of_a_port_comes_before_a_name_like_it(system: System) -> None:
    source: Any = system.add("source", SourceOnly)
    assert str(source.status_) == "source.status"
    clash: Any = system.add("clash", Clash)
    assert str(clash.name_) == "clash.name"
    assert str(clash.out) == "clash.out"


def test_a_handle_is_named_and_told_apart(system: System) -> None:
    parse, other = system.add("parse", Parse), system.add("other", Parse)
    assert (str(parse), repr(parse)) == ("parse", "<component 'parse'>")
    assert parse == parse
    assert parse != other
    assert len({parse, other, parse}) == 2


def test_connect_takes_handles_of_ports_handles_strings_and_registered_components(system: System) -> None:
    first = Parse("first")
    system.register_component("first", first)
    doubled = system.add("double", double)
    parse = system.add("parse", Parse)
    assert system.connect(first, doubled).key == "first.out -> double.in"
    assert system.connect(doubled, parse.side).key == "double.out -> parse.side"
    assert system.connect(parse.out, "double").key == "parse.out -> double.in"
    assert system.connect(doubled.out, "first.side").key == "double.out -> first.side"


@pytest.mark.parametrize("odd", [None, 3, Parse("stranger"), object()])
def test_what_stands_for_no_port_is_refused(system: System, odd: Any) -> None:
    parse = system.add("parse", Parse)
    with pytest.raises(InvalidEndpointError, match=r"an endpoint is a string 'component\.port'"):
        system.connect(odd, parse.in_)


def test_types_that_do_not_fit_are_refused_with_the_reason(system: System) -> None:
    doubled, text = system.add("double", double), system.add("text", Text)
    system.connect(doubled.out, text.numbers)
    with pytest.raises(PortTypeError, match=r"double\.out: int -> text\.in: str; what is sent does not fit"):
        system.connect("double.out", text.in_)


def test_a_handle_of_another_system_is_refused(system: System) -> None:
    other = System()
    stranger, parse = other.add("parse", Parse), system.add("parse", Parse)
    doubled = system.add("double", double)
    for handle in (stranger, stranger.out):
        with pytest.raises(InvalidEndpointError, match=r"'parse(\.out)?' belongs to another system"):
            system.connect(handle, doubled)
    system.replace("parse", Parse)
    assert system.connect(parse.out, doubled).key == "parse.out -> double.in"


def test_a_port_that_was_named_before_its_component_was_replaced_is_still_that_port(system: System) -> None:
    parse, doubled = system.add("parse", Parse), system.add("double", double)
    out = parse.out
    system.replace("parse", Parse)
    assert system.connect(out, doubled).key == "parse.out -> double.in"


def test_a_handle_cannot_be_copied(system: System) -> None:
    parse = system.add("parse", Parse)
    with pytest.raises(AttributeError):
        copy.copy(parse)


def test_a_handle_is_not_registered_as_a_second_component(system: System) -> None:
    parse: Any = system.add("parse", Parse)
    with pytest.raises(ComponentAlreadyRegistered, match="'again' is the same object as 'parse'"):
        system.register_component("again", parse)


def test_only_what_is_known_stands_for_an_endpoint() -> None:
    thing, other = object(), object()
    names = {id(thing): "thing"}
    assert registered_as(thing, names) == "thing"
    assert registered_as(other, names) is other
    assert registered_as("a.b", names) == "a.b"
    assert registered_as(PortHandle(Endpoint("a", "b")), names) == "a.b"


@pytest.mark.parametrize("protocol", [Accepts, Emits, FunctionHandle, SinkHandle, SourceHandle])
def test_what_type_checkers_see_is_only_a_description(protocol: Any) -> None:
    with pytest.raises(TypeError, match="Protocols cannot be instantiated"):
        protocol()


def test_a_handle_without_a_system_asks_who_it_is(system: System) -> None:
    system.add("parse", Parse)
    asked: list[str] = []

    def member() -> Any:
        asked.append("parse")
        return system.wiring.members["parse"]

    handle = ComponentHandle("parse", member)
    assert handle.limit == 3
    assert asked
