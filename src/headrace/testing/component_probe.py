"""``probe``: one component in a real harness, with every port in the hands of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio

from headrace.authoring.component import ComponentLike
from headrace.authoring.context import Context
from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.ports import ports_of
from headrace.exceptions import (
    ConfigError,
    NoMessageError,
    PortEndedError,
    ReaderEndedError,
    SystemFailed,
    UnknownPortError,
    UnsettledError,
)
from headrace.model.component_status import ComponentState
from headrace.model.endpoint import did_you_mean
from headrace.model.options import OnError
from headrace.model.port import Port, PortTable
from headrace.model.report import DeadLetter, ShutdownReport
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from ._stand_ins import Reader, StandIn
from .live_system import LONGEST_WAIT, LiveSystem, hosting
from .system_opening import as_resource

FEEDER, READER = "the test", "the probe"
_ROOM = 10_000  # messages that a component may send before the test has to read them
_SOURCE_GRACE = 0.01


class Probe:
    """One component at work; made by ``probe``.

    Args:
        harness: A system of the component, what feeds it and what reads it.
        name: The component's name.
        timeout: Seconds that a call waits while something is still at work.

    Attributes:
        live: The system around the component.
    """

    def __init__(self, harness: SystemExecutionHarness, name: str, timeout: float) -> None:
        self.live = LiveSystem(harness, timeout=timeout)
        self._member = harness.wiring.members[name]
        self._name = name
        self._reader: Reader = harness.components[READER]
        self._feeder: StandIn = harness.components[FEEDER]
        self._inputs: Mapping[str, Any] = self._feeder.send_streams
        self._outputs: Mapping[str, Any] = self._reader.receive_streams
        self._is_ended = False

    # --- what goes in and comes out ------------------------------------------------------------------

    async def feed(self, *messages: Any, port: str | None = None) -> None:
        """Send messages to the component.

        Args:
            messages: What to send, in this order.
            port: The input; not needed where there is one.

        Raises:
            UnknownPortError: There is no such input.
            PortEndedError: The component has ended, or its input was ended by ``finish``.
            SystemFailed: The component has failed.
        """
        name = self._port(port, self._inputs, "input")
        if self._is_ended:
            raise PortEndedError(f"{self._name}.{name}: its end was sent already")
        stream = self._inputs[name]
        for message in messages:
            try:
                state = await self.live.until(partial(_sent, stream, message), f"room on {name}")
            except (ReaderEndedError, anyio.ClosedResourceError):
                state = "over"
            if state == "over":
                await self.live.fail_if_failing()
                raise PortEndedError(f"{self._name} has ended, and receives nothing any more")
            if state == "still":
                raise NoMessageError(f"{self._name}.{name} is full, and {self._name} {self._doing()}")

    async def next(self, port: str | None = None) -> Any:
        """Return the next message that the component has sent; a source goes on as it is asked.

        Args:
            port: The output; not needed where there is one besides ``rejected``.

        Raises:
            UnknownPortError: There is no such output.
            NoMessageError: None is there, and none will come; known at once, without waiting.
            SystemFailed: The component has failed, and none is there.
            UnsettledError: It is still at work after the time-out; the message says at what.
        """
        name = self._port(port, self._outputs, "output")
        try:
            message = await self.live.next(f"{self._name}.{name}")
        except NoMessageError as error:
            raise NoMessageError(f"{error}; {self._name} {self._doing()}") from None
        if not self._reader.released.is_set():
            self._outputs[name].receive_nowait()
        return message

    def outputs(self, port: str | None = None) -> list[Any]:
        """Return all that the component has sent so far, also what ``next`` has returned."""
        name = self._port(port, self._outputs, "output")
        return self.live.sent(f"{self._name}.{name}")

    @property
    def rejected(self) -> list[Any]:
        """All that it has sent to ``rejected`` so far."""
        return self.outputs("rejected")

    async def settle(self) -> None:
        """Wait until the component has done what there is to do, and waits for a message.

        Raises:
            SystemFailed: It has failed.
            UnsettledError: It is still at work after the time-out; the message says at what.
        """
        await self.live.settle()

    async def finish(self) -> dict[str, list[Any]]:
        """End all inputs, and wait until the component has ended.

        Returns:
            All that it has sent, by output; ``rejected`` only if it has sent something there.

        Raises:
            SystemFailed: It has failed.
            UnsettledError: It does not end.
        """
        self.end_inputs()
        state = await self.live.until(lambda: False, f"{self._name} to end")
        self.live.raise_failure()
        if state != "over":
            raise UnsettledError(f"{self._name} does not end although its inputs have: it {self._doing()}")
        sent = {port: self.outputs(port) for port in self._outputs}
        return {port: messages for port, messages in sent.items() if messages or port != "rejected"}

    # --- looking -------------------------------------------------------------------------------------

    @property
    def component(self) -> ComponentLike:
        """The component itself."""
        made: ComponentLike = self._member.component
        return made

    @property
    def is_source(self) -> bool:
        """Whether the component has no inputs."""
        return not self._inputs

    @property
    def context(self) -> Context:
        """What the component sees of its system.

        Raises:
            AttributeError: The component keeps none; only one that inherits from nothing of ours may not.
        """
        found: Context = self._member.component.context
        return found

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The messages on which it has failed for good."""
        return self.live.dead_letters

    @property
    def failure(self) -> SystemFailed | None:
        """The error with which it has failed; read here, it is not raised at the end of the block."""
        return self.live.failure

    @property
    def report(self) -> ShutdownReport | None:
        """How it has ended; None before its end."""
        return self.live.report

    # --- inside --------------------------------------------------------------------------------------

    def _port(self, port: str | None, known: Mapping[str, Any], direction: str) -> str:
        if port is not None:
            name = port.removeprefix(f"{self._name}.").rstrip("_") or port
            if name in known:
                return name
            self.live.harness.wiring.endpoints(f"{self._name}.{name}", direction)
            hint = did_you_mean(name, known) or f"give {direction}s=('{name}',) to the probe"
            raise UnknownPortError(f"'{self._name}.{name}' is not in the probe", hint=hint)
        names = list(known)
        plain = [name for name in names if name != "rejected"] or names
        if len(plain) == 1:
            return plain[0]
        return self.live.harness.wiring.endpoints(self._name, direction)[0].port  # type: ignore[index]

    def _doing(self) -> str:
        """Return why it does nothing."""
        if self._member.status.state in (ComponentState.STOPPED, ComponentState.ERROR):
            return "has ended"
        full = [
            outlet.name for outlet in self._member.outlets.values() if any(e.blocked for e in outlet.lanes)
        ]
        return f"waits for room on '{full[0]}', so read that first" if full else "waits for a message"

    def end_inputs(self) -> None:
        """End all inputs of the component, and take what it still sends."""
        self._is_ended = True
        for part in (self._feeder, self._reader):
            part.released.set()


def probe(
    factory: Any,
    /,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    attempts: int | None = None,
    on_error: OnError | None = None,
    backoff: float = 0.0,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    timeout: float = LONGEST_WAIT,
    **settings: Any,
) -> AbstractAsyncContextManager[Probe]:
    """Run one component around a block, in a real harness; its inputs end at the end of the block.

    A component without inputs is a source: it sends as the test reads, and is stopped at the block's end.
    A function works in the event loop, whatever its ``run_in`` says.

    Args:
        factory: A class, a function, or a finished component.
        name: The component's name; that of the class or function where None.
        config: Its settings; those that are named like an argument of this function can only be given here.
        resources: The shared resources that it asks for: values by name, or a class or function that makes one
            (or a context manager of one).
        attempts: How often a function component tries a message; as it says itself where None.
        on_error: What it does after the last attempt; as it says itself where None.
        backoff: Seconds before its second attempt.
        inputs: The inputs of a component that declares none; ``in`` where None.
        outputs: The outputs of a component that declares none; ``out`` where None.
        timeout: Seconds that a call waits while the component is at work.
        settings: Its settings by name; they win over ``config``.

    Returns:
        A context manager that gives the ``Probe``.

    Raises:
        WiringError: It is no component, or its settings do not fit.
        SystemFailed: The component has failed, and the test did not look at it.
        UnsettledError: It did not end.
    """
    title = name or str(getattr(factory, "name", None) or getattr(factory, "__name__", "component"))
    grace = min(_SOURCE_GRACE, timeout)
    harness = SystemExecutionHarness(
        "probe", shutdown_timeout=timeout, cleanup_timeout=timeout, source_grace=grace
    )
    for key, value in (resources or {}).items():
        harness.resource(key, as_resource(value))
    harness.add(
        title, factory, {**(config or {}), **settings}, restart="never"
    )  # a test is to see each crash
    _set_attempts(harness.components[title], attempts, on_error, backoff)
    _join(harness, title, inputs, outputs)
    return _probing(harness, title, timeout)


def _set_attempts(made: Any, attempts: int | None, on_error: OnError | None, backoff: float) -> None:
    """Change what becomes of a message that fails, as far as something was said."""
    said: dict[str, Any] = {"attempts": attempts, "on_error": on_error}
    said = {key: value for key, value in said.items() if value is not None}
    if isinstance(made, FunctionComponent):
        made.attempts = replace(made.attempts, backoff=backoff, run_in="loop", **said)
    elif said:
        raise ConfigError(
            f"{type(made).__name__}: {', '.join(said)} is for function components: a probe does not restart"
        )


def _join(
    harness: SystemExecutionHarness, name: str, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> None:
    """Connect every port of a component to what feeds it and what reads it."""
    table = ports_of(harness.components[name])
    into = table.inputs if table.inputs is not None else _named(inputs, table.outputs, "in")
    out = table.outputs if table.outputs is not None else _named(outputs, table.inputs, "out")
    harness.add(FEEDER, StandIn(FEEDER, PortTable({}, {port: Port(port) for port in into})))
    harness.add(READER, Reader(READER, out))
    for port in into:
        harness.connect(f"{FEEDER}.{port}", f"{name}.{port}", buffer_size=_ROOM)
    for port in out:
        harness.connect(f"{name}.{port}", f"{READER}.{port}", buffer_size=_ROOM if into else 1)


def _named(names: Sequence[str] | None, other_way: Mapping[str, Port] | None, usual: str) -> dict[str, Port]:
    """Return the ports of a direction that declares none: none at all where the other direction declares some."""
    if names is None:
        names = () if other_way is not None else (usual,)
    return {name: Port(name) for name in names}


@asynccontextmanager
async def _probing(harness: SystemExecutionHarness, name: str, timeout: float) -> AsyncIterator[Probe]:
    held = Probe(harness, name, timeout)
    async with hosting(held.live, at_end=held.end_inputs):
        yield held


def _sent(stream: Any, message: Any) -> bool:
    try:
        stream.send_nowait(message)
    except anyio.WouldBlock:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Fed:
    """What a component made of all its messages.

    Attributes:
        outputs: What it has sent, by output.
        dead_letters: The messages on which it has failed for good.
        report: How it has ended.
    """

    outputs: dict[str, list[Any]]
    dead_letters: tuple[DeadLetter, ...]
    report: ShutdownReport

    @property
    def out(self) -> list[Any]:
        """What it has sent to ``out``."""
        return self.outputs["out"]

    @property
    def rejected(self) -> list[Any]:
        """What it has sent to ``rejected``."""
        return self.outputs.get("rejected", [])


def feed_all(
    factory: Any,
    messages: Iterable[Any] | Mapping[str, Iterable[Any]] = (),
    /,
    *,
    backend: str = "asyncio",
    **options: Any,
) -> Fed:
    """Give a component messages, end its inputs, and return what it made of them; for tests that are not async.

    Args:
        factory: A class, a function, or a finished component.
        messages: The messages, or for several inputs a mapping of them by input.
        backend: ``asyncio`` or ``trio``.
        options: What ``probe`` takes.

    Raises:
        SystemFailed: The component has failed.
    """

    async def main() -> Fed:
        async with probe(factory, **options) as held:
            by_port = messages if isinstance(messages, Mapping) else {None: messages}
            for port, some in by_port.items():
                for message in some:
                    await held.feed(message, port=port)
            outputs = await held.finish()
        report = held.report
        assert report is not None  # it has finished
        return Fed(outputs, held.dead_letters, report)

    return anyio.run(main, backend=backend)


__all__ = ["Fed", "Probe", "feed_all", "probe"]
