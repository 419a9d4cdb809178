"""Real failures and the recoveries from them, as the library logs them: what evidence/.../error_log.txt holds.

Each scene fails first and then succeeds; the exit code is 1 where one of them does not.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import anyio

from headrace import HarnessComponent, StreamFramework, SystemExecutionHarness, SystemFailed, component

log = logging.getLogger("scene")
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Fields(logging.Formatter):
    """Writes the fields of a structured record behind its text."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Return the line of a record, its fields as ``key=value``."""
        fields = [f"{key}={value!r}" for key, value in vars(record).items() if key not in STANDARD]
        return " ".join([super().formatMessage(record), *fields])


class Sink(HarnessComponent):
    """Keeps what it receives; fails in a phase of its life as often as it is told."""

    def __init__(self, name: str = "sink", *, fails_in: str = "", times: int = 1) -> None:
        super().__init__(name)
        self.fails_in = fails_in
        self.times = times
        self.seen: list[int] = []

    def fail(self, phase: str) -> None:
        """Raise where it is time to."""
        if phase == self.fails_in and self.times:
            self.times -= 1
            raise ConnectionError(f"the database is gone (in {phase})")

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Connect."""
        self.seen.clear()
        self.fail("setup")
        await super().setup(harness_context)

    async def process(self) -> None:
        """Keep each message; the failure comes on the third."""
        async for number in self.receive_streams["in"]:
            if number == 2:
                self.fail("process")
                if self.fails_in == "hang" and self.times:
                    self.times -= 1
                    await anyio.Event().wait()
            self.seen.append(number)

    async def cleanup(self) -> None:
        """Disconnect."""
        await super().cleanup()
        self.fail("cleanup")


@component
def numbers(*, count: int) -> Iterator[int]:
    """Send the first numbers."""
    yield from range(count)


def into(sink: Sink, **options: Any) -> SystemExecutionHarness:
    """Return a system that sends ten numbers into a sink."""
    harness = SystemExecutionHarness("numbers", **options)
    harness.add("source", numbers, count=10)
    harness.register_component("sink", sink)
    harness.connect("source.out", "sink.in")
    return harness


async def fails_then_succeeds(phase: str) -> bool:
    """Run a system whose sink fails in a phase; then run the same system again."""
    sink = Sink(fails_in=phase)
    harness = into(sink)
    try:
        await harness.run()
    except SystemFailed as error:
        log.error("run() raised %s: %s", type(error).__name__, error)
        log.error("cause: %r; exit code %d", error.__cause__, error.report.exit_code())
        for edge in error.report.ledger.leftovers():
            log.error("left or dropped on %s: %s, %d remain", edge.edge, dict(edge.dropped), edge.remaining)
    else:
        return False
    log.info("RECOVERY: the same system again")
    report = await harness.run()
    log.info(
        "RECOVERED: outcome %s, %s, error count %d", report.outcome, report.summary(), sink.status.error_count
    )
    return sink.seen == list(range(10)) and report.clean


async def crash() -> bool:
    """A component crashes, the system drains and fails; the next run succeeds."""
    return await fails_then_succeeds("process")


async def failed_setup() -> bool:
    """A set-up fails, nothing starts, what was set up is cleaned up; the next run succeeds."""
    return await fails_then_succeeds("setup")


async def failed_cleanup() -> bool:
    """A clean-up fails and is named, the others run; the next run succeeds."""
    return await fails_then_succeeds("cleanup")


async def overrun() -> bool:
    """A component never finishes; the drain's deadline names it and where it waits; the next run succeeds."""
    sink = Sink(fails_in="hang")
    harness = into(sink, shutdown_timeout=0.2, source_grace=0.05)
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await anyio.wait_all_tasks_blocked()
        report = await harness.stop()
    if report is None or not report.overruns:
        return False
    log.error("%s; exit code %d", report.overruns[0], report.exit_code())
    log.info("RECOVERY: the same system again")
    report = await harness.run()
    log.info("RECOVERED: outcome %s, %s", report.outcome, report.summary())
    return sink.seen == list(range(10)) and report.clean


async def retried() -> bool:
    """A message fails twice and goes through at the third attempt; its component never stops."""
    tries: list[int] = []

    @component(attempts=3, backoff=0.01)
    def flaky(number: int) -> int:
        tries.append(number)
        attempt = tries.count(number)
        if number == 5 and attempt < 3:
            log.warning("message %d fails at attempt %d", number, attempt)
            raise TimeoutError("no answer")
        if attempt > 1:
            log.info("RECOVERED: message %d went through at attempt %d", number, attempt)
        return number

    sink = Sink()
    report = await through(flaky, sink)
    return sink.seen == list(range(10)) and report.clean


async def dead_letter() -> bool:
    """A message fails at every attempt and is put away with its error; the others go on."""

    @component(attempts=2, backoff=0.01)
    def invert(number: int) -> int:
        return 100 // (number - 7)

    sink = Sink()
    report = await through(invert, sink)
    for letter in report.dead_letters:
        log.error(
            "dead letter #%d: message %r of %s on %s after %d attempts\n%s",
            letter.number,
            letter.message,
            letter.component,
            letter.edge,
            letter.attempts,
            letter.traceback.rstrip(),
        )
    log.info("RECOVERED: the other %d messages arrived; exit code %d", len(sink.seen), report.exit_code())
    return len(sink.seen) == 9 and len(report.dead_letters) == 1 and report.ledger.closes


async def through(stage: Any, sink: Sink) -> Any:
    """Run ten numbers through a stage into a sink."""
    harness = SystemExecutionHarness("staged")
    harness.add("source", numbers, count=10)
    harness.add("stage", stage)
    harness.register_component("sink", sink)
    harness.connect("source", "stage")
    harness.connect("stage.out", "sink.in")
    return await harness.run()


async def broadcast() -> bool:
    """One receiver of a broadcast has gone; the others get it, and a new receiver takes its place."""
    framework = StreamFramework()
    ends = {name: anyio.create_memory_object_stream[bytes](5) for name in ("a", "b", "c")}
    framework.create_group("all", {name: send for name, (send, _) in ends.items()})
    ends["b"][1].close()
    report = await framework.multicast_message("all", "news")
    log.error("broadcast: delivered %s, failed %s", report.delivered, dict(report.failed))
    log.info("RECOVERY: a new receiver takes the place of b")
    ends["b"][0].close()
    ends["b"] = anyio.create_memory_object_stream[bytes](5)
    framework.remove_from_group("all", "b")
    framework.add_to_group("all", ends["b"][0], name="b")
    second = await framework.multicast_message("all", "news again")
    log.info("RECOVERED: delivered %s, failed %s", second.delivered, dict(second.failed))
    for send, receive in ends.values():
        send.close()
        receive.close()
    return set(report.failed) == {"b"} and second.complete


SCENES: tuple[Callable[[], Awaitable[bool]], ...] = (
    crash,
    failed_setup,
    failed_cleanup,
    overrun,
    retried,
    dead_letter,
    broadcast,
)


async def play() -> bool:
    """Play every scene."""
    good = True
    for scene in SCENES:
        log.info("=== %s: %s", scene.__name__, scene.__doc__)
        result = await scene()
        good &= result
        log.log(
            logging.INFO if result else logging.CRITICAL,
            "--- %s: %s",
            scene.__name__,
            "as expected" if result else "NOT as expected",
        )
    return good


def main() -> int:
    """Log to stdout, play the scenes, and return 1 where one was not as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Fields("%(asctime)s %(levelname)-8s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return 0 if anyio.run(play, backend=options.backend) else 1


if __name__ == "__main__":
    sys.exit(main())
