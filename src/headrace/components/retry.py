"""``retry``: a function that may fail for a while, called again with growing pauses."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib import import_module
from inspect import isawaitable
from typing import Any, Literal

import anyio
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.message import Rejected
from headrace.model.report import describe
from headrace.model.restart_policy import Backoff

from .named import named
from .times import Duration, seconds

_ours: ContextVar[bool] = ContextVar("retry of a component", default=False)


class Retry(HarnessComponent):
    """Calls a function with each message, again where it fails, and sends what it returns, in order.

    A ``Rejected`` goes to ``rejected``, None nowhere. A message whose last call fails, whose time is over, or that
    fails with another error than those that are worth another call, goes to ``rejected`` or becomes a dead letter.
    ``stamina.set_active(False)`` and ``stamina.set_testing()`` work on it in tests. A function that is not
    ``async`` is called in the event loop.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package stamina is missing.

    Attributes:
        retried: How many calls were made again.
        given_up: How many messages were given up.
    """

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]
    accumulates = False

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a retry.

        Attributes:
            call: The function, or ``module:name`` of one in a module beside the blueprint, or one that the
                system has loaded.
            on: The exceptions after which it is called again: a built-in name such as ``OSError``, or
                ``module:name``.
            max_attempts: How often it is called for a message at most.
            within: How long a message may take, pauses included; a call that takes longer is cancelled.
            first: The pause before the second call; each further one is twice as long.
            longest: How long no pause exceeds.
            jitter: What share of a pause is left to chance, from 0 to 1.
            otherwise: What becomes of a message that is given up: ``reject`` or ``dead_letter``.
        """

        call: Any
        on: list[Any] = msgspec.field(default_factory=lambda: ["OSError"])
        max_attempts: int = 5
        within: Duration = 60.0
        first: Duration = 0.1
        longest: Duration = 10.0
        jitter: float = 0.2
        otherwise: Literal["reject", "dead_letter"] = "reject"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        try:
            self._stamina = import_module("stamina")
        except ImportError:
            raise MissingExtraError("retry", "retry") from None
        _tell_ourselves(import_module("stamina.instrumentation"))
        if settings.max_attempts < 1:
            raise ConfigError("max_attempts must be at least 1", field="max_attempts")
        self._call = named(settings.call, "call")
        if not callable(self._call):
            raise ConfigError(f"call must be a function, not {self._call!r}", field="call")
        self._on = tuple(_exception(one) for one in settings.on)
        self._within = seconds(settings.within, "within")
        self._backoff = Backoff(
            seconds(settings.first, "first"), seconds(settings.longest, "longest"), settings.jitter
        )
        self._begin()

    def _begin(self) -> None:
        self.retried = 0
        self.given_up = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Count anew."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Call the function with each message."""
        async for message in self.in_:
            await self._work(message)

    async def _work(self, message: Any) -> None:
        trial = _Trial(self)
        error: Exception
        try:
            with anyio.move_on_after(self._within):
                result = await trial.run(message)
                trial.is_done = True
        except Exception as failure:
            error = failure
        else:
            if trial.is_done:
                await self._send(result)
                return
            last = "" if trial.last is None else f", last with {describe(trial.last)}"
            error = TimeoutError(f"not done within {self._within:g} s, {trial.calls} calls{last}")
        await self._give_up(message, error, trial.calls)

    async def _send(self, result: Any) -> None:
        if isinstance(result, Rejected):
            await self.rejected.send(result)
        elif result is not None:
            await self.out.send(result)

    async def _give_up(self, message: Any, error: Exception, calls: int) -> None:
        self.given_up += 1
        put_away = self.context.dead_letter
        if self.config.otherwise == "reject" or put_away is None:
            await self.rejected.send(Rejected(message, f"given up after {calls} calls: {describe(error)}"))
            return
        edge = getattr(self.receive_streams.get("in"), "edge_in_hand", "")
        await put_away(message, error, attempts=calls, edge=edge)
        self.in_.settle("dead_lettered")

    async def health_check(self) -> dict[str, Any]:
        """Add how many calls were made again, and how many messages were given up."""
        counts = {"retried": self.retried, "given_up": self.given_up}
        return {**await super().health_check(), **counts}


class _Trial:
    """The calls for one message.

    The pauses, the end and chance are the system's, because stamina's own time is not a virtual one.
    """

    def __init__(self, owner: Retry) -> None:
        self._owner = owner
        self._end = owner.context.clock() + owner._within
        self.calls = 0
        self.last: Exception | None = None
        self.is_done = False

    async def run(self, message: Any) -> Any:
        owner = self._owner
        attempts = owner._stamina.retry_context(
            on=self._pause, attempts=owner.config.max_attempts, timeout=None
        )
        _ours.set(True)
        async for attempt in attempts:
            with attempt:
                self.calls += 1
                owner.retried += self.calls > 1
                _ours.set(False)
                try:
                    result = owner._call(message)
                    if isawaitable(result):
                        result = await result
                finally:
                    _ours.set(True)
        return result

    def _pause(self, error: BaseException) -> float | bool:
        """Return the seconds until the next call; False where there is none, or no time for one."""
        if not isinstance(error, self._owner._on):
            return False
        assert isinstance(error, Exception)
        self.last = error
        context = self._owner.context
        pause = self._owner._backoff.pause_before(self.calls, context.random.random())
        if context.clock() + pause >= self._end:
            return False
        if self.calls < self._owner.config.max_attempts and context.logger is not None:
            context.logger.warning("call failed", calls=self.calls, reason=describe(error), pause=pause)
        return pause


def _tell_ourselves(instrumentation: Any) -> None:
    """Leave our retries out of stamina's log, which by default is standard output; its other hooks stay."""
    home = instrumentation.StructlogOnRetryHook.hook_factory.__module__
    hooks = instrumentation.get_on_retry_hooks()
    if any(hook.__module__ == home for hook in hooks):
        instrumentation.set_on_retry_hooks(
            [_unless_ours(hook) if hook.__module__ == home else hook for hook in hooks]
        )


def _unless_ours(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda details: None if _ours.get() else hook(details)


def _exception(kind: Any) -> type[Exception]:
    """Return the class of exceptions that a setting means.

    Raises:
        ConfigError: There is none of that name, or it is no exception.
    """
    found = getattr(builtins, kind, None) if isinstance(kind, str) and ":" not in kind else named(kind, "on")
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise ConfigError(f"on: {kind!r} is no exception", hint="OSError, or module:name", field="on")
    return found


__all__ = ["Retry"]
