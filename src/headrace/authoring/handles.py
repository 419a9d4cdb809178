"""What ``System.add`` gives back, so that systems are wired with names that a type checker knows.

To a type checker the handle of a component class is that class, and the handle of a function has its
ports; at run time each is a ``ComponentHandle``, which names ports and forwards everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headrace.exceptions import InvalidEndpointError, UnknownPortAttributeError
from headrace.model.endpoint import Endpoint, did_you_mean
from headrace.model.message import Rejected
from headrace.model.port import Port, PortTable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class Emits(Protocol[T_co]):
    """An output: what ``connect`` takes first. Whatever emits dogs may go where animals are accepted."""

    def __emits__(self) -> T_co:
        """Say to type checkers what comes out; never called."""
        ...


class Accepts(Protocol[T_contra]):
    """An input: what ``connect`` takes second. Whatever accepts animals accepts dogs."""

    def __accepts__(self, message: T_contra, /) -> None:
        """Say to type checkers what goes in; never called."""
        ...


class Registrable(Protocol):
    """What ``add`` takes as a component, as a type checker sees it: three methods of any signature."""

    @property
    def setup(self) -> Callable[..., Any]:
        """Gets ready."""
        ...

    @property
    def process(self) -> Callable[..., Any]:
        """Does the work."""
        ...

    @property
    def cleanup(self) -> Callable[..., Any]:
        """Releases everything."""
        ...


class SinkHandle(Accepts[T_contra], Protocol[T_contra]):
    """A function component that returns nothing: ``in_`` and ``rejected``; it may be connected as it is."""

    @property
    def in_(self) -> Accepts[T_contra]:
        """The input."""
        ...

    @property
    def rejected(self) -> Emits[Rejected[Any]]:
        """The output of what was rejected."""
        ...


class SourceHandle(Emits[T_co], Protocol[T_co]):
    """A function component that takes no message: ``out`` and ``rejected``; it may be connected as it is."""

    @property
    def out(self) -> Emits[T_co]:
        """The output."""
        ...

    @property
    def rejected(self) -> Emits[Rejected[Any]]:
        """The output of what was rejected."""
        ...


class FunctionHandle(SinkHandle[T_contra], SourceHandle[T_co], Protocol[T_contra, T_co]):
    """A function component from messages to messages: ``in_``, ``out`` and ``rejected``."""


class Registered(Protocol):
    """A component with its ports, as the wiring keeps it."""

    @property
    def component(self) -> Any:
        """The component as it is now."""
        ...

    @property
    def ports(self) -> PortTable:
        """What it declares."""
        ...


@dataclass(frozen=True, slots=True)
class PortHandle:
    """A port of a component of a system, to be given to ``connect``.

    Attributes:
        endpoint: The names of the component and the port.
        member: Returns the component that it is a port of, where that is known.
    """

    endpoint: Endpoint
    member: Callable[[], Registered] | None = field(default=None, compare=False, repr=False)

    @property
    def component(self) -> Any:
        """The component as it is now; None where it is not known."""
        return None if self.member is None else self.member().component

    if TYPE_CHECKING:

        def __emits__(self) -> Any: ...

        def __accepts__(self, message: Any, /) -> None: ...

    def __str__(self) -> str:
        return str(self.endpoint)


class ComponentHandle:
    """A component of a system: ports are to be given to ``connect``, everything else is the component's own.

    Args:
        name: Its name in the system.
        member: Returns the component as it is now; it may have been replaced or made anew.
    """

    __slots__ = ("__name", "__registered")
    __name: str
    __registered: Callable[[], Registered]

    def __init__(self, name: str, member: Callable[[], Registered]) -> None:
        object.__setattr__(self, "_ComponentHandle__name", name)
        object.__setattr__(self, "_ComponentHandle__registered", member)

    @property
    def component(self) -> Any:
        """The component itself."""
        return self.__registered().component

    if TYPE_CHECKING:

        def __emits__(self) -> Any: ...

        def __accepts__(self, message: Any, /) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_ComponentHandle__")):
            raise AttributeError(name)
        member = self.__registered()
        port = _port_of(member.ports, name)
        if port is not None:
            return PortHandle(Endpoint(self.__name, port), self.__registered)
        if name.startswith("_") or hasattr(member.component, name):
            return getattr(member.component, name)
        if None in (member.ports.inputs, member.ports.outputs):  # it takes any name there
            return PortHandle(Endpoint(self.__name, name.rstrip("_")), self.__registered)
        raise UnknownPortAttributeError(
            f"'{self.__name}' has neither a port nor an attribute '{name}'",
            hint=did_you_mean(name, [port.attribute or port.name for port in _ports(member.ports)]),
        )

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.component, name, value)

    def __str__(self) -> str:
        return self.__name

    def __repr__(self) -> str:
        return f"<component {self.__name!r}>"


# To a type checker an optional port may be None, so that None is among them; at run time it is an error.
AnyOutput = str | Emits[T] | Registrable | ComponentHandle | None
"""What ``connect`` takes as an output of messages of a type."""
AnyInput = str | Accepts[T] | Registrable | ComponentHandle | None
"""What ``connect`` takes as an input of messages of a type."""
Connectable = AnyOutput[Any] | Accepts[Any]
"""What may stand for a port, an output or an input."""


def registered_as(what: object, names: dict[int, str]) -> object:
    """Return the text of an endpoint where a handle, or a registered component itself, stands for it.

    Args:
        what: What ``connect`` was given.
        names: The names of registered components by their ``id``.

    Raises:
        InvalidEndpointError: It is the handle of another system.
    """
    if isinstance(what, (PortHandle, ComponentHandle)):
        if what.component is not None and id(what.component) not in names:
            hint = "connect what was added to this one"
            raise InvalidEndpointError(f"'{what}' belongs to another system", hint=hint)
        return str(what)
    return what if isinstance(what, str) else names.get(id(what), what)


def _ports(table: PortTable) -> Iterator[Port]:
    yield from (table.inputs or {}).values()
    yield from (table.outputs or {}).values()


def _port_of(table: PortTable, attribute: str) -> str | None:
    """Return the name of the port that an attribute means; one with just that attribute comes first."""
    bare = attribute.rstrip("_")
    meant = [port.name for port in _ports(table) if attribute == port.attribute]
    return next(iter(meant or [port.name for port in _ports(table) if bare == port.name]), None)


__all__ = [
    "Accepts",
    "AnyInput",
    "AnyOutput",
    "ComponentHandle",
    "Connectable",
    "Emits",
    "FunctionHandle",
    "PortHandle",
    "Registered",
    "Registrable",
    "SinkHandle",
    "SourceHandle",
    "registered_as",
]
