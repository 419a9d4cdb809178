"""Traces of single messages: spans of what each component does with one, joined across edges, threads and HTTP.

Of what a source sends a message now and then is followed, or whichever came with a ``traceparent``. It goes alone
from edge to edge, and only while one is in hand does anything cost more than usual. Off, nothing of this is loaded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace.exceptions import ConfigError, MissingExtraError
from headrace.runtime.log import tell_traces
from headrace.runtime.tracing import use_tracing
from headrace.streams.edge import AnyEdge
from headrace.streams.marks import Marks
from headrace.streams.outlet import AnyOutlet
from headrace.streams.watched_store import mark

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise MissingExtraError("a trace of messages", "otel") from error

if TYPE_CHECKING:
    from headrace.runtime.system_execution_harness import SystemExecutionHarness
    from headrace.runtime.wiring import Wiring

WIDEST = 16
"""How many of the messages that a component sends for one that is followed are followed too."""
_PROPAGATOR = TraceContextTextMapPropagator()


class _Ear:
    """Hears what an output sends while somebody wants to know it, and has the messages marked that are followed.

    Args:
        outlet: The output.
        begin: Begins a trace of a message.
    """

    def __init__(self, outlet: AnyOutlet, begin: Callable[[], trace.Span]) -> None:
        self._outlet = outlet
        self._begin = begin
        self._begins = self._hears = False
        self._following = self._left = 0
        self._stored: dict[AnyEdge, int] = {}

    def begin(self) -> None:
        """Let a trace begin with the next message. May be called while messages are on their way to the edges."""
        self._begins = True
        self._hear()

    def follow(self) -> None:
        """Follow what is sent by tasks that have a span, until ``leave`` was called as often."""
        self._following += 1
        self._left = WIDEST
        if not self._hears:
            self._outlet.flush()  # what was sent before
        self._hear()

    def leave(self) -> None:
        """Follow no longer what is sent by tasks that have a span."""
        self._following -= 1
        self._stop_if_idle()

    def stop(self) -> None:
        """Hear nothing more."""
        self._begins, self._following = False, 0
        self._stop_if_idle()

    def _hear(self) -> None:
        if not self._hears:
            self._hears = True
            self._reached()
            self._outlet.add_tap(self._heard)

    def _stop_if_idle(self) -> None:
        if self._hears and not self._begins and self._following <= 0:
            self._hears = False
            self._outlet.remove_tap(self._heard)

    def _heard(self, message: object) -> None:
        reached = self._reached()
        if not reached:  # it was on its way already, or reaches nobody
            return
        span = trace.get_current_span()
        if self._begins:
            self._begins = False
            if not span.is_recording():
                span = self._begin()
                span.end()
            self._mark(reached, span)
            self._stop_if_idle()
        elif span.is_recording() and self._left > 0:
            self._left -= 1
            self._mark(reached, span)

    def _reached(self) -> list[Marks]:
        """Return the marks of the edges that something was stored on since this was asked last."""
        reached = []
        for edge in self._outlet.lanes:
            marks = edge.store.marks
            if marks is not None and marks.stored > self._stored.get(edge, 0):
                self._stored[edge] = marks.stored
                reached.append(marks)
        return reached

    def _mark(self, reached: list[Marks], span: trace.Span) -> None:
        context = span.get_span_context()
        if context.trace_flags.sampled:
            for marks in reached:
                marks.mark_last((context, time.time_ns()))


class SystemTracer:
    """Follows messages of a system; made by ``trace_system``.

    Args:
        name: The system's name.
        tracer: Makes the spans.
        per_second: How many messages of each source are followed, at most.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self, name: str, tracer: trace.Tracer, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not per_second >= 0:
            raise ConfigError(f"per_second must be at least 0, not {per_second!r}", field="per_second")
        self._name = name
        self._tracer = tracer
        self._pause = 1 / per_second if per_second else math.inf
        self._clock = clock
        self._marked: list[tuple[AnyEdge, Marks]] = []
        self._due: dict[AnyOutlet, float] = {}
        self._ears: dict[AnyOutlet, _Ear] = {}

    # --- a run -------------------------------------------------------------------------------------

    def run_begins(self, wiring: Wiring) -> None:
        """Look at the edges of a run."""
        _tracing.append(self)
        now = self._clock()
        for member in wiring.members.values():
            for outlet in member.outlets.values():
                self._ears[outlet] = _Ear(outlet, partial(self._source_span, member.name))
                if member.is_source and not math.isinf(self._pause):
                    self._due[outlet] = now
        for edge in wiring.edges.values():
            reader = wiring.members[edge.inlet.name.rpartition(".")[0]]
            ears = [self._ears[outlet] for outlet in reader.outlets.values()]
            marks = Marks(edge, partial(self._taken, edge, reader.name, ears), self._passing)
            mark(edge, marks)
            self._marked.append((edge, marks))
        for outlet in self._due:
            self._passing_at(outlet, now)

    def run_ends(self) -> None:
        """Finish what is under way, and leave the edges as they were."""
        _tracing.remove(self)
        for edge, marks in self._marked:
            marks.end()
            mark(edge, None)
        for ear in self._ears.values():
            ear.stop()
        self._marked, self._due, self._ears = [], {}, {}

    def ears_of(self, outlets: Iterable[AnyOutlet]) -> list[_Ear]:
        """Return what hears some outputs, where they are of this system."""
        return [self._ears[outlet] for outlet in outlets if outlet in self._ears]

    # --- a message begins to be followed, and is worked on ---------------------------------------------

    def _passing(self, edge: AnyEdge) -> None:
        """Follow the next message of a source, where it is time for that."""
        outlet = edge.outlet
        if outlet in self._due:
            self._passing_at(outlet, self._clock())

    def _passing_at(self, outlet: AnyOutlet, now: float) -> None:
        if self._due[outlet] <= now:
            self._due[outlet] = now + self._pause
            self._ears[outlet].begin()

    def _source_span(self, component: str) -> trace.Span:
        attributes = {"headrace.system": self._name, "headrace.component": component}
        return self._tracer.start_span(
            component, context=contexts.Context(), kind=SpanKind.PRODUCER, attributes=attributes
        )

    def _taken(
        self, edge: AnyEdge, component: str, ears: list[_Ear], what: tuple[trace.SpanContext, int]
    ) -> Callable[[bool], None]:
        """Begin the span of a component, in the task that gets the message; returns what ends it."""
        parent, since = what
        now = time.time_ns()
        attributes: Mapping[str, str | float] = {
            "headrace.system": self._name,
            "headrace.component": component,
            "headrace.edge": edge.key,
            "headrace.waited": (now - since) / 1e9,
        }
        above = trace.set_span_in_context(trace.NonRecordingSpan(parent), contexts.Context())
        span = self._tracer.start_span(
            component, context=above, kind=SpanKind.CONSUMER, attributes=attributes, start_time=now
        )
        contexts.attach(trace.set_span_in_context(span))
        for ear in ears:
            ear.follow()

        def finish(is_dead: bool) -> None:
            if is_dead:
                span.set_status(StatusCode.ERROR, "the message is a dead letter")
            span.end()
            for ear in ears:
                ear.leave()

        return finish


_tracing: list[SystemTracer] = []


def trace_system(
    system: SystemExecutionHarness,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    per_second: float = 1.0,
) -> SystemTracer:
    """Trace the runs of a system from the next one on.

    Args:
        system: The system.
        tracer_provider: Where spans go; the global one of OpenTelemetry where None.
        per_second: How many messages of each source are followed, at most; those that come with a
            ``traceparent`` always are. 0 for these alone.

    Raises:
        ConfigError: A number does not fit.
    """
    tracer = trace.get_tracer("headrace", tracer_provider=tracer_provider)
    made = SystemTracer(system.name, tracer, per_second)
    system.watchers.append(made)
    use_tracing(partial(_traced, tracer), _traceparent)
    tell_traces(_about_now)
    return made


@contextmanager
def _traced(tracer: trace.Tracer, traceparent: str, name: str, outs: tuple[Any, ...]) -> Iterator[None]:
    above = _PROPAGATOR.extract({"traceparent": traceparent}, context=contexts.Context())
    outlets = [outlet for out in outs if (outlet := getattr(out, "outlet", None)) is not None]
    ears = [ear for one in _tracing for ear in one.ears_of(outlets)]
    with tracer.start_as_current_span(name, context=above, kind=SpanKind.SERVER):
        for ear in ears:
            ear.follow()
        try:
            yield
        finally:
            for ear in ears:
                ear.leave()


def _traceparent() -> str:
    carrier: dict[str, str] = {}
    if trace.get_current_span().is_recording():
        _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def _about_now() -> Mapping[str, Any]:
    span = trace.get_current_span()
    if not span.is_recording():
        return {}
    return {"trace_id": trace.format_trace_id(span.get_span_context().trace_id)}


__all__ = ["WIDEST", "SystemTracer", "trace_system"]
