"""The graph as it is put together: what fits, what does not, and what the error says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.authoring.function_component import component
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import (
    ComponentAlreadyRegistered,
    ConfigError,
    DuplicateConnectionError,
    InvalidEndpointError,
    NotAComponentError,
    PortTypeError,
    UnconnectedPortError,
    UnknownComponentError,
    UnknownPortError,
    WiringError,
)
from headrace.model.endpoint import Endpoint
from headrace.runtime.system_execution_harness import System


class Parse(HarnessComponent):
    """Declares its ports."""

    in_: In[str]
    extra: In[str] | None
    out: Out[int]
    rejected: Out[str]


class Two(HarnessComponent):
    """Has two inputs and two outputs."""

    left: In[int]
    right: In[int]
    yes: Out[int]
    no: Out[int]


@pytest.fixture
def system() -> System:
    """Return a system of a parser and a component with two ports of each kind."""
    made = System("wired")
    made.add("parse", Parse)
    made.add("two", Two)
    return made


def test_a_name_is_registered_once(system: System) -> None:
    with pytest.raises(ComponentAlreadyRegistered, match="'parse' is registered already; take another"):
        system.add("parse", Parse)


def test_an_object_is_registered_once(parts: SimpleNamespace) -> None:
    system, one = System(), parts.Collect()
    system.register_component("one", one)
    with pytest.raises(ComponentAlreadyRegistered, match="'two' is the same object as 'one'"):
        system.register_component("two", one)


@pytest.mark.parametrize("name", ["", " ", " a", "a -> b", None, 3])
def test_a_name_has_to_be_one(name: Any) -> None:
    with pytest.raises(WiringError, match="needs a name"):
        System().add(name, Parse)


def test_what_is_no_component_is_refused() -> None:
    with pytest.raises(NotAComponentError, match=r"no setup\(\), process\(\), cleanup\(\)"):
        System().register_component("odd", 3)


def test_settings_by_name_win_over_a_mapping() -> None:
    system = System()
    handle = system.add("parse", Parse, {"unit": "C", "rate": 1}, unit="F")
    assert handle.component is system.components["parse"]
    assert system.components["parse"].config == {"unit": "F", "rate": 1}
    with pytest.raises(ConfigError):
        system.add("finished", Parse("finished"), unit="F")


def test_handles_name_ports(system: System) -> None:
    two = system.add("other", Two)
    parse = system.add("more", Parse)
    assert str(two.left) == "other.left"
    assert str(parse.in_) == "more.in"
    assert (str(two), repr(two)) == ("other", "<component 'other'>")
    with pytest.raises(AttributeError):
        two._private  # noqa: B018
    connection = system.connect(parse, two.left)
    assert connection.key == "more.out -> other.left"
    assert list(system.streams) == ["more.out -> other.left"]


def test_a_component_with_one_port_of_a_kind_needs_no_port_name(system: System) -> None:
    assert system.connect("two.yes", "two.left").key == "two.yes -> two.left"
    with pytest.raises(
        InvalidEndpointError, match=r"several output ports; write one of 'two\.yes', 'two\.no'"
    ):
        system.connect("two", "two.left")


def test_a_component_without_a_port_of_the_kind_says_so(system: System) -> None:
    @component
    def sink(message: int) -> None:
        """Take a message."""

    @component
    def source() -> Any:
        yield 1

    system.add("source", source)
    system.add("sink", sink)
    with pytest.raises(InvalidEndpointError, match="'source' has no input port"):
        system.connect("parse", "source")
    assert system.connect("source", "sink").key == "source.out -> sink.in"


def test_undeclared_ports_are_named_in_and_out(parts: SimpleNamespace) -> None:
    system = System()
    system.register_component("a", parts.Pass("a"))
    system.register_component("b", parts.Pass("b"))
    assert system.connect("a", "b").key == "a.out -> b.in"


@pytest.mark.parametrize("endpoint", ["", "parse.", ".out", 3])
def test_an_endpoint_has_to_be_one(system: System, endpoint: Any) -> None:
    with pytest.raises(WiringError):
        system.connect(endpoint, "two.left")


def test_an_unknown_component_names_the_nearest(system: System) -> None:
    with pytest.raises(UnknownComponentError, match=r"'prase'.*did you mean 'parse'"):
        system.connect("prase.out", "two.left")


def test_an_unknown_port_names_the_nearest(system: System) -> None:
    with pytest.raises(UnknownPortError, match=r"no output port 'oot'.*did you mean 'out'"):
        system.connect("parse.oot", "two.left")
    with pytest.raises(UnknownPortError, match=r"no input port 'lift'.*did you mean 'left'"):
        system.connect("parse.out", "two.lift")


def test_an_input_is_not_an_output() -> None:
    class Sink(HarnessComponent):
        in_: In[int]

    system = System()
    system.add("sink", Sink)
    system.add("other", Sink)
    with pytest.raises(UnknownPortError, match="is an input, not an output"):
        system.connect("sink.in", "other.in")


@pytest.mark.parametrize(("first", "second"), [("a", "a.out"), ("a.out", "a")])
def test_a_name_that_could_be_a_port_of_another_component_is_refused(first: str, second: str) -> None:
    system = System()
    system.add(first, component(_text))
    with pytest.raises(WiringError, match=r"beside 'a', 'a\.out' could be a component or a port") as caught:
        system.add(second, component(_text))
    assert caught.value.file == __file__
    assert list(system.components) == [first]


def test_types_have_to_fit(system: System) -> None:
    with pytest.raises(PortTypeError, match=r"parse\.out: int -> parse\.in: str"):
        system.connect("parse.out", "parse.in")


def test_the_same_connection_is_made_once(system: System) -> None:
    system.connect("two.yes", "two.left")
    with pytest.raises(DuplicateConnectionError, match=r"two\.yes -> two\.left is connected twice"):
        system.connect("two.yes", "two.left")


def test_the_options_of_an_edge_are_checked(system: System) -> None:
    assert system.connect("two.yes", "two.left").options.buffer_size == 100
    assert system.connect("two.no", "two.left", buffer_size=7).options.buffer_size == 7
    for options in ({"buffer_size": 0}, {"when_full": "panic"}):
        with pytest.raises(ConfigError):
            system.connect("two.no", "two.right", **options)
    assert System(buffer_size=3).buffer_size == 3


def test_optional_ports_are_none_until_they_are_connected(system: System) -> None:
    parse = system.components["parse"]
    assert parse.extra is None
    system.add("text", component(_text))
    system.connect("text", "parse.extra")
    assert parse.extra is parse.receive_streams["extra"]
    assert parse.out is parse.send_streams["out"]


def _text() -> Any:
    yield "text"


def test_what_is_not_connected_is_told(system: System) -> None:
    found = system.wiring.problems()
    assert [(p.component, p.port) for p in found if isinstance(p, UnconnectedPortError)] == [
        ("parse", "in"),
        ("two", "left"),
        ("two", "right"),
    ]
    assert system.wiring.unconnected_outputs() == [
        Endpoint("parse", "out"),
        Endpoint("two", "yes"),
        Endpoint("two", "no"),
    ]


def test_a_class_level_dictionary_is_not_shared_between_components() -> None:
    class Careless:
        receive_streams: dict[str, Any] = {}  # noqa: RUF012
        send_streams: dict[str, Any] = {}  # noqa: RUF012

        async def setup(self) -> None:
            """Do nothing."""

        async def process(self) -> None:
            """Do nothing."""

        async def cleanup(self) -> None:
            """Do nothing."""

    system = System()
    first, second = Careless(), Careless()
    system.register_component("first", first)
    system.register_component("second", second)
    system.connect("first.out", "second.in")
    assert first.send_streams.keys() == {"out"}
    assert second.send_streams == {}
    assert Careless.receive_streams == {}


def test_slots_that_leave_no_room_for_ports_are_explained() -> None:
    class Tight:
        __slots__ = ()

        async def setup(self) -> None:
            """Do nothing."""

        async def process(self) -> None:
            """Do nothing."""

        async def cleanup(self) -> None:
            """Do nothing."""

    system = System()
    system.register_component("tight", Tight())
    system.register_component("more", Tight())
    with pytest.raises(NotAComponentError, match="name that in its __slots__"):
        system.connect("tight.out", "more.in")


async def test_an_output_is_spread_as_asked(parts: SimpleNamespace) -> None:
    system = System()
    first, second = parts.Collect("first"), parts.Collect("second")
    system.register_component("numbers", parts.Numbers(count=20))
    system.register_component("first", first)
    system.register_component("second", second)
    system.spread("numbers.out", "by_key", key=lambda number: number % 2)
    system.connect("numbers.out", "first.in")
    system.connect("numbers.out", "second.in")
    for _ in range(2):  # the second run has new edges with the same options
        system.components["numbers"].sent = 0
        first.got, second.got = [], []
        report = await system.run()
        assert sorted([*first.got, *second.got]) == list(range(20))
        assert all(len({n % 2 for n in got}) <= 1 for got in (first.got, second.got))
        assert report.ledger.totals.taken_in == 20


async def test_the_summary_counts_the_ports_it_was_told(parts: SimpleNamespace) -> None:
    system = System()
    system.register_component("numbers", parts.Numbers(count=5))
    system.register_component("pass", parts.Pass("pass"))
    system.register_component("sink", parts.Collect())
    system.connect("numbers.out", "pass.in")
    system.connect("pass.out", "sink.in")
    system.summarize(taken_in="pass.out", given_out=["pass.in", "sink.in"], rejected="numbers.out")
    report = await system.run()
    assert str(report.ledger.totals) == "in 5 out 10 rejected 5 lost 0"
    with pytest.raises(UnknownComponentError):
        system.summarize(taken_in="nobody.out")


async def test_an_output_that_is_not_connected_is_warned_of_and_counted(
    parts: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    @component
    def source() -> Any:
        yield from range(3)

    system = System()
    system.add("source", source)
    report = await system.run()
    assert dict(report.ledger.discarded) == {"source.out": 3}
    assert "output is not connected" in caplog.text
