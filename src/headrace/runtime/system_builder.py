"""What a system is made of: components, resources and connections, by the calls of a Python program.

The half of the harness that is at work before a run; `system_execution_harness` has the other one.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from headrace.authoring.function_component import ComponentFunction
from headrace.authoring.handles import (
    AnyInput,
    AnyOutput,
    ComponentHandle,
    Connectable,
    FunctionHandle,
    Registrable,
    SinkHandle,
    SourceHandle,
)
from headrace.exceptions import HarnessAlreadyRunning, WiringError
from headrace.model.endpoint import refuse_unprintable
from headrace.model.message import Rejected
from headrace.model.options import (
    DEFAULT_BUFFER_SIZE,
    UNMARKED,
    Ack,
    Attempts,
    EdgeOptions,
    FanOut,
    Health,
    KeyFn,
    Marks,
    OnError,
    OutputOptions,
    Replicas,
    RunIn,
    WhenFull,
)
from headrace.model.restart_policy import RestartPolicy, When
from headrace.model.topology import Topology
from headrace.streams.stream_manager import StreamManager

from .books import Summary
from .caller import caller
from .member import SaidOfAcks, own_restart
from .resources import ResourceSpec
from .wiring import Connection, Wiring

C = TypeVar("C", bound=Registrable)
M = TypeVar("M")
FittingMessage = TypeVar("FittingMessage")
P = ParamSpec("P")
R = TypeVar("R")
Nothing = Rejected[Any] | None
Silence = Nothing | Awaitable[Nothing] | Iterator[Nothing] | AsyncIterable[Nothing]


class SystemBuilder:
    """A system that is put together; ``SystemExecutionHarness`` can run it as well."""

    name: str
    buffer_size: int

    def __init__(
        self,
        name: str,
        buffer_size: int = DEFAULT_BUFFER_SIZE,
        restart: RestartPolicy | When | None = None,
    ) -> None:
        refuse_unprintable("a system's name", name)
        self.restart = None if restart is None else RestartPolicy.of(restart)
        self.name = name
        self.buffer_size = EdgeOptions(buffer_size).buffer_size
        self.wiring = Wiring()
        self.summary = Summary()

    # --- what it holds ---------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return False

    @property
    def components(self) -> dict[str, Any]:
        """The registered components, by name; replicas as ``"work[0]"``, ``"work[1]"``, ..."""
        return self.wiring.components

    @property
    def streams(self) -> dict[str, tuple[Any, Any]]:
        """The pair of send and receive stream of each edge, by ``"a.out -> b.in"``."""
        return self.wiring.streams

    @property
    def stream_manager(self) -> StreamManager:
        """The table of the system's open streams; its statistics cover every edge of a run."""
        return self.wiring.stream_manager

    @property
    def topology(self) -> Topology:
        """The shape of the graph."""
        return self.wiring.topology()

    # --- wiring ------------------------------------------------------------------------------------

    def register_component(
        self, name: str, component: Any, *, ack: Ack | None = None, max_unacked: int | None = None
    ) -> None:
        """Take a component into the system.

        Args:
            name: Its name in the system.
            component: Any object with ``setup``, ``process`` and ``cleanup``, or a function component.
            ack: Who acknowledges what it has received, as for ``add``; and
            max_unacked: how many messages it may have in hand.

        Raises:
            ComponentAlreadyRegistered: The name is taken.
            NotAComponentError: A method is missing.
            HarnessAlreadyRunning: A run is under way.
        """
        self.add(name, component, ack=ack, max_unacked=max_unacked)

    @overload
    def add(
        self, name: str, factory: type[C], config: Mapping[str, Any] | None = None, /, **settings: Any
    ) -> C: ...

    @overload
    def add(
        self, name: str, factory: C, config: Mapping[str, Any] | None = None, /, **settings: Any
    ) -> C: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[Concatenate[M, P], Silence],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> SinkHandle[M]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[Concatenate[M, P], AsyncIterable[R | Rejected[Any] | None]],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> FunctionHandle[M, R]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[Concatenate[M, P], Iterator[R | Rejected[Any] | None]],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> FunctionHandle[M, R]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[Concatenate[M, P], Awaitable[R | Rejected[Any] | None]],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> FunctionHandle[M, R]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[Concatenate[M, P], R | Rejected[Any] | None],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> FunctionHandle[M, R]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[P, AsyncIterable[R | Rejected[Any] | None]],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> SourceHandle[R]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[P, Iterator[R | Rejected[Any] | None]],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> SourceHandle[R]: ...

    @overload
    def add(
        self,
        name: str,
        factory: Callable[..., Any],
        config: Mapping[str, Any] | None = None,
        /,
        **settings: Any,
    ) -> ComponentHandle: ...

    def add(
        self,
        name: str,
        factory: Any,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        replicas: int | Replicas = 1,
        run_in: RunIn | None = None,
        restart: RestartPolicy | When | None = None,
        attempts: int | None = None,
        on_error: OnError | None = None,
        stop_timeout: float | None = None,
        health: Health = "required",
        ack: Ack | None = None,
        max_unacked: int | None = None,
        **settings: Any,
    ) -> Any:
        """Make a component from a class or a function and take it into the system.

        Args:
            name: Its name in the system.
            factory: A class called as ``factory(name, config)``, a function, or a finished component.
            config: Its settings as a mapping.
            replicas: How many instances share the name and the work; needs a class or a function. Messages go
                to the next one with room, or with ``Replicas(4, key=...)`` to that of their key.
            run_in: Where a plain function works: in the event ``loop``, in a ``thread``, or in a worker ``process``
                (each replica in its own); as the function says itself where None.
            restart: What becomes of it when it crashes: ``never``, ``failure``, ``always``, or a ``RestartPolicy``;
                as its class or function, or else the system says where None.
            attempts: How often a message is tried in all, by a function that raises, or by a component that is
                restarted after it has crashed with the message in hand; as the function says itself where None.
            on_error: What becomes of a message after the last attempt; as the function says itself where None.
            stop_timeout: Seconds that it may take once its inputs have ended, or as a source once the system
                stops; then it alone is cancelled and named. Where None, only ``shutdown_timeout`` counts.
            health: Whether the system is ``ready`` without it: ``required`` or ``optional``.
            ack: Who acknowledges what it has received: ``auto``, its next receive, or ``manual``, itself by
                ``ack()``; as its class says where None. A function's messages are acknowledged with what it gives.
            max_unacked: With ``manual``, how many messages an input handle may have in hand; 1000 where None.
            settings: Its settings by name; they win over ``config``.

        Returns:
            A handle whose attributes are its ports, for ``connect``; to a type checker it is the class itself,
            or what a function takes and gives. Of replicas, its ``component`` is the tuple of all.

        Raises:
            WiringError: The name is taken, the settings do not fit, or it is no component.
            HarnessAlreadyRunning: A run is under way.
        """
        said = {"attempts": attempts, "on_error": on_error, "run_in": run_in}
        said = {option: value for option, value in said.items() if value is not None}
        both = {**(config or {}), **settings}
        marks = Marks(stop_timeout, health)
        return self._add(name, factory, both, said, replicas, restart, marks, (ack, max_unacked))

    def _add(
        self,
        name: str,
        factory: Any,
        config: Mapping[str, Any],
        attempts: Attempts | Mapping[str, Any] | None,
        replicas: int | Replicas = 1,
        restart: RestartPolicy | When | None = None,
        marks: Marks = UNMARKED,
        acks: SaidOfAcks = (None, None),
    ) -> ComponentHandle:
        with self._changing("add a component") as where:
            if isinstance(attempts, Mapping):
                own = factory.attempts if isinstance(factory, ComponentFunction) else Attempts()
                attempts = replace(own, **attempts) if attempts else None
            several = replicas if isinstance(replicas, Replicas) else Replicas(replicas)
            said = self.restart if restart is None and own_restart(factory) is None else restart
            when = None if said is None else RestartPolicy.of(said)
            what = (name, factory, config)
            self.wiring.register(
                *what, attempts=attempts, where=where, replicas=several, restart=when, acks=acks
            )
            for member in self.wiring.members_of(name):
                member.marks = marks
        return ComponentHandle(name, lambda: self.wiring.replicas.get(name) or self.wiring.members[name])

    def resource(
        self, name: str, factory: Any, config: Mapping[str, Any] | None = None, /, **settings: Any
    ) -> None:
        """Take a shared resource into the system: opened before set-up, closed after all clean-up.

        Components ask for it by its name: ``db: Resource[Pool]``, as a keyword-only parameter of a function
        or as an annotation of a class. ``context.resources`` has all of them.

        Args:
            name: Its name, as parameters can have it.
            factory: Called with the settings at each run; gives an (async) context manager. A generator
                function that yields once is one.
            config: Its settings as a mapping.
            settings: Its settings by name; they win over ``config``.

        Raises:
            WiringError: The name is taken, or the factory cannot be called with these settings.
            HarnessAlreadyRunning: A run is under way.
        """
        with self._changing("add a resource") as where:
            self.wiring.add_resource(ResourceSpec(name, factory, {**(config or {}), **settings}, where))

    def replace(
        self, name: str, factory: Any, config: Mapping[str, Any] | None = None, /, **settings: Any
    ) -> None:
        """Put another component or resource in the place of a registered one; its connections stay.

        Args:
            name: The name of a component, or else of a resource. All replicas are replaced together.
            factory: What takes its place, as for ``add`` or ``resource``.
            config: Its settings as a mapping.
            settings: Its settings by name; they win over ``config``.

        Raises:
            WiringError: There is nothing of this name, or what is new does not fit; nothing has changed.
            HarnessAlreadyRunning: A run is under way.
        """
        both = {**(config or {}), **settings}
        with self._changing("replace a part") as where:
            if name in self.wiring.resources and self.wiring.get(name) is None:
                self.wiring.replace_resource(ResourceSpec(name, factory, both, where))
            else:
                self.wiring.replace(name, factory, both)

    def connect(
        self,
        from_output: AnyOutput[FittingMessage],
        to_input: AnyInput[FittingMessage],
        *,
        buffer_size: int | None = None,
        when_full: WhenFull = "block",
        copy: bool = False,
    ) -> Connection:
        """Join an output to an input; the same output may go to several inputs, and the other way round.

        Args:
            from_output: ``"component.port"``, a port of a handle, or a component with one output.
            to_input: ``"component.port"``, a port of a handle, or a component with one input.
            buffer_size: The capacity of the edge in messages; the system's where None.
            when_full: ``block``, ``drop_oldest``, ``drop_newest`` or ``error``.
            copy: Whether each message is deep-copied.

        Raises:
            WiringError: An endpoint is unknown, the types do not fit, or the two are connected already.
            HarnessAlreadyRunning: A run is under way.
        """
        with self._changing("connect") as where:
            size = self.buffer_size if buffer_size is None else buffer_size
            return self.wiring.connect(from_output, to_input, EdgeOptions(size, when_full, copy), where)

    def spread(self, port: Connectable, fan_out: FanOut, *, key: KeyFn | None = None) -> None:
        """Say how an output with several edges spreads its messages, or an input of replicas over these.

        Args:
            port: The output, or the input of a component with replicas.
            fan_out: ``broadcast`` (each message to all), ``balance`` (to one with room) or ``by_key``.
            key: For ``by_key``: a function of the message; equal keys go to the same edge.

        Raises:
            WiringError: There is no such port, or it is an input without replicas.
        """
        with self._changing("spread messages"):
            self.wiring.spread(port, OutputOptions(fan_out, key))

    def summarize(
        self,
        *,
        taken_in: str | list[str] | None = None,
        given_out: str | list[str] | None = None,
        rejected: str | list[str] | None = None,
    ) -> None:
        """Say which ports the one-line summary counts; what is not said is taken from the graph's shape.

        Args:
            taken_in: Outputs whose messages count as taken in (all sources).
            given_out: Inputs whose acknowledged messages count as given out (all sinks).
            rejected: Outputs whose messages count as rejected (all named ``rejected``).

        Raises:
            WiringError: A port is unknown.
        """
        with self._changing("change the summary"):
            self.summary = Summary(
                self.wiring.endpoints(taken_in, "output"),
                self.wiring.endpoints(given_out, "input"),
                self.wiring.endpoints(rejected, "output"),
            )

    @contextmanager
    def _changing(self, what: str) -> Iterator[tuple[str, int]]:
        """Refuse a change during a run; let an error of the wiring say which line of the program is wrong."""
        if self.running:
            raise HarnessAlreadyRunning(f"{self.name}: cannot {what} during a run; await stop() first")
        where = caller()
        try:
            yield where
        except WiringError as error:
            error.at(where)
            raise


__all__ = ["SystemBuilder"]
