"""From a tree to a blueprint: which keys there are, what they take, and what is not built yet.

It goes on after a mistake, so that all of them are told at once. Written by hand over literal tables: each
mistake needs the place of its key or value, and what is right must survive what is wrong beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeGuard

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
    ReplicasSpec,
    ResourceSpec,
    SummarySpec,
)
from .blueprint_keys import (
    BLUEPRINT,
    COMPONENT,
    CONNECTION,
    DEFAULTS,
    OUTPUT,
    PORT,
    REPLICAS,
    RESOURCE,
    SUMMARY,
)
from .blueprint_table import TableReader
from .blueprint_tests import read_tests
from .blueprint_tree import Listing, Node, Scalar, Table, plain
from .blueprint_values import describe, whole_number
from .endpoint import parse_endpoint

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
    if not is_table_of_keys(root, complaints):
        return None
    return read_table(root, complaints, file=file, directory=directory)


def read_table(
    root: Table, complaints: Complaints, *, file: str = "", directory: str | None = None
) -> Blueprint:
    """Read a blueprint from its table, as far as it can be read; the arguments are those of ``read_tree``."""
    reader = _Reader(complaints)
    found = reader.table(root, BLUEPRINT)
    said = reader.checked(found, BLUEPRINT.checks)
    components = tuple(reader.components(found["components"])) if "components" in found else ()
    names = frozenset(spec.name for spec in components)
    connections = tuple(reader.connections(found.get("connections"), names))
    return Blueprint(
        name=said.get("system") or "system",
        components=components,
        connections=connections,
        defaults=reader.defaults(found.get("defaults")),
        strategy=said.get("strategy"),
        summary=_summary(reader.options(found.get("summary"), SUMMARY)),
        resources=tuple(reader.resources(found.get("resources"))),
        ports=reader.ports(found.get("ports")),
        tests=read_tests(found["tests"], complaints) if "tests" in found else (),
        file=file,
        directory=directory,
        position=found["system"].position if "system" in found else root.position,
        sources=complaints.sources,
        has_gaps=reader.has_gaps,
    )


def is_table_of_keys(root: Node, complaints: Complaints) -> TypeGuard[Table]:
    """Return whether a tree can be a blueprint, or a file merged into one; else complain."""
    if isinstance(root, Table):
        return True
    hint = "begin with 'system: NAME' and 'components:'"
    if isinstance(root, Scalar) and root.value is None:
        complaints.error(Position(root.position.file), "E114", "the file is empty", hint)
    else:
        complaints.error(root.position, "E104", f"a blueprint is a table of keys, not {describe(root)}", hint)
    return False


def _summary(found: Mapping[str, Any]) -> SummarySpec:
    return SummarySpec(found.get("in"), found.get("out"), found.get("rejected"))


class _Reader(TableReader):
    def __init__(self, complaints: Complaints) -> None:
        super().__init__(complaints)
        self.has_gaps = False

    # --- components ----------------------------------------------------------------------------------

    def components(self, node: Node) -> Iterator[ComponentSpec]:
        """Read the table of components."""
        if not self.is_table(node, "components", "write 'NAME: {type: ...}' in it"):
            return
        if not node.entries:
            self.complaints.error(
                node.position, "E104", "there are no components", "write 'NAME: {type: ...}'"
            )
        for key, value in node.entries.values():
            yield self._component(key, value)

    def defaults(self, node: Node | None) -> Defaults:
        """Read what holds where nothing else is said."""
        if node is None or not self.is_table(node, DEFAULTS.what):
            return Defaults()
        found = self.table(node, DEFAULTS)
        return Defaults(**self.checked(found, DEFAULTS.checks), restart=self.restart(found.get("restart")))

    def _component(self, key: Scalar, node: Node) -> ComponentSpec:
        before = self.complaints.count
        position = key.position
        written = node.text if isinstance(node, Scalar) and node.text else "..."
        if not self.is_table(node, f"component '{key.text}'", f"write '{{type: {written}}}'"):
            return ComponentSpec(key.text, position=position, broken=True)
        found = self.table(node, COMPONENT)
        simple = self.checked(found, COMPONENT.checks)
        outputs = self._outputs(found.get("outputs"), "outputs")
        inputs = self._outputs(found.get("inputs"), "inputs")
        replicas = self._replicas(found.get("replicas"))
        restart = self.restart(found.get("restart"))
        return ComponentSpec(
            name=key.text,
            type=simple.pop("type", None) or "",
            config=self._config(found.get("config")),
            outputs=outputs,
            replicas=replicas,
            inputs=inputs,
            restart=restart,
            position=position,
            places=dict(_places_of(node, found)),
            broken=node.flawed or self.complaints.count > before,
            **simple,
        )

    # --- resources and ports -------------------------------------------------------------------------

    def resources(self, node: Node | None) -> Iterator[ResourceSpec]:
        """Read the table of resources; a text is the type of one without settings."""
        if node is None or not self.is_table(node, "resources", "write 'NAME: {type: ...}' in it"):
            return
        for key, value in node.entries.values():
            yield self._resource(key, value)

    def _resource(self, key: Scalar, node: Node) -> ResourceSpec:
        before = self.complaints.count
        if isinstance(node, Scalar) and isinstance(node.value, str):
            said = self.checked({"type": node}, RESOURCE.checks)
            places = {"type": node.position}
            config: dict[str, Any] = {}
        elif self.is_table(node, f"resource '{key.text}'", "write '{type: \"module:name\"}'"):
            found = self.table(node, RESOURCE)
            said = self.checked(found, RESOURCE.checks)
            places = dict(_places_of(node, found))
            config = self._config(found.get("config"))
        else:
            return ResourceSpec(key.text, position=key.position, broken=True)
        broken = node.flawed or self.complaints.count > before
        kind = said.get("type") or ""
        return ResourceSpec(key.text, kind, config, position=key.position, places=places, broken=broken)

    def ports(self, node: Node | None) -> dict[str, Reference]:
        """Read the ports that a blueprint has as a component: an own name for each inner port."""
        if node is None or not self.is_table(node, "ports", "write 'PORT: component.port' in it"):
            return {}
        entries = {name: value for name, (_, value) in node.entries.items()}
        found = self.checked(entries, dict.fromkeys(entries, PORT))
        ends = {name: self._inner_port(end) for name, end in found.items()}
        return {name: end for name, end in ends.items() if end is not None}

    def _inner_port(self, part: Reference | None) -> Reference | None:
        end = self._endpoint(part)
        if end is None or parse_endpoint(end.text).port:
            return end
        hint = f"write '{end}.in', '{end}.out' or another port of it"
        self.complaints.error(end.position, "E220", f"'{end}' does not say which port", hint)
        return None

    # --- settings and outputs ------------------------------------------------------------------------

    def _config(self, node: Node | None) -> dict[str, Any]:
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return {}
        if not self.is_table(node, "config", "write 'setting: value' in it"):
            return {}
        return {name: plain(value) for name, (_, value) in node.entries.items()}

    def _outputs(self, node: Node | None, what: str) -> dict[str, OutputSpec]:
        if node is None or not self.is_table(node, what, "write 'PORT: {fan_out: ...}' in it"):
            return {}
        return {name: self._output(key, value) for name, (key, value) in node.entries.items()}

    def _output(self, key: Scalar, node: Node) -> OutputSpec:
        before = self.complaints.count
        found = self.options(node, OUTPUT)
        output = OutputSpec(found.get("fan_out", "broadcast"), found.get("key", ()), key.position)
        if node.flawed or self.complaints.count > before:
            return output
        if output.fan_out == "by_key" and not output.key:
            self.complaints.error(key.position, "E103", "'fan_out: by_key' needs a key", "add 'key: FIELD'")
        elif output.fan_out != "by_key" and output.key:
            message = f"'fan_out: {output.fan_out}' takes no key"
            self.complaints.error(key.position, "E104", message, "write 'fan_out: by_key'")
        return output

    def _replicas(self, node: Node | None) -> ReplicasSpec | None:
        """Read a number of replicas, or a table with that number and the key they are chosen by."""
        if node is None:
            return None
        if isinstance(node, Table):
            found = self.options(node, REPLICAS)
        else:
            found = self.checked({"replicas": node}, {"replicas": whole_number})
        count = found.get("count", found.get("replicas"))
        return None if count is None else ReplicasSpec(count, found.get("key") or ())

    # --- connections -----------------------------------------------------------------------------------

    def connections(self, node: Node | None, components: frozenset[str]) -> Iterator[ConnectionSpec]:
        """Read the list of connections; ``has_gaps`` tells whether one had to be left out."""
        if node is None:
            return
        for item in self._listed(node):
            if isinstance(item, Table):
                yield from self._long(item)
            elif item.flawed or not self.is_open(item, "a connection"):
                self.has_gaps = True
            elif isinstance(item, Scalar) and isinstance(item.value, str):
                yield from self._chain(item, components)
            else:
                message = f"a connection is a text or a table, not {describe(item)}"
                self.complaints.error(item.position, "E120", message, _CHAIN_HINT)
                self.has_gaps = True

    def _listed(self, node: Node) -> tuple[Node, ...]:
        if isinstance(node, Listing):
            return node.items
        self.has_gaps = True
        if not node.flawed:
            message = f"connections must be a list, not {describe(node)}"
            self.complaints.error(node.position, "E104", message, "write '- sender -> receiver'")
        return ()

    def _long(self, node: Table) -> Iterator[ConnectionSpec]:
        options = self.checked(self.table(node, CONNECTION), CONNECTION.checks)
        sender, receiver = (self._endpoint(options.pop(name, None)) for name in ("from", "to"))
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
        """Check a part in the middle of a chain: its name alone stands for where it receives and sends."""
        if part is None or "." not in part.text or part.text in components:
            return part
        message = (
            f"'{part}' names a port in the middle of a chain, where a component's name alone means its only "
            "input and its only output ('rejected' does not count)"
        )
        alone = parse_endpoint(part.text).component
        hint = f"write '{alone}', or two connections if it has several"
        self.complaints.error(part.position, "E120", message, hint)
        return None

    def _endpoint(self, part: Reference | None) -> Reference | None:
        try:
            parse_endpoint("" if part is None else part.text)
        except InvalidEndpointError as error:
            if part is not None:
                self.complaints.error(part.position, error.code, error.message, error.hint)
            return None
        return part


def _places_of(node: Table, found: Mapping[str, Node]) -> Iterator[tuple[str, Position]]:
    """Yield where the keys of a component or a resource stand, and its settings; of its type, the value."""
    for name, (key, value) in node.entries.items():
        yield name, value.position if name == "type" else key.position
    for name in ("config", "outputs", "inputs", "restart"):
        if name in found:
            yield from _places(found[name], name)


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


__all__ = ["is_table_of_keys", "read_table", "read_tree"]
