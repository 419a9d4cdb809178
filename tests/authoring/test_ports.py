"""Ports as annotations: names, optional ones, inheritance, and names only a type checker sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Optional

import pytest

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out, ports_of
from headrace.model.message import Rejected
from headrace.model.port import Port, PortTable

if TYPE_CHECKING:
    import nowhere
    from nowhere import Hidden


class Plain(HarnessComponent):
    in_: In[bytes]
    out: Out[int]
    count: int
    limit: ClassVar[int] = 5

    async def process(self) -> None: ...


class Optionals(HarnessComponent):
    side: In[int] | None
    other: Optional[In[str]]  # noqa: UP045
    anything: In
    noted: Annotated[In[int], "from the sensor"]
    two: In[int] | Out[int]
    rejected: Out[Rejected[bytes]]
    spare: Out[int] | None


class Child(Plain):
    out: Out[str]
    more: Out[float]


class HalfKnown(HarnessComponent):
    in_: In[Hidden]
    many: In[list[Hidden]] | None
    far: In[nowhere.far.Thing[int]]
    either: In[Hidden | int]
    flipped: In[int | Hidden]
    pool: Hidden
    broken: "In[int"  # type: ignore[syntax]  # noqa: F722
    out: Out[int]


class Quoted(HarnessComponent):
    out: "Out[int]"  # noqa: UP037
    inner: Out["Later"]  # noqa: UP037


class Later:
    pass


def test_a_trailing_underscore_is_not_part_of_the_name() -> None:
    table = ports_of(Plain("plain"))
    assert table.inputs == {"in": Port("in", bytes, False, "in_")}
    assert table.outputs == {"out": Port("out", int, False, "out")}
    assert table.where.startswith(__file__)


def test_a_class_and_its_object_declare_the_same() -> None:
    assert ports_of(Plain) == ports_of(Plain("plain"))


def test_a_port_with_none_is_optional_and_so_is_rejected() -> None:
    table = ports_of(Optionals)
    assert table.inputs == {
        "side": Port("side", int, True, "side"),
        "other": Port("other", str, True, "other"),
        "anything": Port("anything", Any, False, "anything"),
        "noted": Port("noted", int, False, "noted"),
    }
    assert table.outputs == {
        "rejected": Port("rejected", Rejected[bytes], True, "rejected"),
        "spare": Port("spare", int, True, "spare"),
    }


def test_ports_are_inherited_and_may_be_declared_anew() -> None:
    table = ports_of(Child)
    assert table.inputs == ports_of(Plain).inputs
    assert table.outputs == {
        "out": Port("out", str, False, "out"),
        "more": Port("more", float, False, "more"),
    }


def test_a_direction_that_declares_nothing_takes_any_name() -> None:
    assert ports_of(HarnessComponent) == PortTable(None, None)
    assert ports_of(object()) == PortTable(None, None)
    assert ports_of(object()).where == ""


def test_a_name_that_only_a_type_checker_sees_hides_nothing_else() -> None:
    table = ports_of(HalfKnown)
    assert table.inputs is not None
    assert list(table.inputs) == ["in", "many", "far", "either", "flipped"]
    assert table.inputs["many"].optional
    assert {str(port.type) for port in table.inputs.values()} == {"Any", "list[Any]"}
    assert table.outputs == {"out": Port("out", int, False, "out")}


def test_types_written_as_text_are_resolved() -> None:
    outputs = ports_of(Quoted).outputs
    assert outputs is not None
    assert outputs["out"].type is int
    assert outputs["inner"].type is Later


def test_directions_that_only_a_type_checker_imports_are_known_all_the_same() -> None:
    namespace: dict[str, Any] = {"__name__": "typed_only", "HarnessComponent": HarnessComponent}
    code = "from __future__ import annotations\nclass Lazy(HarnessComponent):\n    in_: In[int]\n    out: Out[X]\n"
    exec(code, namespace)
    table = ports_of(namespace["Lazy"])
    assert table.inputs == {"in": Port("in", int, False, "in_")}
    assert list(table.outputs or ()) == ["out"]


def test_annotations_that_are_no_text_are_taken_as_they_are() -> None:
    annotations = {"in_": In[int], "odd": 5, "more": In["Nowhere"], "zero": "1 / 0"}
    odd = type("Odd", (HarnessComponent,), {"__annotations__": annotations})
    assert list(ports_of(odd).inputs or ()) == ["in", "more"]


def test_a_component_may_bring_its_own_table() -> None:
    part = HarnessComponent("part")
    own = part.port_table = PortTable({}, {})  # type: ignore[attr-defined]
    assert ports_of(part) is own
    part.port_table = "something else"  # type: ignore[attr-defined]
    assert ports_of(part) == PortTable(None, None)


@pytest.mark.parametrize("protocol", [In, Out])
def test_a_direction_is_only_a_description(protocol: Any) -> None:
    with pytest.raises(TypeError, match="Protocols cannot be instantiated"):
        protocol()
