"""Annotations as types: local names, forward references, names for type checkers, and what is told of the rest."""

from __future__ import annotations

import collections.abc
import decimal
import sys
import typing
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from headrace.authoring.annotations import hints_of_class, hints_of_function, read_function
from headrace.authoring.function_component import component
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out, ports_of
from headrace.authoring.type_checking_names import names_for_type_checkers
from headrace.exceptions import PortTypeError
from headrace.runtime.system_execution_harness import System

if TYPE_CHECKING:
    import collections.abc as collection_types
    import xml.dom.minidom  # noqa: F401
    from decimal import (
        Decimal,
        Nothing_such,  # type: ignore[attr-defined]
    )
    from decimal import Decimal as Number

    import far.away  # type: ignore[import-not-found]
    import far.away as distant
    from never_there import Hidden  # type: ignore[import-not-found]

    from .....beyond import Beyond  # type: ignore[import-not-found]  # noqa: F401, TID252

    assert Decimal


class Typed(HarnessComponent):
    price: In[Number]
    prices: In[list[Decimal]] | None
    many: In[collection_types.Sequence[int]]
    out: Out[Decimal]


class HalfKnown(HarnessComponent):
    in_: In[Hidden]
    far: In[distant.Thing]
    away: In[far.away.Thing]
    twice: Out[dict[Hidden, Nothing_such]]
    text: Out["list[Wrong]"]  # noqa: F821, UP037
    pool: Hidden


class Child(HalfKnown):
    in_: In[int]


def types_of(table: Any) -> dict[str, Any]:
    """Return the types of all ports by name."""
    return {
        name: port.type for ports in (table.inputs, table.outputs) for name, port in (ports or {}).items()
    }


# --- names for type checkers ----------------------------------------------------------------------


def test_a_name_that_only_type_checkers_import_is_found_where_others_have_imported_it() -> None:
    assert types_of(ports_of(Typed)) == {
        "price": decimal.Decimal,
        "prices": list[decimal.Decimal],
        "many": collections.abc.Sequence[int],
        "out": decimal.Decimal,
    }
    assert ports_of(Typed).unresolved == ()


def test_each_port_whose_type_cannot_be_resolved_is_told_with_the_reason_and_the_mend() -> None:
    only = "only type checkers import it, from"
    mend = "it is not checked. Import it at run time too"
    assert ports_of(HalfKnown).unresolved == (
        f"the type 'Hidden' of port 'in' cannot be resolved ({only} never_there); {mend}",
        f"the type 'distant' of port 'far' cannot be resolved ({only} far.away); {mend}",
        f"the type 'far' of port 'away' cannot be resolved ({only} far); {mend}",
        f"the type 'Hidden' of port 'twice' cannot be resolved ({only} never_there); {mend}",
        f"the type 'Nothing_such' of port 'twice' cannot be resolved ({only} decimal); {mend}",
        "the type 'Wrong' of port 'text' cannot be resolved (nothing of that name is there at run time); "
        "it is not checked. Define or import it at module level",
    )


def test_a_port_that_is_declared_anew_is_not_told_any_more() -> None:
    assert not any("'in'" in sentence for sentence in ports_of(Child).unresolved)
    assert types_of(ports_of(Child))["in"] is int


def test_the_names_for_type_checkers_are_read_from_the_source_and_nothing_is_imported() -> None:
    names = names_for_type_checkers(__name__)
    assert dict(names.sources) == {
        "collection_types": "collections.abc",
        "xml": "xml",
        "Decimal": "decimal",
        "Number": "decimal",
        "Nothing_such": "decimal",
        "far": "far",
        "distant": "far.away",
        "Hidden": "never_there",
    }
    assert (
        {"Decimal", "Number", "collection_types"}
        <= set(names.found())
        <= {*names.sources} - {"Hidden", "far"}
    )
    assert "never_there" not in sys.modules


def test_a_module_without_a_source_has_no_names_for_type_checkers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    for module in ("made_up", "sys", "not_there_at_all"):
        assert names_for_type_checkers(module).found() == {}


# --- local names ----------------------------------------------------------------------------------


def test_types_that_are_local_to_the_function_that_wires_are_checked() -> None:
    class Reading: ...

    class Other: ...

    class Source(HarnessComponent):
        out: Out[Reading]

    class Sink(HarnessComponent):
        in_: In[Other]
        good: In[Reading]

    @component
    def same(reading: Reading) -> Reading:
        return reading

    system = System()
    source, sink, between = system.add("source", Source), system.add("sink", Sink), system.add("same", same)
    system.connect(source.out, between.in_)
    system.connect(between.out, sink.good)
    with pytest.raises(PortTypeError, match=r"source\.out: Reading -> sink\.in: Other"):
        system.connect("source.out", "sink.in")
    assert all(member.ports.unresolved == () for member in system.wiring.members.values())


def make_parts() -> tuple[Any, ...]:
    class Reading: ...

    class Lost(HarnessComponent):
        out: Out[Reading]

    class Kept(HarnessComponent):
        out: Out[Reading]

        async def process(self) -> None:
            await self.out.send(Reading())

    def uses(reading: Reading) -> Reading:
        return Reading()

    def unused(reading: Reading) -> None: ...

    return Lost, Kept, component(uses), unused, Reading


def test_a_local_type_is_found_by_what_the_code_keeps_of_it() -> None:
    _, kept, uses, _, reading = make_parts()
    assert types_of(ports_of(kept)) == {"out": reading}
    assert types_of(uses.port_table)["in"] is reading
    assert hints_of_function(uses.fn) == {"reading": reading, "return": reading}


def test_a_local_type_that_is_gone_is_explained() -> None:
    lost, _, _, unused, _ = make_parts()
    why = "cannot be resolved (it is local to make_parts()); it is not checked. Define it at module level"
    assert ports_of(lost).unresolved == (f"the type 'Reading' of port 'out' {why}",)
    assert component(unused).port_table.unresolved == (f"the type 'Reading' of port 'in' {why}",)


def test_a_local_type_hides_one_of_the_module() -> None:
    class Typed: ...

    class Source(HarnessComponent):
        out: Out[Typed]

    assert types_of(ports_of(Source)) == {"out": Typed}


def test_names_of_every_function_around_are_known() -> None:
    class Outer: ...

    def inner() -> Any:
        class Middle: ...

        class Part(HarnessComponent):
            in_: In[Outer]
            out: Out[Middle]

        return ports_of(Part), Middle

    table, middle = inner()
    assert types_of(table) == {"in": Outer, "out": middle}


def test_a_name_that_is_not_assigned_yet_is_unknown_until_it_is() -> None:
    def uses(reading: Late) -> Late:
        return Late()

    function = component(uses)
    assert len(function._port_table.unresolved) == 2

    class Late: ...

    assert {types_of(function.port_table)[name] for name in ("in", "out")} == {Late}
    assert function.port_table.unresolved == ()


# --- forward references and oddities --------------------------------------------------------------


@component
def early(item: Later) -> list[Later]:
    return [item]


class Later: ...


def test_a_type_that_is_defined_further_down_is_resolved_when_it_is_needed() -> None:
    assert types_of(early.port_table)["out"] == list[Later]
    assert early.port_table.unresolved == ()


def test_a_function_without_a_name_or_module_is_read_all_the_same() -> None:
    class Callable:
        __annotations__: typing.ClassVar[Any] = {"item": "int", "other": "Nowhere"}

    hints = read_function(Callable())
    assert hints.types["item"] is int
    assert hints.unresolved == {"other": ("Nowhere",)}


def test_an_annotation_that_is_no_text_is_left_as_it_is() -> None:
    odd = type("Odd", (), {"__annotations__": {"a": In["Nowhere"], "b": 5, "c": "1 / 0", "d": "no python"}})
    hints = hints_of_class(odd, {})
    assert (hints["b"], hints["c"], hints["d"]) == (5, Any, Any)
    told = ports_of(odd).unresolved
    assert len(told) == 1
    assert "'Nowhere' of port 'a'" in told[0]


def test_a_class_whose_module_is_gone_is_read_all_the_same() -> None:
    part = type(
        "Part", (), {"__module__": "not_there_at_all", "__annotations__": {"a": "int", "b": "Nowhere"}}
    )
    assert hints_of_class(part, {})["a"] is int
    assert str(hints_of_class(part, {})["b"]) == "Any"
