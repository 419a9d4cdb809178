"""The tests that a blueprint holds: what is sent, what is expected, and where each of it stands in the file.

Read by hand like the rest of the blueprint, so that each mistake is told at its place; what the names in
them mean is only known to whoever has built the system.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .blueprint import Complaints, Position, Reference
from .blueprint_tree import Listing, Node, Scalar, Table, plain
from .blueprint_values import Check, describe, duration, reference, text, truth
from .endpoint import did_you_mean


@dataclass(frozen=True, slots=True)
class PortMessages:
    """Messages at one port, in their order.

    Attributes:
        port: As written: ``component.port``, or only the port; None where a bare list was written.
        messages: Plain values.
        position: Where the list stands.
        positions: Where each message stands.
    """

    port: Reference | None
    messages: tuple[Any, ...]
    position: Position = field(default=Position(), compare=False)
    positions: tuple[Position, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Replacement:
    """What takes the place of a component or a resource: a type with its settings, or nothing."""

    name: Reference
    type: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestSpec:
    """A test as written.

    Attributes:
        name: Its name.
        component: The one component it is about; None for the whole graph.
        send: What is sent, by port.
        expect: What has to come, by port; ports that are not named are not looked at.
        dead_letters: How many messages may, and must, fail for good.
        any_order: Whether the messages of a port may come in any order.
        partial: Whether expected tables may leave out keys.
        timeout: Seconds until it is cut off; None where nothing was said.
        config: Settings: of the component, or for the whole graph tables of them by component.
        env: Values of ``${NAME}`` for this test.
        replace: What takes the place of components and resources.
        position: Where its name stands.
        places: Where each of its keys stands.
    """

    __test__: ClassVar[bool] = False  # or pytest takes it for a class of tests

    name: str
    component: Reference | None = None
    send: tuple[PortMessages, ...] = ()
    expect: tuple[PortMessages, ...] = ()
    dead_letters: int = 0
    any_order: bool = False
    partial: bool = False
    timeout: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    replace: tuple[Replacement, ...] = ()
    position: Position = field(default=Position(), compare=False)
    places: Mapping[str, Position] = field(default_factory=dict, compare=False, repr=False)

    def place(self, key: str) -> Position:
        """Return where a key stands, or else the test's name."""
        return self.places.get(key, self.position)


def read_tests(node: Node, complaints: Complaints) -> tuple[TestSpec, ...]:
    """Read the table ``tests`` of a blueprint.

    Args:
        node: The value of the key.
        complaints: Where mistakes go.

    Returns:
        The tests that could be read, in the order of the file.
    """
    entries = _entries(node, "tests", "write 'NAME: {send: ..., expect: ...}' in it", complaints)
    found = (_test(key, value, complaints) for key, value in entries)
    return tuple(test for test in found if test is not None)


def _entries(node: Node, what: str, hint: str, complaints: Complaints) -> Iterator[tuple[Scalar, Node]]:
    if isinstance(node, Table):
        yield from node.entries.values()
    elif not node.flawed:
        complaints.error(node.position, "E104", f"{what} must be a table, not {describe(node)}", hint)


def _test(key: Scalar, node: Node, complaints: Complaints) -> TestSpec | None:
    before = complaints.count
    found: dict[str, Any] = {}
    places: dict[str, Position] = {}
    hint = "write '{send: ..., expect: ...}'"
    for name, value in _entries(node, f"test '{key.text}'", hint, complaints):
        places[name.text] = name.position
        check = _CHECKS.get(name.text)
        if check is None:
            mend = did_you_mean(name.text, _CHECKS) or "known: " + ", ".join(sorted(_CHECKS))
            complaints.error(name.position, "E102", f"unknown key '{name.text}' in a test", mend)
        elif not value.flawed:
            found[name.text] = check(value, name.text, complaints)
    is_sound = complaints.count == before and not node.flawed
    if is_sound and not {"expect", "dead_letters"} & found.keys():
        mend = "add 'expect: {COMPONENT.PORT: [...]}'"
        complaints.error(key.position, "E103", f"test '{key.text}' expects nothing", mend)
    if not is_sound or complaints.count > before:
        return None
    return TestSpec(key.text, position=key.position, places=places, **found)


# --- what the keys take ----------------------------------------------------------------------------


def _ports(node: Node, what: str, complaints: Complaints) -> tuple[PortMessages, ...]:
    if isinstance(node, Listing):
        return (_messages(None, node),)
    hint = f"write '{what}: {{COMPONENT.PORT: [...]}}'"
    found: list[PortMessages] = []
    for key, value in _entries(node, what, hint, complaints):
        if isinstance(value, Listing):
            found.append(_messages(Reference(key.text.strip(), key.position), value))
        else:
            message = f"'{key.text}' takes a list of messages, not {describe(value)}"
            complaints.error(value.position, "E104", message, f"write '{key.text}: [...]'")
    return tuple(found)


def _messages(port: Reference | None, node: Listing) -> PortMessages:
    positions = tuple(item.position for item in node.items)
    return PortMessages(port, tuple(plain(item) for item in node.items), node.position, positions)


def _count(node: Node, what: str, complaints: Complaints) -> int:
    value = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = f"{what} must be a whole number, not {describe(node)}"
        complaints.error(node.position, "E104", message, "write 0 or more")
        return 0
    return value


def _config(node: Node, what: str, complaints: Complaints) -> dict[str, Any]:
    entries = _entries(node, what, "write 'setting: value' in it", complaints)
    return {key.text: plain(value) for key, value in entries}


def _env(node: Node, what: str, complaints: Complaints) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in _entries(node, what, "write 'NAME: value' in it", complaints):
        if isinstance(value, Scalar):
            found[key.text] = value.text
        else:
            message = f"variable '{key.text}' must be a text, not {describe(value)}"
            complaints.error(value.position, "E104", message, "write a text")
    return found


def _replacements(node: Node, what: str, complaints: Complaints) -> tuple[Replacement, ...]:
    entries = _entries(node, what, "write 'NAME: TYPE' in it", complaints)
    return tuple(_replacement(Reference(key.text, key.position), value, complaints) for key, value in entries)


def _replacement(name: Reference, node: Node, complaints: Complaints) -> Replacement:
    if isinstance(node, Scalar):
        is_nothing = node.value is None
        return Replacement(name, None if is_nothing else text(node, f"'{name}'", complaints))
    kind: str | None = None
    config: dict[str, Any] = {}
    for key, value in _entries(node, f"'{name}'", "write a type, or '{type: ..., config: ...}'", complaints):
        if key.text == "type":
            kind = text(value, "type", complaints)
        elif key.text == "config":
            config = _config(value, "config", complaints)
        else:
            hint = did_you_mean(key.text, ("config", "type")) or "known: config, type"
            complaints.error(key.position, "E102", f"unknown key '{key.text}'", hint)
    if kind is None and isinstance(node, Table) and "type" not in node.entries:
        complaints.error(node.position, "E103", f"'{name}' needs the key 'type'", "add 'type: ...'")
    return Replacement(name, kind, config)


_CHECKS: Mapping[str, Check] = {
    "component": reference,
    "send": _ports,
    "expect": _ports,
    "dead_letters": _count,
    "any_order": truth,
    "partial": truth,
    "timeout": duration,
    "config": _config,
    "env": _env,
    "replace": _replacements,
}

__all__ = ["PortMessages", "Replacement", "TestSpec", "read_tests"]
