"""From a tree to a blueprint: which keys there are, what they take, and what is not built yet.

It goes on after a mistake, so that all of them are told at once. Written by hand over literal tables: each
mistake needs the place of its key or value, and what is right must survive what is wrong beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeGuard, get_args

from headrace.exceptions import InvalidEndpointError

from .blueprint import (
    Blueprint,
    Complaints,
    ComponentSpec,
    ConnectionSpec,
    Defaults,
    OutputSpec,
    Position,
    Reference,
    SummarySpec,
)
from .blueprint_tree import Listing, Node, Scalar, Table, plain
from .blueprint_values import (
    Check,
    describe,
    duration,
    duration_or_zero,
    key_fields,
    one_of,
    reference,
    references,
    text,
    truth,
    whole_number,
)
from .endpoint import did_you_mean, parse_endpoint
from .options import FanOut, OnError, WhenFull

_MESSAGE_POLICY: Mapping[str, Check] = {
    "attempts": whole_number,
    "on_error": one_of(get_args(OnError)),
    "backoff": duration_or_zero,
}
_DEFAULTS: Mapping[str, Check] = {
    "buffer_size": whole_number,
    "setup_timeout": duration,
    "cleanup_timeout": duration,
    "shutdown_timeout": duration,
    "source_grace": duration,
    "dead_letter_limit": whole_number,
    **_MESSAGE_POLICY,
}
_EDGE: Mapping[str, Check] = {
    "buffer_size": whole_number,
    "when_full": one_of(get_args(WhenFull)),
    "copy": truth,
}
_OUTPUT: Mapping[str, Check] = {"fan_out": one_of(get_args(FanOut)), "key": key_fields}
_SUMMARY: Mapping[str, Check] = {"in": references, "out": references, "rejected": references}
_SYSTEM = ("system", "defaults", "components", "connections", "summary")
_COMPONENT = ("type", "config", "outputs", *_MESSAGE_POLICY)
_CONNECTION = ("from", "to", *_EDGE)

# Keys of the full design that do not work yet: what they may say because it is so anyway, and the mend.
_NOT_BUILT: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "restart": (("never", {"when": "never"}), "write 'restart: never': a crash drains and fails the system"),
    "durable": ((False,), "leave it out: edges are kept in memory"),
    "durability": ((), "leave it out: edges are kept in memory"),
    "concurrency": ((1,), "leave it out: a component works on one message at a time"),
    "replicas": ((1,), "leave it out, and share the work among components with 'fan_out: balance'"),
    "run_in": ((), "leave it out, and call anyio.to_thread inside the component"),
    "resources": ((), "leave it out, and open what is needed in the component's setup()"),
    "placement": ((), "leave it out: a system runs in one process"),
    "engine": (("memory",), "leave it out: a system runs in one process"),
    "ack": (("auto",), "leave it out: the next receive acknowledges"),
    "tests": ((), "leave it out, and test with pytest"),
}
_PLACES_NOT_BUILT: Mapping[str, frozenset[str]] = {
    "a blueprint": frozenset(
        {"resources", "placement", "engine", "restart", "durability", "durable", "tests"}
    ),
    "defaults": frozenset({"restart", "durable", "durability", "concurrency", "replicas", "run_in"}),
    "a component": frozenset(
        {"restart", "concurrency", "replicas", "run_in", "placement", "resources", "durable"}
    ),
    "a connection": frozenset({"durable", "ack", "placement"}),
    "an output": frozenset(),
    "summary": frozenset(),
}
_CHAIN_HINT = "write 'sender -> receiver', each 'component' or 'component.port'"


def read_tree(
    root: Node, complaints: Complaints, *, file: str = "", directory: str | None = None
) -> Blueprint | None:
    """Read a blueprint from its tree.

    Args:
        root: The tree.
        complaints: Where mistakes go.
        file: The file's name, as it was given.
        directory: The folder whose modules may be used as component types.

    Returns:
        The blueprint, as far as it could be read; None where the whole is not one.
    """
    if not isinstance(root, Table):
        hint = "begin with 'system: NAME' and 'components:'"
        complaints.error(root.position, "E104", f"a blueprint is a table of keys, not {describe(root)}", hint)
        return None
    reader = _Reader(complaints)
    found = reader.table(root, "a blueprint", _SYSTEM, required=("system", "components"))
    name = reader.checked(found, {"system": text}).get("system")
    components = tuple(reader.components(found["components"])) if "components" in found else ()
    names = frozenset(spec.name for spec in components)
    connections = tuple(reader.connections(found.get("connections"), names))
    return Blueprint(
        name=name or "system",
        components=components,
        connections=connections,
        defaults=Defaults(**reader.options(found.get("defaults"), "defaults", _DEFAULTS)),
        summary=_summary(reader.options(found.get("summary"), "summary", _SUMMARY)),
        file=file,
        directory=directory,
        position=found["system"].position if "system" in found else root.position,
        lines=complaints.lines,
        has_gaps=reader.has_gaps,
    )


def _summary(found: Mapping[str, Any]) -> SummarySpec:
    return SummarySpec(found.get("in"), found.get("out"), found.get("rejected"))


class _Reader:
    def __init__(self, complaints: Complaints) -> None:
        self.complaints = complaints
        self.has_gaps = False

    # --- tables ------------------------------------------------------------------------------------

    def table(
        self, node: Table, what: str, known: tuple[str, ...], *, required: tuple[str, ...] = ()
    ) -> dict[str, Node]:
        """Return the values of the known keys; complain about the others and about what is missing."""
        found: dict[str, Node] = {}
        hints: set[str] = set()
        for name, (key, value) in node.entries.items():
            if name in known:
                found[name] = value
            elif name in _PLACES_NOT_BUILT[what]:
                self._not_built(key, value)
            else:
                hint = did_you_mean(name, known) or "known: " + ", ".join(sorted(known))
                self.complaints.error(key.position, "E102", f"unknown key '{name}'", hint)
                hints.add(hint)
        for name in required:
            if name not in node.entries and f"did you mean '{name}'?" not in hints:
                hint = f"add '{name}: ...'"
                self.complaints.error(node.position, "E103", f"{what} needs the key '{name}'", hint)
        return found

    def _not_built(self, key: Scalar, value: Node) -> None:
        neutral, mend = _NOT_BUILT[key.text]
        said = plain(value)
        if not any(said == allowed and type(said) is type(allowed) for allowed in neutral):
            self.complaints.error(key.position, "E110", f"'{key.text}' is not built yet", mend)

    def options(self, node: Node | None, what: str, checks: Mapping[str, Check]) -> dict[str, Any]:
        """Read a table whose keys all have a check."""
        if node is None or not self._is_table(node, what):
            return {}
        return self.checked(self.table(node, what, tuple(checks)), checks)

    def checked(self, found: Mapping[str, Node], checks: Mapping[str, Check]) -> dict[str, Any]:
        """Return what the checks make of the keys they know."""
        return {
            name: checks[name](node, name, self.complaints)
            for name, node in found.items()
            if name in checks and not node.flawed
        }

    def _is_table(self, node: Node, what: str, hint: str = "") -> TypeGuard[Table]:
        if isinstance(node, Table):
            return True
        if node.flawed:
            return False
        message = f"{what} must be a table, not {describe(node)}"
        self.complaints.error(node.position, "E104", message, hint or "write 'key: value' in it")
        return False

    # --- components ----------------------------------------------------------------------------------

    def components(self, node: Node) -> Iterator[ComponentSpec]:
        """Read the table of components."""
        if not self._is_table(node, "components", "write 'NAME: {type: ...}' in it"):
            return
        if not node.entries:
            self.complaints.error(
                node.position, "E104", "there are no components", "write 'NAME: {type: ...}'"
            )
        for key, value in node.entries.values():
            yield self._component(key, value)

    def _component(self, key: Scalar, node: Node) -> ComponentSpec:
        before = self.complaints.count
        position = key.position
        written = node.text if isinstance(node, Scalar) and node.text else "..."
        if not self._is_table(node, f"component '{key.text}'", f"write '{{type: {written}}}'"):
            return ComponentSpec(key.text, position=position, broken=True)
        found = self.table(node, "a component", _COMPONENT, required=("type",))
        simple = self.checked(found, {"type": text, **_MESSAGE_POLICY})
        config = self._config(found.get("config"))
        outputs = self._outputs(found.get("outputs"))
        places = {name: entry[0].position for name, entry in node.entries.items()}
        if "type" in found:
            places["type"] = found["type"].position
        for name in ("config", "outputs"):
            if name in found:
                places.update(_places(found[name], name))
        broken = node.flawed or self.complaints.count > before
        return ComponentSpec(
            name=key.text,
            type=simple.pop("type", None) or "",
            config=config,
            outputs=outputs,
            position=position,
            places=places,
            broken=broken,
            **simple,
        )

    def _config(self, node: Node | None) -> dict[str, Any]:
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return {}
        if not self._is_table(node, "config", "write 'setting: value' in it"):
            return {}
        return {name: plain(value) for name, (_, value) in node.entries.items()}

    def _outputs(self, node: Node | None) -> dict[str, OutputSpec]:
        if node is None or not self._is_table(node, "outputs", "write 'PORT: {fan_out: ...}' in it"):
            return {}
        return {name: self._output(key, value) for name, (key, value) in node.entries.items()}

    def _output(self, key: Scalar, node: Node) -> OutputSpec:
        before = self.complaints.count
        found = self.options(node, "an output", _OUTPUT)
        output = OutputSpec(found.get("fan_out", "broadcast"), found.get("key", ()), key.position)
        if node.flawed or self.complaints.count > before:
            return output
        if output.fan_out == "by_key" and not output.key:
            self.complaints.error(key.position, "E103", "'fan_out: by_key' needs a key", "add 'key: FIELD'")
        elif output.fan_out != "by_key" and output.key:
            message = f"'fan_out: {output.fan_out}' takes no key"
            self.complaints.error(key.position, "E104", message, "write 'fan_out: by_key'")
        return output

    # --- connections -----------------------------------------------------------------------------------

    def connections(self, node: Node | None, components: frozenset[str]) -> Iterator[ConnectionSpec]:
        """Read the list of connections; ``has_gaps`` tells whether one had to be left out."""
        if node is None:
            return
        if not isinstance(node, Listing):
            self.has_gaps = True
            if node.flawed:
                return
            message = f"connections must be a list, not {describe(node)}"
            self.complaints.error(node.position, "E104", message, "write '- sender -> receiver'")
            return
        for item in node.items:
            if isinstance(item, Table):
                yield from self._long(item)
            elif item.flawed:
                self.has_gaps = True
            elif isinstance(item, Scalar) and isinstance(item.value, str):
                yield from self._chain(item, components)
            else:
                message = f"a connection is a text or a table, not {describe(item)}"
                self.complaints.error(item.position, "E120", message, _CHAIN_HINT)
                self.has_gaps = True

    def _long(self, node: Table) -> Iterator[ConnectionSpec]:
        found = self.table(node, "a connection", _CONNECTION, required=("from", "to"))
        options = self.checked(found, _EDGE)
        ends = self.checked(found, {"from": reference, "to": reference})
        sender, receiver = (self._endpoint(ends.get(name)) for name in ("from", "to"))
        if sender is None or receiver is None:
            self.has_gaps = True
        else:
            yield ConnectionSpec(sender, receiver, **options)

    def _chain(self, node: Scalar, components: frozenset[str]) -> Iterator[ConnectionSpec]:
        pieces = node.text.split("->")
        parts: list[Reference | None] = []
        index = 0
        for number, piece in enumerate(pieces):
            place = node.place_of(index + len(piece) - len(piece.lstrip()))
            part = self._part(Reference(piece.strip(), place), len(pieces))
            parts.append(self._inner(part, components) if 0 < number < len(pieces) - 1 else part)
            index += len(piece) + len("->")
        self.has_gaps = self.has_gaps or None in parts
        for sender, receiver in pairwise(parts):
            if sender is not None and receiver is not None:
                yield ConnectionSpec(sender, receiver)

    def _part(self, part: Reference, parts: int) -> Reference | None:
        if parts > 1 and part.text:
            return self._endpoint(part)
        message = "a connection lacks one of its ends" if parts > 1 else f"'{part}' is not a connection"
        self.complaints.error(part.position, "E120", message, _CHAIN_HINT)
        return None

    def _inner(self, part: Reference | None, components: frozenset[str]) -> Reference | None:
        """Check a part in the middle of a chain: it is received by and sent from, so it has no one port."""
        if part is None or part.text in components or not parse_endpoint(part.text).port:
            return part
        message = f"'{part}' stands in the middle of a chain, where a component has no port"
        self.complaints.error(part.position, "E120", message, "write two connections")
        return None

    def _endpoint(self, part: Reference | None) -> Reference | None:
        try:
            parse_endpoint("" if part is None else part.text)
        except InvalidEndpointError as error:
            if part is not None:
                self.complaints.error(part.position, error.code, error.message, error.hint)
            return None
        return part


def _places(node: Node, prefix: str) -> Iterator[tuple[str, Position]]:
    """Yield where every key and item below a node stands, by dotted name."""
    if isinstance(node, Table):
        for name, (key, value) in node.entries.items():
            yield f"{prefix}.{name}", key.position
            yield from _places(value, f"{prefix}.{name}")
    elif isinstance(node, Listing):
        for number, item in enumerate(node.items):
            yield f"{prefix}[{number}]", item.position
            yield from _places(item, f"{prefix}[{number}]")


__all__ = ["read_tree"]
