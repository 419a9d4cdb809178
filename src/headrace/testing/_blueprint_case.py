"""One test of a blueprint at work: its ports and messages are looked up first, then it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from anyio import Event, create_task_group

from headrace.exceptions import NoMessageError, ProbeError, SystemFailed, WiringError
from headrace.model.blueprint import Complaints, Position
from headrace.model.blueprint_tests import PortMessages, TestSpec
from headrace.model.endpoint import Endpoint, did_you_mean
from headrace.model.report import describe
from headrace.runtime.system_execution_harness import SystemExecutionHarness
from headrace.runtime.wiring import Member

from ._comparing import Mismatch, compare
from ._plain_messages import show, to_message, to_plain
from ._records import Direction, directions
from ._stand_ins import StandIn
from ._stillness import passive
from .component_probe import Probe, probe
from .live_system import LiveSystem
from .system_opening import Opened, alone

_DRAIN = 0.5  # seconds that a test which did not end has to be drained


@dataclass(frozen=True, slots=True)
class _Port:
    """A port that a test names, with its messages as they are sent, or as they are written."""

    endpoint: Endpoint
    direction: Direction
    written: PortMessages
    messages: tuple[Any, ...]


class Case:
    """A test with everything it names.

    Args:
        spec: The test.
        harness: The system it is about; of its own.
        complaints: Where goes what it names and is not there.
        timeout: Seconds after which it is cut off.

    Attributes:
        mismatches: After the run: what was not as expected.
        error: After the run: what the system has failed with.
    """

    def __init__(
        self, spec: TestSpec, harness: SystemExecutionHarness, complaints: Complaints, timeout: float
    ) -> None:
        self.spec = spec
        self.mismatches: list[Mismatch] = []
        self.error: BaseException | None = None
        self._harness = harness
        self._complaints = complaints
        self._timeout = timeout
        self._component = "" if spec.component is None else spec.component.text
        if spec.component is not None and harness.wiring.get(self._component) is None:
            hint = did_you_mean(self._component, harness.wiring.registered)
            message = f"no component is named '{spec.component}'"
            complaints.error(spec.component.position, "E221", message, hint)
            return
        self._sends = [port for one in spec.send if (port := self._find(one, "send")) is not None]
        self._expects = [port for one in spec.expect if (port := self._find(one, "expect")) is not None]

    # --- what it names -----------------------------------------------------------------------------

    def _find(self, written: PortMessages, what: Literal["send", "expect"]) -> _Port | None:
        """Look a port up, and for sending make messages of what is written."""
        before = self._complaints.count
        at = written.position if written.port is None else written.port.position
        found: tuple[Endpoint, Direction] | None = None
        try:
            found = self._named(written, what)
        except WiringError as error:
            self._complaints.error(at, error.code, error.message, error.hint)
        if found is None or self._complaints.count > before:
            return None
        endpoint, direction = found
        messages = written.messages
        if what == "send":
            kind = _type_at(self._harness.wiring.member_of(endpoint.component), endpoint.port, direction)
            pairs = zip(written.messages, written.positions, strict=True)
            messages = tuple(self._message(value, place, kind, endpoint) for value, place in pairs)
        return _Port(endpoint, direction, written, messages)

    def _named(self, written: PortMessages, what: str) -> tuple[Endpoint, Direction]:
        if written.port is None:
            if not self._component:
                hint = f"write '{what}: {{COMPONENT.PORT: [...]}}'"
                raise WiringError(f"'{what}' of the whole graph has to name its ports", hint=hint)
            ways: tuple[Direction, ...] = ("input",) if what == "send" else ("output",)
            return self._resolved(self._component, ways)
        text = written.port.text
        if self._component and not text.startswith(f"{self._component}."):
            text = f"{self._component}.{text}"
        if not self._component:
            return self._resolved(text, directions(self._harness.wiring, text))
        return self._resolved(text, ("input",) if what == "send" else ("output", "input"))

    def _resolved(self, text: str, ways: Sequence[Direction]) -> tuple[Endpoint, Direction]:
        errors: list[WiringError] = []
        for way in ways:
            try:
                (endpoint,) = self._harness.wiring.endpoints(text, way) or ()
            except WiringError as error:
                errors.append(error)
                continue
            member = self._harness.wiring.member_of(endpoint.component)
            if self._component or endpoint.port in (member.outlets if way == "output" else member.inlets):
                return endpoint, way
        if errors:
            raise next((error for error in errors if "did you mean" in error.hint), errors[-1])
        raise WiringError(f"'{text}' is not connected", hint="name a port that is in 'connections'")

    def _message(self, value: Any, place: Position, kind: Any, endpoint: Endpoint) -> Any:
        try:
            return to_message(value, kind)
        except ValueError as error:
            text = " ".join(str(error).split())
            self._complaints.error(
                place, "E230", f"not a message for '{endpoint}': {text}", f"it takes {kind!r}"
            )
            return None

    # --- the run -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run it, and note what was not as expected."""
        try:
            if self._component:
                await self._run_component()
            else:
                await self._run_graph()
        except SystemFailed as error:
            self.error = error
            self._fail("; ".join(map(str, error.report.failures)))
        except ProbeError as error:
            self._fail(str(error))

    def _fail(self, text: str) -> None:
        self.mismatches.insert(0, Mismatch(text, self.spec.position))

    async def _run_component(self) -> None:
        wiring = self._harness.wiring
        member = wiring.member_of(self._component)
        ends = [(c.sender, c.receiver) for c in wiring.connections.values()]
        inputs = [receiver.port for _, receiver in ends if receiver.component == self._component]
        outputs = [sender.port for sender, _ in ends if sender.component == self._component]
        inputs += [port.endpoint.port for port in self._sends]
        outputs += [port.endpoint.port for port in self._expects if port.direction == "output"]
        async with probe(
            member.component,
            name=self._component,
            resources={
                name: wiring.resources[name].manager for name in member.needs if name in wiring.resources
            },
            inputs=tuple(dict.fromkeys(inputs)) or None,
            outputs=tuple(dict.fromkeys(outputs)) or None,
            timeout=self._timeout,
        ) as held:
            if held.is_source:
                await self._read_source(held)
            else:
                for port in self._sends:
                    await held.feed(*port.messages, port=port.endpoint.port)
                await held.finish()
            self._compare(held.live)

    async def _read_source(self, held: Probe) -> None:
        """Read as many messages as are expected, and one more: then it has ended, or may go on for ever."""
        for port in self._expects:
            try:
                for _ in range(len(port.messages)):
                    await held.next(port.endpoint.port)
            except NoMessageError:
                return

    async def _run_graph(self) -> None:
        replaced: dict[str, Any] = {}
        wiring = self._harness.wiring
        for name, member in ((name, wiring.member_of(name)) for name in wiring.registered):
            if (self.spec.send and member.is_source) or self._is_left_out(name, member):
                replaced[name] = None
        for other in self.spec.replace:
            if other.type is None:
                replaced[other.name.text] = None
            else:
                replaced.pop(other.name.text, None)
        opened = Opened(self._harness, replaced, timeout=self._timeout, drain=_DRAIN)
        async with alone(opened) as live:
            await self._send_all(live)
            await live.finish()
        self._compare(live)

    def _is_left_out(self, name: str, member: Member) -> bool:
        """Whether a component is a sink, and nothing is expected of what it sends."""
        connected = any(c.sender.component == name for c in self._harness.wiring.connections.values())
        is_asked = any(p.endpoint.component == name and p.direction == "output" for p in self._expects)
        return not (member.is_source or connected or is_asked)

    async def _send_all(self, live: LiveSystem) -> None:
        """Send at all ports at once; a source ends when all of its own, and all that goes to inputs, is sent."""
        into = [port for port in self._sends if port.direction == "input"]
        sources = {name: c for name, c in self._harness.components.items() if isinstance(c, StandIn)}
        busy = {name: [p for p in self._sends if p.endpoint.component == name] for name in sources}
        inputs_sent = Event()
        if not into:
            inputs_sent.set()

        async def send(ports: list[_Port], then: Callable[[], object]) -> None:
            for port in ports:
                await live.send(str(port.endpoint), *port.messages)
            then()

        async def act_as(name: str) -> None:
            await send(busy[name], lambda: None)
            await _wait(inputs_sent)
            sources[name].released.set()

        others = [p for p in self._sends if p.direction == "output" and p.endpoint.component not in sources]
        errors: list[Exception] = []
        async with create_task_group() as group:
            for job in (
                partial(send, into, inputs_sent.set),
                partial(send, others, lambda: None),
                *(partial(act_as, name) for name in sources),
            ):
                group.start_soon(_keeping, job, errors, group.cancel_scope.cancel)
        if errors:
            raise errors[0]

    # --- what came -----------------------------------------------------------------------------------

    def _compare(self, live: LiveSystem) -> None:
        for port in self._expects:
            came = live.sent if port.direction == "output" else live.received
            plain = [to_plain(message) for message in came(str(port.endpoint))]
            if self._component and self._is_source_output(port):
                plain = plain[: len(port.messages)]
            self.mismatches += compare(
                str(port.endpoint),
                port.written,
                plain,
                any_order=self.spec.any_order,
                partial=self.spec.partial,
            )
        letters = live.dead_letters
        if len(letters) != self.spec.dead_letters:
            said = [
                f"{a.component} gave up on {show(to_plain(a.message))}: {describe(a.error)}" for a in letters
            ]
            text = f"dead letters: want {self.spec.dead_letters} got {len(letters)}"
            self.mismatches.append(Mismatch("; ".join([text, *said]), self.spec.place("dead_letters")))

    def _is_source_output(self, port: _Port) -> bool:
        return port.direction == "output" and not self._harness.wiring.member_of(self._component).ports.inputs


async def _keeping(job: Callable[[], Any], errors: list[Exception], cancel: Callable[[], None]) -> None:
    """Do a job; keep its error, so that it is raised without a group."""
    try:
        await job()
    except Exception as error:
        errors.append(error)
        cancel()


@passive(lambda local: not local["event"].is_set())
async def _wait(event: Event) -> None:
    await event.wait()


def _type_at(member: Member, port: str, direction: Direction) -> Any:
    declared = member.ports.inputs if direction == "input" else member.ports.outputs
    return Any if declared is None or port not in declared else declared[port].type


__all__ = ["Case"]
