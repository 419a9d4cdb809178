"""What testers broke in restarts, drains and dead letters, kept from breaking again."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from headrace import Backoff, HarnessComponent, In, Out, RestartPolicy, System, SystemFailed, component

AT_ONCE = RestartPolicy("failure", max_restarts=10, backoff=Backoff(0))


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("this error has no text")


class Numbers(HarnessComponent):
    out: Out[int]

    async def process(self) -> None:
        for number in range(10):
            await self.out.send(number)


class Passes(HarnessComponent):
    """Passes on what it gets; subclasses say what is wrong with it."""

    in_: In[int]
    out: Out[int]

    def work(self, number: int) -> None:
        """Look at a number."""

    async def process(self) -> None:
        async for number in self.in_:
            self.work(number)
            await self.out.send(number)


class Keeps(HarnessComponent):
    in_: In[Any]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[Any] = []

    async def process(self) -> None:
        async for message in self.in_:
            self.seen.append(message)


def wired(
    middle: Any, *, restart: RestartPolicy | None = AT_ONCE, **options: Any
) -> tuple[System, list[Any]]:
    """Return a system of three components, and what its last one gets."""
    system, sink = System(restart=restart), Keeps("sink")
    system.add("numbers", Numbers)
    system.add("middle", middle, **options)
    system.add("sink", sink)
    system.connect("numbers.out", "middle.in")
    system.connect("middle.out", "sink.in")
    return system, sink.seen


class RaisesUnreadably(Passes):
    def work(self, number: int) -> None:
        if number == 5:
            raise UnreadableError


async def test_an_error_whose_text_raises_is_restarted_like_any_other() -> None:
    system, seen = wired(RaisesUnreadably)
    report = await system.run()
    assert seen == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [(letter.message, letter.attempts) for letter in report.dead_letters] == [(5, 3)]
    assert report.restarts[0].last_error == "UnreadableError (its text cannot be had: RuntimeError)"


async def test_an_error_whose_text_raises_fails_the_system_like_any_other() -> None:
    system, _ = wired(RaisesUnreadably, restart=None)
    with pytest.raises(SystemFailed, match="middle failed in process: UnreadableError") as failed:
        await system.run()
    assert failed.value.report.exit_code() == 1
    assert failed.value.report.ledger.closes


async def test_an_error_that_quotes_a_huge_message_is_told_in_short() -> None:
    class Quotes(Passes):
        def work(self, number: int) -> None:
            raise ValueError("x" * 1_000_000)

    system, _ = wired(Quotes, restart=None)
    with pytest.raises(SystemFailed, match=r"x\.\.\. \(1,000,000 characters\)") as failed:
        await system.run()
    assert len(str(failed.value)) < 2_200
    assert len(str(failed.value.__cause__)) == 1_000_000  # the error itself stays as it is


@pytest.mark.parametrize("on_error", ["dead_letter", "reject", "drop", "crash"])
async def test_a_message_may_fail_with_an_error_whose_text_raises(on_error: str) -> None:
    @component(attempts=1)
    async def middle(number: int) -> int:
        if number == 5:
            raise UnreadableError
        return number

    system, seen = wired(middle, on_error=on_error)
    rejected = Keeps("rejected")
    system.add("rejected", rejected)
    system.connect("middle.rejected", "rejected.in")
    report = await system.run()
    assert seen == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [letter.error.__class__ for letter in report.dead_letters] == (
        [UnreadableError] if on_error in ("dead_letter", "crash") else []
    )
    reasons = [message.reason for message in rejected.seen]
    assert reasons == ["UnreadableError: (its text cannot be had: RuntimeError)"] * (on_error == "reject")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_exception_is_not_swallowed_by_a_clean_up_between_two_lives(
    error: type[BaseException],
) -> None:
    class Interrupted(Passes):
        cleaned_up = 0

        def work(self, number: int) -> None:
            if number == 5:
                raise ValueError(number)

        async def cleanup(self) -> None:
            await super().cleanup()
            Interrupted.cleaned_up += 1
            if Interrupted.cleaned_up == 1:
                raise error

    system, _ = wired(Interrupted)
    with pytest.raises(error):
        await system.run()
    report = system.report
    assert report is not None
    assert [(failure.component, failure.phase) for failure in report.failures] == [("middle", "cleanup")]
    assert report.ledger.closes
    assert Interrupted.cleaned_up == 1


async def test_a_group_of_errors_that_cannot_be_split_is_restarted_like_any_other() -> None:
    class RigidGroup(ExceptionGroup[Exception]):
        def derive(self, excs: Any) -> Any:
            raise RuntimeError("this group cannot be divided")

    class RaisesAGroup(Passes):
        def work(self, number: int) -> None:
            if number == 5:
                raise RigidGroup("several", [ValueError(1), ValueError(2)])

    system, seen = wired(RaisesAGroup)
    report = await system.run()
    assert seen == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert report.restarts[0].last_error == "ValueError 1; ValueError 2"


class SharesAHandle(Passes):
    """Two tasks receive by one handle; when both have a message in hand, one of them fails, once."""

    failed = False

    async def process(self) -> None:
        both = anyio.Event()
        at_work = 0

        async def work() -> None:
            nonlocal at_work
            async for number in self.in_:
                at_work += 1
                if at_work == 2:
                    both.set()
                if not type(self).failed:
                    await both.wait()
                    type(self).failed = True
                    raise ValueError(number)
                await self.out.send(number)

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            group.start_soon(work)


async def test_what_tasks_with_one_handle_lose_in_a_crash_is_told() -> None:
    class Shares(SharesAHandle):
        """Acknowledges by its next receive, whichever task makes it."""

    system, seen = wired(Shares)
    report = await system.run()
    assert len(seen) < 10
    assert "by one handle of middle.in (ack: manual, or a clone() for each)" in report.restarts[0].state_lost
    assert report.exit_code() == 3
    assert "(state of middle lost)" in report.summary()


async def test_tasks_with_one_handle_lose_nothing_where_each_acknowledges_its_own() -> None:
    class Shares(SharesAHandle):
        ack = "manual"

        async def process(self) -> None:
            await super().process()
            self.in_.ack()

    system, seen = wired(Shares)
    report = await system.run()
    assert sorted(set(seen)) == list(range(10))
    assert (report.exit_code(), report.state_lost) == (0, ())


async def test_a_nack_that_finds_no_room_for_dead_letters_is_named_at_the_deadline() -> None:
    class GivesBack(Passes):
        async def process(self) -> None:
            async for number in self.in_:
                await self.in_.nack(number)

    system = System(dead_letter_limit=2, shutdown_timeout=0.1)
    sink = Keeps("sink")
    system.add("numbers", Numbers)
    system.add("middle", GivesBack, attempts=1)
    system.add("sink", sink)
    system.connect("numbers.out", "middle.in")
    system.connect("middle.out", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        while len(system.dead_letters()) < 2:
            await checkpoint()
        await wait_all_tasks_blocked()
        report = await system.stop()
    assert report is not None
    # Who is at fault comes first, who only waits for it after that.
    assert [late.component for late in report.overruns] == ["middle", "sink"]
    assert report.overruns[0].awaiting.endswith(", for room among the dead letters (limit 2)")
    assert report.exit_code() == 5
