"""What there is to draw of a system, as plain values: the drawings know nothing of harnesses."""

from __future__ import annotations

from dataclasses import dataclass, field

from .options import EdgeOptions, RunIn
from .topology import Topology


@dataclass(frozen=True, slots=True)
class PortPicture:
    """A port of a component: its name, what travels through it, whether it may stay unconnected."""

    name: str
    type: str = "Any"
    optional: bool = False
    fan_out: str = "broadcast"


@dataclass(frozen=True, slots=True)
class ComponentPicture:
    """A component, as far as it can be seen from outside.

    Attributes:
        name: Its name.
        type: ``module:name`` of what it is made of.
        inputs: Its input ports.
        outputs: Its output ports.
        replicas: How many there are of it.
        run_in: Where its function works.
        at_once: How many messages that works on at once.
        ordered: Whether its outputs keep the order of the messages.
    """

    name: str
    type: str = ""
    inputs: tuple[PortPicture, ...] = ()
    outputs: tuple[PortPicture, ...] = ()
    replicas: int = 1
    run_in: RunIn = "loop"
    at_once: int = 1
    ordered: bool = True

    @property
    def times(self) -> str:
        """How many there are of it, and how they work, as it stands behind its name; nothing where as usual."""
        number = "" if self.replicas == 1 else f" x{self.replicas}"
        notes = [] if self.run_in == "loop" else [str(self.run_in)]
        if self.at_once > 1:
            notes += [f"{self.at_once} at once"] if self.ordered else [f"{self.at_once} at once", "unordered"]
        return f"{number} ({', '.join(notes)})" if notes else number

    @property
    def title(self) -> str:
        """What stands in its box."""
        return f"{visible(self.name)}{self.times}"


@dataclass(frozen=True, slots=True)
class LinkPicture:
    """A connection with its options.

    Attributes:
        sender: The component that sends.
        output: Its port.
        receiver: The component that receives.
        input: Its port.
        options: Those of the connection.
        fan_out: How the output spreads messages over its connections.
        shared: How replicas that receive share the messages.
        named: Its name, where it does not follow from its ends.
    """

    sender: str
    output: str
    receiver: str
    input: str
    options: EdgeOptions = field(default_factory=EdgeOptions)
    fan_out: str = "broadcast"
    shared: str = ""
    named: str = ""

    @property
    def name(self) -> str:
        """Its name, as all of the API call it."""
        return self.named or f"{self.sender}.{self.output} -> {self.receiver}.{self.input}"

    @property
    def label(self) -> str:
        """What is unusual about it: ports not called ``out`` and ``in``, and options that change what arrives."""
        ports = ""
        if self.output != "out" or self.input != "in":
            ports = f"{self.output} -> {self.input}"
        return ", ".join(part for part in (ports, *self.notes) if part)

    @property
    def notes(self) -> tuple[str, ...]:
        """The options that change what arrives."""
        full = () if self.options.when_full == "block" else (self.options.when_full,)
        order = () if self.fan_out == "broadcast" else (self.fan_out,)
        shared = (self.shared,) if self.shared and (self.shared,) != order else ()
        return (*full, *order, *shared, *(("copy",) if self.options.copy else ()))


@dataclass(frozen=True, slots=True)
class Picture:
    """A system to be drawn."""

    system: str
    components: tuple[ComponentPicture, ...]
    links: tuple[LinkPicture, ...]
    topology: Topology

    @classmethod
    def of(
        cls, system: str, components: tuple[ComponentPicture, ...], links: tuple[LinkPicture, ...]
    ) -> Picture:
        """Return the picture of these components and connections."""
        pairs = [(link.sender, link.receiver) for link in links]
        return cls(system, components, links, Topology.of([one.name for one in components], pairs))


def visible(text: str) -> str:
    """Return a text on one line, with what cannot be seen written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


__all__ = ["ComponentPicture", "LinkPicture", "Picture", "PortPicture", "visible"]
