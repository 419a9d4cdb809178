"""Who is in a system, and what a name means: a component, one of its replicas, or a port of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.authoring.handles import ComponentHandle, Connectable, registered_as
from headrace.exceptions import (
    ComponentAlreadyRegistered,
    UnknownComponentError,
    UnknownPortError,
    WiringError,
)
from headrace.model.endpoint import ComponentNames, Endpoint, did_you_mean, parse_endpoint, refuse_unprintable
from headrace.model.options import Attempts, Replicas
from headrace.model.restart_policy import RestartPolicy

from .member import Member, SaidOfAcks, make_member, only_port
from .replicas import ReplicaSet, check_can_be_replicated, replica_name

Registered = Member | ReplicaSet
"""What stands behind the name of a component."""


class Roster:
    """The components of one system, by name.

    Attributes:
        members: All that run, each replica for itself.
        components: Their components.
        replicas: The components with replicas, by the name that these share.
        part_ports: ``enrich.in`` of a part: the port inside it that this is.
    """

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._component_names = ComponentNames()
        self.components: dict[str, Any] = {}
        self.replicas: dict[str, ReplicaSet] = {}
        self.part_ports: dict[str, str] = {}
        self._names: dict[int, str] = {}

    # --- what a name stands for ------------------------------------------------------------------

    @property
    def registered(self) -> dict[str, Registered]:
        """What was registered, by name and in that order; replicas are one."""
        found: dict[str, Registered] = {}
        for member in self.members.values():
            found.setdefault(member.registered_as, self.replicas.get(member.replica_of, member))
        return found

    def get(self, name: str) -> Registered | None:
        """Return what has a name: a component, replicas, or one of these; None where nothing has it."""
        return self.members.get(name) or self.replicas.get(name)

    def members_of(self, name: str) -> tuple[Member, ...]:
        """Return the members behind a name: one, or all its replicas."""
        found = self.members.get(name)
        return self.replicas[name].members if found is None else (found,)

    def names_behind(self, name: str | None) -> tuple[str, ...] | None:
        """Return the names of the members behind a name; None for None.

        Raises:
            UnknownComponentError: Nothing has this name.
        """
        if name is None:
            return None
        if self.get(name) is None:
            hint = did_you_mean(name, self.registered)
            raise UnknownComponentError(f"no component is named '{name}'", hint=hint)
        return tuple(member.name for member in self.members_of(name))

    def member_of(self, name: str) -> Member:
        """Return the member behind a name, of replicas the first: all declare the same."""
        return self.members_of(name)[0]

    def endpoints(self, ports: str | list[str] | None, direction: str) -> tuple[Endpoint, ...] | None:
        """Return the ports that one or several strings name."""
        if ports is None:
            return None
        return tuple(
            self._resolve(port, direction) for port in ([ports] if isinstance(ports, str) else ports)
        )

    def _resolve(self, what: Connectable, direction: str) -> Endpoint:
        text = registered_as(what, self._names)
        text = self.part_ports.get(text, text) if isinstance(text, str) else text
        endpoint = Endpoint(text) if isinstance(text, str) and self.get(text) else parse_endpoint(text)
        name, port = endpoint.component, endpoint.port.rstrip("_") or endpoint.port
        found = self.get(name)
        if found is None:
            hint = did_you_mean(name, self.registered)
            raise UnknownComponentError(f"no component is named '{name}' (in '{text}')", hint=hint)
        declared = found.ports.outputs if direction == "output" else found.ports.inputs
        if not port:
            return Endpoint(name, only_port(name, declared, direction))
        if declared is not None and port not in declared:
            raise UnknownPortError(
                f"'{name}' has no {direction} port '{port}'", hint=did_you_mean(port, declared)
            )
        if declared is None and direction == "output" and found.ports.inputs and port in found.ports.inputs:
            raise UnknownPortError(f"'{name}.{port}' is an input, not an output")
        return Endpoint(name, port)

    def _resolve_whole(self, what: Connectable, direction: str) -> Endpoint:
        """Return the port that is meant, of a component with all its replicas.

        Raises:
            WiringError: It is a port of one replica, or there is none that is meant.
        """
        endpoint = self._resolve(what, direction)
        self._refuse_replica(endpoint.component)
        return endpoint

    def _refuse_replica(self, name: str) -> None:
        member = self.members.get(name)
        if member is not None and member.replica_of:
            raise WiringError(
                f"'{name}' is one of the replicas of '{member.replica_of}'",
                hint=f"write '{member.replica_of}', which means all of them",
            )

    # --- who is taken in -------------------------------------------------------------------------

    def _make(
        self,
        name: str,
        factory: Any,
        config: Mapping[str, Any] | None,
        attempts: Attempts | None,
        where: tuple[str, int],
        replicas: Replicas | None,
        restart: RestartPolicy | None = None,
        acks: SaidOfAcks = (None, None),
    ) -> Registered:
        """Make what is to be registered: a member, or several where several replicas are wanted."""
        if replicas is None or replicas.count == 1:
            return make_member(name, factory, config, attempts, where, restart, acks)
        check_can_be_replicated(name, factory)
        names = [replica_name(name, number) for number in range(replicas.count)]
        taken = next((one for one in names if self.get(one) not in (None, *self._all_of(name))), None)
        if taken is not None:
            raise ComponentAlreadyRegistered(
                f"a component named '{taken}' is registered already, as a replica of '{name}' has to be",
                hint="take another name",
            )
        made = [make_member(one, factory, config, attempts, where, restart, acks) for one in names]
        for member in made:
            member.replica_of = name
        return ReplicaSet(name, replicas, tuple(made))

    def _all_of(self, name: str) -> tuple[Member, ...]:
        return self.members_of(name) if self.get(name) else ()

    def _take(self, new: Registered) -> None:
        """Take in what was made, in the place of what had its name."""
        self._component_names.add(new.name)
        members = new.members if isinstance(new, ReplicaSet) else (new,)
        old = self._all_of(new.name)
        for member in old:
            self._names.pop(id(member.component), None)
        if [member.name for member in members] == [member.name for member in old] or not old:
            self.members.update({member.name: member for member in members})
        else:
            self.members = dict(_put_in_place(self.members, old, members))
            self.components.clear()
            self.components.update({name: member.component for name, member in self.members.items()})
        self.components.update({member.name: member.component for member in members})
        self._names.update({id(member.component): member.name for member in members})
        self.replicas.pop(new.name, None)
        if isinstance(new, ReplicaSet):
            self.replicas[new.name] = new
            self._names[id(new.component)] = new.name

    def exchange(self, member: Member, made: Any) -> None:
        """Let another object be the component of a member, from one of its lives to the next."""
        self._names.pop(id(member.component), None)
        member.component = self.components[member.name] = made
        self._names[id(made)] = member.name
        if member.replica_of:
            self.replicas[member.replica_of].look_again()

    def _check_name(self, name: str, factory: Any) -> None:
        if not isinstance(name, str) or not name.strip() or name != name.strip() or "->" in name:
            raise WiringError(f"a component needs a name, not {name!r}")
        refuse_unprintable("a component's name", name)
        if self.get(name) is not None:
            raise ComponentAlreadyRegistered(
                f"a component named '{name}' is registered already", hint="take another name"
            )
        self._component_names.refuse_clash(name)
        self._check_object(name, factory)

    def _check_object(self, name: str, factory: Any) -> None:
        other = str(factory) if isinstance(factory, ComponentHandle) else self._names.get(id(factory))
        if other is not None:
            raise ComponentAlreadyRegistered(f"'{name}' is the same object as '{other}'")


def _put_in_place(
    members: Mapping[str, Member], old: Sequence[Member], new: Sequence[Member]
) -> Iterator[tuple[str, Member]]:
    """Yield members with new ones where the old ones were."""
    for name, member in members.items():
        if member is old[0]:
            yield from ((one.name, one) for one in new)
        elif member not in old:
            yield name, member


__all__ = ["Registered", "Roster"]
