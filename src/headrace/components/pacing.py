"""``throttle``, ``rate_limit``, ``sample`` and ``debounce``: fewer messages, or the same ones more slowly.

Time is that of the system's clock, so that all of it runs in virtual time too.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import anyio
import msgspec
from anyio import EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .batches import work_in_batches
from .holding import HoldingBack
from .rows import keyer, require_names, why_no_key
from .times import Duration, seconds


class Throttle(HarnessComponent):
    """Lets ``rate`` messages through in any ``per`` seconds, and no more; the others go to ``dropped``.

    They are counted. To slow messages down without losing any, use ``rate_limit``. After a restart it begins anew.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = False

    in_: In[Any]
    out: Out[Any]
    dropped: Out[Any] | None
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a throttle.

        Attributes:
            rate: How many messages go through.
            per: In any time of that length, in seconds or as ``5m``.
            by: The fields whose values make a key, each with a rate of its own; one of all messages where
                not given.
            max_keys: How many keys are remembered at most; the one that was let through longest ago is
                forgotten.
        """

        rate: int = 1
        per: Duration = 1.0
        by: list[str] = []
        max_keys: int = 100_000

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        require_names(settings.by, "by")
        for field in ("rate", "max_keys"):
            if getattr(settings, field) < 1:
                raise ConfigError(f"{field} must be at least 1", field=field)
        self._per = seconds(settings.per, "per")
        self._key_of = keyer(settings.by)
        self._begin()

    def _begin(self) -> None:
        self._passed: OrderedDict[Any, deque[float]] = OrderedDict()
        self.dropped_messages = 0
        self.forgotten = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin with nothing remembered."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Let messages through."""
        await work_in_batches(self.in_, self._sort_out, self.out, self.dropped, self.rejected)

    def _sort_out(self, messages: list[Any]) -> tuple[list[Any], list[Any], list[Rejected[Any]]]:
        passed: list[Any] = []
        dropped: list[Any] = []
        rejected: list[Rejected[Any]] = []
        now = self.context.clock()
        self._forget(now)
        for message in messages:
            try:
                key = self._key_of(message)
                (passed if self._may_pass(key, now) else dropped).append(message)
            except (KeyError, TypeError) as error:
                rejected.append(Rejected(message, why_no_key(message, error, self.config.by)))
        self.dropped_messages += len(dropped)
        return passed, dropped, rejected

    def _may_pass(self, key: Any, now: float) -> bool:
        times = self._passed.get(key)
        if times is None:
            times = self._passed[key] = deque(maxlen=self.config.rate)
        elif len(times) == self.config.rate and now - times[0] < self._per:
            return False
        times.append(now)
        self._passed.move_to_end(key)
        if len(self._passed) > self.config.max_keys:
            self._passed.popitem(last=False)
            self.forgotten += 1
        return True

    def _forget(self, now: float) -> None:
        passed = self._passed
        while passed and now - next(iter(passed.values()))[-1] >= self._per:
            passed.popitem(last=False)

    async def health_check(self) -> dict[str, Any]:
        """Add how many messages were dropped, and how many keys are remembered or were forgotten early."""
        return {
            **await super().health_check(),
            "dropped": self.dropped_messages,
            "keys": len(self._passed),
            "forgotten": self.forgotten,
        }


class RateLimit(HarnessComponent):
    """Sends ``rate`` messages in ``per`` seconds at most, evenly; the others wait, and so does who sends them.

    A drain goes on at that rate, up to its deadline.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = False

    in_: In[Any]
    out: Out[Any]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a rate limit.

        Attributes:
            rate: How many messages are sent.
            per: In a time of that length, in seconds or as ``5m``.
            burst: How many may be sent at once after a time without messages.
        """

        rate: float
        per: Duration = 1.0
        burst: int = 1

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not 0 < settings.rate < math.inf:
            raise ConfigError(f"rate must be above 0, not {settings.rate!r}", field="rate")
        if settings.burst < 1:
            raise ConfigError("burst must be at least 1", field="burst")
        self._apart = seconds(settings.per, "per") / settings.rate
        self._ahead = self._apart * (settings.burst - 1)
        self._next = -math.inf

    async def process(self) -> None:
        """Send each message when it may go."""
        while True:
            try:
                messages = await self.in_.receive_many(self.config.burst)
            except EndOfStream:
                return
            sent = 0
            while sent < len(messages):
                now = self.context.clock()
                free = self._take(now, len(messages) - sent)
                if free:
                    await self.out.send_many(messages[sent : sent + free])
                    sent += free
                else:
                    await anyio.sleep(self._next - self._ahead - now)

    def _take(self, now: float, wanted: int) -> int:
        """Return how many may go now, and count them as sent."""
        free = 0
        while free < wanted and now >= self._next - self._ahead:
            self._next = max(now, self._next) + self._apart
            free += 1
        return free


class Sample(HarnessComponent):
    """Lets a part of the messages through: every so many, or a share of them by chance.

    For the latest message in each time, use ``debounce`` with ``max_wait`` alone.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = False

    in_: In[Any]
    out: Out[Any]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a sample; one of the two.

        Attributes:
            every: Of so many messages the first goes through.
            share: With which chance each goes through, from 0 to 1.
        """

        every: int | None = None
        share: float | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        every, share = self.config.every, self.config.share
        if (every is None) == (share is None):
            raise ConfigError("give either every or share", field="every")
        if every is not None and every < 1:
            raise ConfigError("every must be at least 1", field="every")
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"share must be from 0 to 1, not {share!r}", field="share")
        self._skip = 0

    async def process(self) -> None:
        """Let messages through."""
        await work_in_batches(self.in_, self._choose, self.out)

    def _choose(self, messages: list[Any]) -> tuple[list[Any]]:
        every, share = self.config.every, self.config.share
        if every is not None:
            chosen = messages[self._skip :: every]
            self._skip = (self._skip - len(messages)) % every
            return (chosen,)
        chance = self.context.random.random
        return ([message for message in messages if chance() < (share or 0.0)],)


class Debounce(HoldingBack):
    """Sends the latest message when none has followed for ``quiet`` seconds, or after ``max_wait``.

    Those before it are let go, and counted. The end of the input sends what is held. Nothing is lost in a crash: a
    message is acknowledged when it was sent, or followed by another.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a debounce.

        Attributes:
            quiet: For how long no message has followed, in seconds or as ``5m``.
            max_wait: How long after the first one something is sent at the latest; alone, the latest message in
                each time of that length.
            by: The fields whose values make a key, each debounced for itself; one of all messages where not given.
            max_keys: Of how many keys a message is held at most; with one more, that which is due first is sent
                early (and counted).
        """

        quiet: Duration | None = None
        max_wait: Duration | None = None
        by: list[str] = []
        max_keys: int = 500

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if settings.quiet is None and settings.max_wait is None:
            raise ConfigError("give quiet, max_wait or both", field="quiet")
        if settings.max_keys < 1:
            raise ConfigError("max_keys must be at least 1", field="max_keys")
        require_names(settings.by, "by")
        quiet = math.inf if settings.quiet is None else seconds(settings.quiet, "quiet")
        longest = math.inf if settings.max_wait is None else seconds(settings.max_wait, "max_wait")
        self.hold_by(settings.by, quiet=quiet, longest=longest, max_keys=settings.max_keys)


__all__ = ["Debounce", "RateLimit", "Sample", "Throttle"]
