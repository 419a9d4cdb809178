"""What has gone through every port of a system, by taps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import anyio
from anyio import Event

from headrace.exceptions import UnknownPortError, WiringError
from headrace.model.endpoint import Endpoint, did_you_mean
from headrace.runtime.wiring import Member, Wiring

Direction = Literal["output", "input"]

LIMIT = 100_000
"""How many messages of one port are kept; of more, the oldest are forgotten."""


class Record:
    """The messages that went through one port."""

    def __init__(self, stirred: Callable[[], None]) -> None:
        self.count = 0
        self._messages: list[Any] = []
        self._next = 0
        self._stirred = stirred

    def add(self, message: Any) -> None:
        """Take note of a message."""
        self.count += 1
        self._messages.append(message)
        if len(self._messages) > LIMIT:
            forgotten = LIMIT // 2
            del self._messages[:forgotten]
            self._next = max(0, self._next - forgotten)
        self._stirred()

    @property
    def has_next(self) -> bool:
        """Whether there is a message that was not taken."""
        return self._next < len(self._messages)

    def take_next(self) -> Any:
        """Return the first message that was not taken."""
        self._next += 1
        return self._messages[self._next - 1]

    def messages(self) -> list[Any]:
        """Return all messages."""
        return list(self._messages)


class Records:
    """The records of all ports of a system.

    Args:
        wiring: The system; its ports are tapped by ``attach``.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.moves = 0
        self._wiring = wiring
        self._moved = Event()
        self._records: dict[tuple[Direction, Endpoint], Record] = {}

    def attach(self) -> None:
        """Tap every port that there is; what replicas have in common goes to one record as well."""
        for direction, endpoint, port in self._ports():
            record = self._records.setdefault((direction, endpoint), Record(self.stirred))
            port.add_tap(record.add)

    def detach(self) -> None:
        """Take the taps off."""
        for direction, endpoint, port in self._ports():
            record = self._records.get((direction, endpoint))
            if record is not None:
                port.remove_tap(record.add)

    def _ports(self) -> list[tuple[Direction, Endpoint, Any]]:
        found: list[tuple[Direction, Endpoint, Any]] = []
        named = [(name, member) for member in self._wiring.members.values() for name in _names_of(member)]
        for name, member in named:
            found += [("output", Endpoint(name, port), outlet) for port, outlet in member.outlets.items()]
            found += [("input", Endpoint(name, port), inlet) for port, inlet in member.inlets.items()]
        return found

    # --- movement ----------------------------------------------------------------------------------

    def stirred(self) -> None:
        """Take note that a message has moved."""
        self.moves += 1
        self._moved.set()

    async def wait_moment(self, seconds: float) -> None:
        """Wait until a message moves, or for a moment."""
        self._moved = Event()
        with anyio.move_on_after(seconds):
            await self._moved.wait()

    # --- ports by name -----------------------------------------------------------------------------

    def find(self, port: str) -> tuple[Endpoint, Direction]:
        """Return the port that a text names: an output, or else an input.

        Raises:
            WiringError: There is none.
        """
        errors: list[WiringError] = []
        for direction in directions(self._wiring, port):
            try:
                return self._port(port, direction), direction
            except WiringError as error:
                errors.append(error)
        raise next((error for error in errors if "did you mean" in error.hint), errors[-1])

    def output(self, port: str) -> Endpoint:
        """Return the output that a text names."""
        return self._port(port, "output")

    def input(self, port: str) -> Endpoint:
        """Return the input that a text names."""
        return self._port(port, "input")

    def of(self, endpoint: Endpoint, direction: Direction) -> Record:
        """Return the record of a port."""
        return self._records[direction, endpoint]

    def _port(self, port: str, direction: Direction) -> Endpoint:
        (endpoint,) = self._wiring.endpoints(port, direction) or ()
        if (direction, endpoint) not in self._records:
            known = [str(place) for way, place in self._records if way == direction]
            hint = did_you_mean(str(endpoint), known)
            raise UnknownPortError(f"'{endpoint}' is not connected", hint=hint)
        return endpoint


def _names_of(member: Member) -> list[str]:
    """Return the names of a component: a replica has its own, and the one that all of them share."""
    return [member.name, member.replica_of] if member.replica_of else [member.name]


def directions(wiring: Wiring, port: str) -> tuple[Direction, Direction]:
    """Return in which direction to look first for the port that a text names.

    A component alone is meant by its output, where it has one besides ``rejected``.
    """
    member = wiring.get(port)
    declared = None if member is None else member.ports.outputs
    is_sink = declared is not None and all(one.optional for one in declared.values())
    return ("input", "output") if is_sink else ("output", "input")


__all__ = ["LIMIT", "Direction", "Record", "Records", "directions"]
