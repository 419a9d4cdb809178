"""``@component``: a plain function as a component.

A function with a message parameter maps, filters (None) or flat-maps (a generator); a generator
without one is a source. Keyword-only parameters are its settings, resources of the system, and ``meta``.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any, Generic, ParamSpec, TypeVar, overload

import anyio
import msgspec

from headrace.exceptions import ConfigError, ReaderEndedError
from headrace.model.message import Meta, Rejected
from headrace.model.options import Attempts, OnError, RunIn
from headrace.model.port import PortTable
from headrace.model.report import text_of
from headrace.model.restart_policy import RestartPolicy, When
from headrace.model.settings import convert_settings

from .function_away import Away, Told
from .function_concurrency import work_concurrently
from .function_outputs import Outputs, outputs_of, tells_of_readers
from .function_settings import refuse_options, resources_for
from .function_signature import is_async, is_truthful, parameters, ports, title, yields
from .function_source import send_yielded
from .function_stage import Batch, Begun, Stage, sorted_out, stage_of
from .harness_component import HarnessComponent
from .resource import ResourceNeed

P = ParamSpec("P")
R = TypeVar("R")
_METAS = 1024  # as many as there may be messages in a batch


class ComponentFunction(Generic[P, R]):
    """A function that is also a factory of components; calling it calls the function.

    Args:
        fn: The function.
        attempts: What becomes of a message on which it fails.
        restart: When its components are restarted; None where it does not say.

    Raises:
        ConfigError: The function's parameters do not fit.
    """

    def __init__(self, fn: Callable[P, R], attempts: Attempts, restart: RestartPolicy | None = None) -> None:
        found = parameters(fn)
        self.message_parameter = found.message
        self.settings_type = found.settings
        self.resource_needs = found.resources
        self.meta_parameter = found.meta
        self.fn = fn
        self.attempts = attempts
        self.restart = restart
        functools.update_wrapper(self, fn, updated=())
        if self.message_parameter is None and not yields(fn):
            raise ConfigError(
                f"{title(fn)} takes no message, so it is a source, and a source is a generator",
                hint="yield the messages, or give it a message parameter",
            )
        self._port_table = ports(fn, self.message_parameter)

    @property
    def port_table(self) -> PortTable:
        """The ports; their types may be defined further down than the function."""
        if self._port_table.unresolved:
            anew = ports(self.fn, self.message_parameter)
            self._port_table = min(self._port_table, anew, key=lambda table: len(table.unresolved))
        return self._port_table

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def build(
        self, name: str, config: Mapping[str, Any] | None = None, *, attempts: Attempts | None = None
    ) -> FunctionComponent:
        """Make a component of this name; ``attempts`` replaces what the decorator said.

        Raises:
            ConfigError: The settings do not fit the function's keyword-only parameters.
        """
        return FunctionComponent(name, config, function=self, attempts=attempts or self.attempts)

    def __repr__(self) -> str:
        return f"<component {title(self.fn)}>"


class FunctionComponent(HarnessComponent):
    """A component whose work is a function; made by ``ComponentFunction.build``.

    Attributes:
        outputs: Where its outputs go.
        stage: Its function at work.
        begun: The messages on which it was called, and that it has still to receive.
        fused_out: What its outputs go to instead of the stream ``out``; set by the runtime.
        away: Where its function works if not in the event loop; set by the runtime.
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        function: ComponentFunction[..., Any],
        attempts: Attempts,
    ) -> None:
        super().__init__(name)
        refuse_options(config or {}, function.settings_type)
        typed = convert_settings(config or {}, function.settings_type)
        self.config = msgspec.structs.asdict(typed)
        self.attempts = attempts
        if attempts.concurrency > 1 and attempts.run_in == "loop" and not is_async(function.fn):
            raise ConfigError(
                f"{name}: concurrency is for asynchronous functions of a message",
                hint="write `async def`, or run_in: thread or process, or leave it out",
                field="concurrency",
            )
        self.function = function
        self.port_table = function.port_table
        self.resource_needs: Mapping[str, ResourceNeed] = function.resource_needs
        self._arguments: dict[str, Any] = self.config
        self._meta: Meta | None = None
        self._metas: deque[Meta | None] = deque(maxlen=_METAS)
        self._again = False  # whether messages come that an earlier life has left
        self.outputs = Outputs({})
        self.stage: Stage = stage_of(function.fn, function.fn)
        self.begun: deque[Begun] = deque()
        self.fused_out: Any = None
        self.away: Away | None = None

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready: take the resources that the function asks for, and start its workers.

        Raises:
            ConfigError: There is no resource of that name.
            WorkerStartFailed: A worker process did not get ready.
        """
        await super().setup(harness_context)
        self._arguments = {**self.config, **resources_for(self.name, self.resource_needs, self.context)}
        if self.away is not None:
            await self.away.open()

    async def process(self) -> None:
        """Run the function on the messages, or send what the source yields."""
        self.outputs = Outputs(self.send_streams, self.fused_out)
        if self.function.message_parameter is None:
            produced = self.function.fn(**self._arguments)
            truthful = is_truthful(self.function.fn)
            await send_yielded(produced, self.outputs, self._is_stopping, truthful=truthful)
            return
        self.begun.clear()
        self.stage = stage_of(self._bound(), self.function.fn)
        stream: Any = self.receive_streams["in"]
        self._again = getattr(stream, "has_redeliveries", False)
        try:
            await self._work_through(stream)
        except (ReaderEndedError, BaseExceptionGroup) as error:
            if tells_of_readers(error) and hasattr(stream, "inlet"):
                stream.inlet.settle_all("dropped", "reader_ended")  # what they gave has reached nobody
            raise

    async def _work_through(self, stream: Any) -> None:
        """Work on all messages of the input."""
        if self.away is not None:
            await self.away.work(self, stream)
            return
        if self.attempts.concurrency > 1:
            await work_concurrently(
                stream, self.attempts.concurrency, self._prepare, ordered=self.attempts.ordered
            )
            return
        if not hasattr(stream, "take"):  # AnyIO's own
            async for message in stream:
                await self._work_on(message)
            return
        await self._work_on_batches(stream)

    async def cleanup(self) -> None:
        """Close every stream, and end its workers."""
        await super().cleanup()
        if self.away is not None:
            await self.away.close()

    async def _work_on_batches(self, stream: Any) -> None:
        while True:
            if self.outputs.is_late:
                stream.settle()
                await self.outputs.catch_up()
            try:
                messages = await stream.take()
            except anyio.EndOfStream:
                return
            if self.begun or self._again or self.stage.kind == "each":
                for message in messages:
                    await self._work_on(message)
            else:
                await self._work_on_many(stream, messages)

    def _is_stopping(self) -> bool:
        return self.context.stop_event.is_set()

    def _bound(self) -> Callable[[Any], Any]:
        """Return the function with all its arguments but the message, for the first attempt at one."""
        if self.function.meta_parameter:
            return self._call_with_new_meta
        if self._arguments:
            return functools.partial(self.function.fn, **self._arguments)
        return self.function.fn

    async def _work_on_many(self, stream: Any, messages: Iterator[Any]) -> None:
        """Work on as many messages as there is room for; nothing is awaited before their outputs are sent.

        Where there is no room, it works on one message and waits, with that one in hand.
        """
        room = self.outputs.look()
        batch = self.stage.run(messages, max(room, 1))
        if batch.unfinished:
            stream.take_back(batch.open)
            self.begin(stream.rest(), batch)
        if room > 0:
            self.outputs.put(batch.outputs, batch.rejected)
        elif batch.outputs or batch.rejected:
            if self._meta is not None:
                stream.note(0, self._meta)
            await self.outputs.send(batch.outputs, batch.rejected)
        if batch.error is not None and not batch.unfinished:
            await self._work_on(stream.hand, Begun(None, error=batch.error, meta=self._meta))

    def begin(self, messages: Iterable[Any], batch: Batch) -> None:
        """Take note of messages that are received next, and on which the function was called already."""
        if not batch.open:
            return
        known = [*repeat(None, batch.open), *self._metas][-batch.open :]
        results = zip(messages, known, strict=False)
        for result, (message, meta) in zip(batch.unfinished, results, strict=False):
            self.begun.append(Begun(message, result, meta=meta))
        if batch.error is not None:
            message, meta = next(results)
            self.begun.append(Begun(message, error=batch.error, meta=meta))

    def _already_begun(self, message: object) -> Begun | None:
        """Return what is known of a message; forget all if it is not among those that were begun."""
        while self.begun:
            begun = self.begun.popleft()
            if begun.message is message:
                return begun
        return None

    async def _work_on(self, message: object, begun: Begun | None = None) -> None:
        """Send all outputs of one message, once it is through or has failed for good."""
        if self.begun:
            begun = self._already_begun(message)
        results = await self._attempt(message, self.receive_streams["in"], begun)
        if results:
            await self.outputs.send(*sorted_out(results))

    async def _prepare(self, message: object, handle: Any) -> Callable[[], Awaitable[None]]:
        """Work on one of several messages; what is returned sends its outputs."""
        results = await self._attempt(message, handle, None)
        return functools.partial(self.outputs.send, *sorted_out(results))

    async def _attempt(self, message: object, stream: Any, begun: Begun | None) -> list[Any]:
        """Return all outputs of a message, or none where it failed for good."""
        attempt = 1
        meta = None if begun is None else begun.meta
        if self._again:
            attempt, meta = 1 + stream.tried, stream.meta or meta
            self._again = stream.has_redeliveries
        while True:
            try:
                if begun is None:
                    arguments = self._arguments
                    if self.function.meta_parameter:
                        meta = self.next_meta(meta, attempt)
                        _note(stream, attempt - 1, meta)
                        arguments = {**arguments, self.function.meta_parameter: meta}
                    return await outputs_of(self.function.fn(message, **arguments))
                if begun.error is not None:
                    raise begun.error
                return await outputs_of(begun.result)
            except Exception as error:
                if attempt >= self.attempts.attempts:
                    failed = Begun(message, error=error, meta=meta)
                    return await self.give_up(failed, attempt, stream)
                _note(stream, attempt, meta)
                attempt += 1
                begun = None
            await anyio.sleep(self.attempts.pause_before(attempt))

    def call_told(self, told: Told) -> Any:
        """Call the function on a message of which is known what it is to be told; in a thread of its own."""
        meta = {} if told.meta is None else {self.function.meta_parameter: told.meta}
        return self.function.fn(told.message, **self._arguments, **meta)

    def _call_with_new_meta(self, message: object) -> Any:
        self._meta = self.next_meta(None, 1)
        self._metas.append(self._meta)
        return self.function.fn(message, **self._arguments, **{self.function.meta_parameter: self._meta})

    def next_meta(self, known: Meta | None, attempt: int) -> Meta:
        """Return what is known about a message; its id stays the same at each attempt."""
        if known is None:
            known = Meta(self.context.new_id())
        return msgspec.structs.replace(known, attempt=attempt)

    async def give_up(self, failed: Begun, attempts: int, stream: Any) -> list[Any]:
        """Do with a message what ``on_error`` says, and enter it in the books, where its stream keeps any."""
        message, error = failed.message, failed.error
        assert error is not None
        action = self.attempts.on_error
        if action == "reject":
            return [Rejected(message, f"{type(error).__name__}: {text_of(error)}")]
        settle = getattr(stream, "settle", _keep_no_books)
        if action == "drop":
            settle("dropped", "on_error")
            return []
        put_away = self.context.dead_letter
        if action == "crash" or put_away is None:
            _note(stream, attempts, failed.meta)
            raise error
        edge = getattr(stream, "edge_in_hand", "")
        known = "" if failed.meta is None else failed.meta.id
        await put_away(message, error, attempts=attempts, edge=edge, id=known)
        settle("dead_lettered")
        return []


def _note(stream: Any, tried: int, meta: Meta | None) -> None:
    """Let a stream know what to tell of the message in hand at its next delivery, where it delivers again."""
    if hasattr(stream, "note"):
        stream.note(tried, meta)


def _keep_no_books(outcome: str, reason: str = "") -> None:
    """Stand in for AnyIO's own streams."""


@overload
def component(fn: Callable[P, R], /) -> ComponentFunction[P, R]: ...


@overload
def component(
    *,
    attempts: int = 3,
    on_error: OnError = "dead_letter",
    backoff: float = 0.05,
    concurrency: int = 1,
    ordered: bool = True,
    fuse: bool = True,
    run_in: RunIn = "loop",
    restart: RestartPolicy | When | None = None,
) -> Callable[[Callable[P, R]], ComponentFunction[P, R]]: ...


def component(
    fn: Callable[P, R] | None = None,
    /,
    *,
    attempts: int = 3,
    on_error: OnError = "dead_letter",
    backoff: float = 0.05,
    concurrency: int = 1,
    ordered: bool = True,
    fuse: bool = True,
    run_in: RunIn = "loop",
    restart: RestartPolicy | When | None = None,
) -> ComponentFunction[P, R] | Callable[[Callable[P, R]], ComponentFunction[P, R]]:
    """Make a function a component; it stays callable as it was.

    Args:
        fn: A ``def``, ``async def``, generator or async generator, also as a bound method, partial or
            callable object. Its first positional parameter is the message; without one it is a source.
            A keyword-only parameter is a setting, or a resource of the system (``db: Resource[Pool]``), or
            what is known about the message (``meta: Meta``).
            Returning None lets the message go, and a None that is yielded goes nowhere; returning or
            yielding ``Rejected(message, reason)`` sends it to the port ``rejected``.
        attempts: How often a message is tried in all.
        on_error: What happens after the last attempt: ``dead_letter``, ``reject``, ``drop`` or ``crash``.
        backoff: Seconds before the second attempt, doubling with each further one.
        concurrency: How many messages an asynchronous function works on at once, or how many threads or
            processes a plain one has where ``run_in`` says so.
        ordered: Whether its outputs keep the order of the messages; else each is sent when it is there.
        fuse: Whether a synchronous function may work in one task with its neighbours; results are the same.
        run_in: Where a plain function works: in the event ``loop``, in a ``thread``, which may wait, or in a
            worker ``process``, which computes on another core.
        restart: When its component is restarted, should it crash: ``never``, after a ``failure``, ``always``, or a
            ``RestartPolicy``; what the system says where None.

    Raises:
        ConfigError: An option or the function's parameters do not fit.
    """
    policy = Attempts(attempts, on_error, backoff, concurrency, ordered, fuse, run_in)

    when = None if restart is None else RestartPolicy.of(restart)

    def decorate(later: Callable[P, R]) -> ComponentFunction[P, R]:
        plain = later.fn if isinstance(later, ComponentFunction) else later
        return ComponentFunction(plain, policy, when)

    return decorate if fn is None else decorate(fn)


__all__ = ["ComponentFunction", "FunctionComponent", "component"]
