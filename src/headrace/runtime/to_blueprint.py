"""A system built in Python as a blueprint: the text from which the same system can be built.

Only what has a name to import it by can be written; all that has none is told in one error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.authoring.function_component import ComponentFunction, FunctionComponent
from headrace.exceptions import HeadraceError, InvalidEndpointError, NotSerializableSystemError
from headrace.model.blueprint import FieldKey
from headrace.model.blueprint_keys import MESSAGE_POLICY
from headrace.model.blueprint_writer import find_unwritable, write_yaml
from headrace.model.endpoint import Endpoint, parse_endpoint
from headrace.model.options import (
    DEFAULT_BUFFER_SIZE,
    DEFAULT_MAX_UNACKED,
    Attempts,
    EdgeOptions,
    KeyFn,
    OutputOptions,
    Timeouts,
    Watching,
)
from headrace.model.restart_policy import NEVER, RestartPolicy
from headrace.model.settings import convert_settings

from .blueprint_files import MAX_BYTES
from .dead_letters import DeadLetterStore
from .member import own_acks, own_restart
from .resources import ResourceSpec
from .type_names import TypeNames, settings_type_of, why_nameless
from .wiring import Connection, Member

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness

_SETTING_DEPTH = 4  # the tables around a setting: the blueprint, its components, the component, its config


def to_yaml(harness: SystemExecutionHarness) -> str:
    """Return a system as the text of a blueprint.

    Args:
        harness: The system.

    Raises:
        NotSerializableSystemError: Something in it cannot be written; all of it is in ``problems``.
    """
    writing = _Writing(harness)
    text = "" if writing.problems else write_yaml(writing.document)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        writing.problems.append(f"the blueprint would be larger than {MAX_BYTES:,} bytes")
    if writing.problems:
        raise NotSerializableSystemError(str(harness.name), writing.problems)
    return text


class _Writing:
    """Takes a system apart; what cannot be written goes to ``problems``."""

    def __init__(self, harness: SystemExecutionHarness) -> None:
        self.harness = harness
        self.wiring = harness.wiring
        self.names = TypeNames()
        self.problems: list[str] = []
        parts: dict[str, Any] = {
            "system": self._name(),
            "strategy": "" if harness.strategy == "one_for_one" else harness.strategy,
            "defaults": self._defaults(),
            "resources": {name: self._resource(spec) for name, spec in self.wiring.resources.items()},
            "components": {name: self._component(name) for name in self.wiring.registered},
            "connections": list(self._connections()),
            "summary": self._summary(),
        }
        if not parts["components"]:
            self.problems.append("it has no components")
        self.document = {key: part for key, part in parts.items() if part}

    def _tell(self, what: str, problem: str, where: tuple[str, int] = ("", 0)) -> None:
        file, line = where
        at = f" ({os.path.basename(file)}:{line})" if file else ""
        told = f"{what}{at} {problem}"
        if told not in self.problems:
            self.problems.append(told)

    # --- the system --------------------------------------------------------------------------------

    def _name(self) -> str:
        name = self.harness.name
        if not isinstance(name, str) or not name.strip():
            self._tell("the system", f"needs a name, not {name!r}")
        for _, problem in find_unwritable(name):
            self._tell("the name of the system", problem)
        return name

    def _defaults(self) -> dict[str, Any]:
        harness, own = self.harness, Timeouts()
        found: dict[str, Any] = {}
        if harness.buffer_size != DEFAULT_BUFFER_SIZE:
            found["buffer_size"] = harness.buffer_size
        for name in (field.name for field in fields(own)):
            seconds = getattr(harness.timeouts, name)
            if seconds != getattr(own, name):
                found[name if name == "source_grace" else f"{name}_timeout"] = _duration(seconds)
        if not harness.fuse:
            found["fuse"] = False
        if harness._dead_letters.limit != DeadLetterStore().limit:
            found["dead_letter_limit"] = harness._dead_letters.limit
        for name in ("stall_after", "blocked_after"):
            seconds = getattr(harness.watching, name)
            if seconds != getattr(Watching(), name):
                found[name] = _duration(seconds)
        return found

    def _summary(self) -> dict[str, Any]:
        summary = self.harness.summary
        listed = {"in": summary.taken_in, "out": summary.given_out, "rejected": summary.rejected}
        found: dict[str, Any] = {}
        for key, ports in listed.items():
            if ports is not None:
                texts = [str(port) for port in ports]
                found[key] = texts[0] if len(texts) == 1 else texts
                for port in ports:
                    self._check_connected(port, key)
        return found

    def _check_connected(self, port: Endpoint, key: str) -> None:
        member = self.wiring.member_of(port.component)
        if port.port not in (member.inlets if key == "out" else member.outlets):
            self._tell("the summary", f"names '{port}', which is not connected")

    # --- what it is made of ------------------------------------------------------------------------

    def _resource(self, spec: ResourceSpec) -> dict[str, Any]:
        what = f"resource '{spec.name}'"
        found: dict[str, Any] = {"type": self._type(what, spec.factory, spec.where)[0]}
        config = self._settings(what, spec.config, None, spec.where)
        return {**found, "config": config} if config else found

    def _component(self, registered: str) -> dict[str, Any]:
        what, member = f"component '{registered}'", self.wiring.member_of(registered)
        name, target = self._type(what, member.factory, member.where)
        found: dict[str, Any] = {"type": name}
        for place, problem in find_unwritable({registered: None}, what):
            self._tell(place, problem, member.where)
        config = self._settings(what, member.config, settings_type_of(member.factory), member.where)
        outputs = {
            endpoint.port: self._output(f"output '{endpoint}'", options, member.where)
            for endpoint, options in self.wiring.outputs.items()
            if endpoint.component == registered and options != OutputOptions()
        }
        found |= self._replicas(what, registered, member.where)
        found |= {"config": config} if config else {}
        found |= {"outputs": outputs} if outputs else {}
        if member.restart != (own_restart(target) or NEVER):
            found["restart"] = _restart(member.restart)
        if member.marks.health != "required":
            found["health"] = member.marks.health
        if member.stop_timeout is not None:
            found["stop_timeout"] = _duration(member.stop_timeout)
        if member.acks != own_acks(target):
            found["ack"] = member.acks.ack
            if member.acks.max_unacked != DEFAULT_MAX_UNACKED:
                found["max_unacked"] = member.acks.max_unacked
        return found | _policy(member, target)

    def _type(self, what: str, factory: Any, where: tuple[str, int]) -> tuple[str, Any]:
        named = self.names.find(factory)
        if named is None:
            self._tell(what, why_nameless(factory), where)
        return named or ("", None)

    def _settings(
        self, what: str, config: Mapping[str, Any], into: type | None, where: tuple[str, int]
    ) -> dict[str, Any]:
        """Return settings as plain values: as they are, or as what the declared type makes the same of."""
        settings = dict(config)
        for name, value in config.items():
            problems = list(find_unwritable(value, f"setting '{name}'", depth=_SETTING_DEPTH))
            if problems and into is not None:
                settings[name] = _as_plain(value)
                if _comes_back(config, {**config, name: settings[name]}, into):
                    problems = list(
                        find_unwritable(settings[name], f"setting '{name}'", depth=_SETTING_DEPTH)
                    )
            if type(name) is not str:
                problems = [("config", f"has the key {name!r}, and a setting is named by a text")]
            for place, problem in [*problems, *find_unwritable({name: None}, "config")]:
                self._tell(what, f"cannot be written: {place} {problem}", where)
        return settings

    def _output(self, what: str, options: OutputOptions, where: tuple[str, int]) -> dict[str, Any]:
        if options.key is None:
            return {"fan_out": options.fan_out}
        key = self._key(what, options.key, where)
        return {"fan_out": options.fan_out, **key} if key else {}

    def _replicas(self, what: str, name: str, where: tuple[str, int]) -> dict[str, Any]:
        replicas = self.wiring.replicas.get(name)
        if replicas is None:
            return {}
        count, key = replicas.options.count, replicas.options.key
        inputs = {
            port: self._output(f"input '{name}.{port}'", options, where)
            for port, options in replicas.inputs.items()
        }
        said = count if key is None else {"count": count, **self._key(what, key, where)}
        return {"replicas": said, **({"inputs": inputs} if inputs else {})}

    def _key(self, what: str, key: KeyFn, where: tuple[str, int]) -> dict[str, Any]:
        names = key.names if isinstance(key, FieldKey) else ()
        if names and all(_is_field(name) for name in names):
            return {"key": names[0] if len(names) == 1 else list(names)}
        hint = "spread by key=field_key('NAME') instead"
        self._tell(what, f"is spread by {key!r}, which has no name: {hint}", where)
        return {}

    # --- connections ---------------------------------------------------------------------------------

    def _connections(self) -> Iterator[str | dict[str, Any]]:
        """Yield connections in their order, and what follows one another in it as a chain."""
        plain = EdgeOptions(self.harness.buffer_size)
        chain: list[Connection] = []
        for connection in self.wiring.connections.values():
            if chain and (connection.options != plain or not self._continues(chain[-1], connection)):
                yield self._chain(chain)
                chain = []
            if connection.options == plain:
                chain.append(connection)
            else:
                yield self._table(connection, plain)
        if chain:
            yield self._chain(chain)

    def _continues(self, before: Connection, connection: Connection) -> bool:
        """Whether a connection goes on where the one before ends, at a component that needs no port's name."""
        if before.receiver.component != connection.sender.component:
            return False
        return self._is_guessed(before.receiver, "input") and self._is_guessed(connection.sender, "output")

    def _is_guessed(self, end: Endpoint, direction: str) -> bool:
        """Whether the name of the component alone means this port."""
        try:
            parse_endpoint(end.component)
            return self.wiring.endpoints(end.component, direction) == (end,)
        except InvalidEndpointError:
            return False

    def _chain(self, chain: list[Connection]) -> str:
        inner = [connection.sender.component for connection in chain[1:]]
        first, last = chain[0].sender, chain[-1].receiver
        ends = [
            end.component if self._is_guessed(end, way) else str(end)
            for end, way in ((first, "output"), (last, "input"))
        ]
        return " -> ".join([ends[0], *inner, ends[1]])

    def _table(self, connection: Connection, plain: EdgeOptions) -> dict[str, Any]:
        found: dict[str, Any] = {
            "from": str(connection.sender),
            "to": str(connection.receiver),
        }
        for name in ("buffer_size", "when_full", "copy"):
            value = getattr(connection.options, name)
            if value != getattr(plain, name):
                found[name] = value
        return found


def _policy(member: Member, target: Any) -> dict[str, Any]:
    """Return what becomes of messages that fail, where what is imported by the type's name does not say so."""
    effective = member.attempts
    if isinstance(member.component, FunctionComponent):
        effective = effective or member.component.attempts
    if effective is None:
        return {}
    own = target.attempts if isinstance(target, ComponentFunction) else Attempts()
    found: dict[str, Any] = {
        name: getattr(effective, name)
        for name in MESSAGE_POLICY
        if getattr(effective, name) != getattr(own, name)
    }
    if "backoff" in found:
        found["backoff"] = _duration(found["backoff"])
    return found


def _restart(policy: RestartPolicy) -> str | dict[str, Any]:
    """Return a policy as the word that stands for it, or as a table of what is not as it always is."""
    plain = RestartPolicy.of(policy.when)
    if policy == plain:
        return policy.when
    found: dict[str, Any] = {"when": policy.when}
    if policy.max_restarts != plain.max_restarts:
        found["max_restarts"] = policy.max_restarts
    if policy.within != plain.within:
        found["within"] = _duration(policy.within)
    said = {
        name: getattr(policy.backoff, name)
        for name in ("first", "longest", "jitter")
        if getattr(policy.backoff, name) != getattr(plain.backoff, name)
    }
    times = {name: value if name == "jitter" else _duration(value) for name, value in said.items()}
    return {**found, "backoff": times} if times else found


def _duration(seconds: float) -> str | float:
    """Return seconds as people write them, or as a number where that would not be the same."""
    text = str(int(seconds)) if seconds == int(seconds) else repr(float(seconds))
    return f"{text}s" if text.replace(".", "", 1).isdigit() and float(text) == seconds else seconds


def _is_field(name: object) -> bool:
    return type(name) in (str, int) and name != "" and not any(find_unwritable(name))


def _as_plain(value: Any) -> Any:
    """Return a path, a date, a record, a tuple and the like as plain values; what is none of that as it is."""
    if isinstance(value, dict):
        return {key: _as_plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_as_plain(item) for item in sorted(value, key=repr)]  # or it would change from run to run
    if isinstance(value, (list, tuple)):
        return [_as_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    try:
        made = msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return value
    return value if type(made) is type(value) else _as_plain(made)


def _comes_back(config: Mapping[str, Any], plain: Mapping[str, Any], into: type) -> bool:
    """Whether the declared type makes the same settings of the plain values."""
    try:
        before, after = convert_settings(config, into), convert_settings(plain, into)
    except HeadraceError:
        return False
    return bool(before == after) or repr(before) == repr(after)


__all__ = ["to_yaml"]
