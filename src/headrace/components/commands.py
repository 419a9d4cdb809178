"""``command_source``, ``command_transform``, ``command_sink``: programs that write, change or take lines."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import anyio

from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .command import BATCH, MOST_IN_HAND, Command, CommandSettings, FedCommand
from .line_formats import LineFormat
from .line_splitter import Lines, LineSplitter
from .rows import Row
from .times import Duration, seconds


class CommandSource(Command):
    """Sends the lines that a program writes: rows ``{"line": ...}``, or the JSON object that each line is.

    It ends when the program has ended. An exit code other than 0 is an error: the system stops, or ``restart``
    starts the program again. When the system stops, the program gets a SIGTERM.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    out: Out[Row]

    class Config(CommandSettings, forbid_unknown_fields=True, kw_only=True):
        """Settings of a program that is read.

        Attributes:
            command: The program and its arguments, a list; no shell is between.
            cwd: The folder that it runs in.
            env: Variables that it has beside ours.
            format: ``text``: a row with ``line`` for each; or ``json``: an object a line.
            max_line: Bytes of a line; a longer one is rejected.
            stderr: Where the lines of its stderr go: ``log``, ``port`` or ``discard``.
            exit_codes: Those that are no error.
            end_within: How long it has to end by itself, before it is killed with all that it has started.
        """

    config: Config

    async def process(self) -> None:
        """Send all lines.

        Raises:
            ProgramError: The program has failed.
        """
        await self._program.start(takes_input=False)
        async with anyio.create_task_group() as group:
            group.start_soon(self._program.watch)
            group.start_soon(self._ask_to_end_at_stop)
            async with anyio.create_task_group() as readers:
                readers.start_soon(self._listen)
                await self._send_lines()
                code = await self._exit_code()
                if code is None:
                    readers.cancel_scope.cancel()
            group.cancel_scope.cancel()
        if not self.context.stop_event.is_set():
            self._judge(code)

    async def _ask_to_end_at_stop(self) -> None:
        await self.context.stop_event.wait()
        self._program.signal(signal.SIGTERM)

    async def _send_lines(self) -> None:
        splitter = LineSplitter(self.config.max_line)
        form = self._make_form()
        while data := await self._program.read():
            await self._send(splitter.feed(data), form)
        await self._send(splitter.finish(), form)

    async def _send(self, some: Sequence[Lines], form: LineFormat) -> None:
        for lines in some:
            found = form.batch(lines, self._program.name).rows
            await self.out.send_many([row for row in found if not isinstance(row, Rejected)])
            await self.rejected.send_many([row for row in found if isinstance(row, Rejected)])


class CommandTransform(FedCommand):
    """Writes each message as a line to a program, and sends the line that it answers with.

    The program runs as long as the system. Messages and answers are paired by their order, and a message is
    acknowledged once its answer was sent: what is unanswered when the program dies comes again after a restart.
    With ``mode: filter`` a program may write any number of lines, and a message is acknowledged once written.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    out: Out[Row]

    class Config(CommandSettings, forbid_unknown_fields=True, kw_only=True):
        """Settings of a program that changes lines.

        Attributes:
            command: The program and its arguments, a list; no shell is between.
            mode: ``each``: a line answers a line; or ``filter``: any number of lines, at any time.
            in_flight: How many messages may be unanswered; 1 for a program that may die of one.
            format: ``text``: the line of a row or the text itself, answered by a row with ``line``; or ``json``: a
                value a line, answered by an object.
            field: The field of a row that has the line, where the format is ``text``.
            cwd: The folder that it runs in.
            env: Variables that it has beside ours.
            max_line: Bytes of an answer; a longer one is rejected.
            stderr: Where the lines of its stderr go: ``log``, ``port`` or ``discard``.
            exit_codes: Those that are no error.
            end_within: How long it has to end by itself, before it is killed with all that it has started.
        """

        mode: Literal["each", "filter"] = "each"
        in_flight: int = 100
        field: str = "line"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if not 1 <= self.config.in_flight <= MOST_IN_HAND:
            raise ConfigError(f"in_flight must be from 1 to {MOST_IN_HAND}", field="in_flight")
        self._answers_each = self.config.mode == "each"
        self.accumulates = not self._answers_each  # what a filter has read and not written is lost with it
        self._unanswered: deque[Any] = deque()
        self._answered = anyio.Event()
        self._excess = False

    async def process(self) -> None:
        """Write all messages, and send all answers.

        Raises:
            ProgramError: The program has failed, ended before its input, or answered too often or not at all.
        """
        self._unanswered.clear()
        self._is_fed = self._excess = False
        await self._program.start(takes_input=True)
        async with anyio.create_task_group() as group:
            group.start_soon(self._program.watch)
            async with anyio.create_task_group() as readers:
                readers.start_soon(self._listen)
                async with anyio.create_task_group() as work:
                    work.start_soon(self._take_answers, work.cancel_scope)
                    await self._feed()
                await self._program.close_input()
                code = None if self._excess else await self._exit_code()
                if code is None:
                    readers.cancel_scope.cancel()
            group.cancel_scope.cancel()
        self._judge_answers(code)

    def _judge_answers(self, code: int | None) -> None:
        if self._excess:
            raise self._wrong("has written more lines than it was given; is it for `mode: filter`?")
        self._judge(code)
        left = len(self._unanswered)
        if left or not self._is_fed:
            when = "" if self._is_fed else " before its input"
            unanswered = f", {left} unanswered" if left else ""
            raise self._wrong(f"has ended{when} (exit code {code}){unanswered}", code)

    def _at_most(self) -> int:
        # at least one, so that the end of the input is seen while nothing is answered: it may bring the answers
        left = self.config.in_flight - len(self._unanswered)
        return min(BATCH, max(1, left)) if self._answers_each else BATCH

    async def _begin(self, messages: Sequence[Any]) -> None:
        if not self._answers_each:
            return
        while len(self._unanswered) + len(messages) > self.config.in_flight:
            self._answered = anyio.Event()
            await self._answered.wait()
        self._unanswered.extend(messages)

    def _written(self, messages: Sequence[Any]) -> None:
        if not self._answers_each:
            super()._written(messages)

    async def _take_answers(self, work: anyio.CancelScope) -> None:
        splitter = LineSplitter(self.config.max_line)
        form = self._make_form()
        while data := await self._program.read():
            await self._take(splitter.feed(data), form)
            if self._excess:
                break
        await self._take(splitter.finish(), form)
        work.cancel()  # there will be no more answers, so nothing more is written

    async def _take(self, some: Sequence[Lines], form: LineFormat) -> None:
        for lines in some:
            count = min(lines.how_many, len(self._unanswered)) if self._answers_each else lines.how_many
            found = form.batch(lines, self._program.name, with_ends=True)
            ours = [
                row
                for row, (_, number) in zip(found.rows, found.ends, strict=True)
                if number < lines.number + count
            ]
            await self.out.send_many([row for row in ours if not isinstance(row, Rejected)])
            await self.rejected.send_many([row for row in ours if isinstance(row, Rejected)])
            if self._answers_each:
                for _ in range(count):
                    self.in_.ack(self._unanswered.popleft())
                self._answered.set()
                self._excess = count < lines.how_many


class CommandSink(FedCommand):
    """Writes each message as a line to a program, and waits until that has ended with exit code 0.

    A message is acknowledged once written: what the program has read and not done is lost with it when it dies.
    With ``batch`` each batch has a run of the program, and is acknowledged once that has ended well.
    What the program prints goes to the log, or to the port ``stderr``.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    class Config(CommandSettings, forbid_unknown_fields=True, kw_only=True):
        """Settings of a program that takes lines.

        Attributes:
            command: The program and its arguments, a list; no shell is between.
            batch: How many messages a run of the program has at most; all have the same where not given.
            within: How long a message waits for its batch at most.
            format: ``text``: the line of a row, or the text itself; or ``json``: a value a line.
            field: The field of a row that has the line, where the format is ``text``.
            cwd: The folder that it runs in.
            env: Variables that it has beside ours.
            max_line: Bytes of a line that it prints; of a longer one the beginning is told.
            stderr: Where the lines go that it prints: ``log``, ``port`` or ``discard``.
            exit_codes: Those that are no error.
            end_within: How long it has to end by itself, before it is killed with all that it has started.
        """

        batch: int | None = None
        within: Duration = 1.0
        field: str = "line"

    config: Config
    _closes = "input"

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        batch = self.config.batch
        if batch is not None and not 1 <= batch < MOST_IN_HAND:
            raise ConfigError(f"batch must be from 1 to {MOST_IN_HAND - 1}", field="batch")
        self._within = seconds(self.config.within, "within", or_zero=True)
        self.accumulates = batch is None  # what the program has read and not done is lost with it

    async def process(self) -> None:
        """Write all messages.

        Raises:
            ProgramError: The program has failed, or ended before its input.
        """
        self._is_fed = False
        if self.config.batch is None:
            self._judge(await self._run(None))
            if not self._is_fed:
                raise self._wrong("has ended before its input (exit code 0)", 0)
            return
        records = self._make_records()
        async for batch in self.in_.batch(self.config.batch, within=self._within):
            good, data = await self._encode(batch, records)
            if good:
                self._judge(await self._run(data))
                self._written(good)
                await self._program.end()

    async def _run(self, data: bytes | None) -> int | None:
        """Run the program with some data, or with all messages, and return its exit code."""
        self._words.clear()
        await self._program.start(takes_input=True, joined=True)
        async with anyio.create_task_group() as group:
            group.start_soon(self._program.watch)
            async with anyio.create_task_group() as readers:
                readers.start_soon(self._listen)
                async with anyio.create_task_group() as work:
                    work.start_soon(self._cancel_at_exit, work.cancel_scope)
                    if await (self._feed() if data is None else self._write(data)):
                        await self._program.wait()
                    else:
                        await self._program.close_input()
                        await self._exit_code()
                    work.cancel_scope.cancel()
                code = self._program.exit_code
                if code is None:
                    readers.cancel_scope.cancel()
            group.cancel_scope.cancel()
        return code

    async def _cancel_at_exit(self, work: anyio.CancelScope) -> None:
        await self._program.wait()
        work.cancel()

    async def _write(self, data: bytes) -> bool:
        taken = await self._program.write(data)
        await self._program.close_input()
        return taken


__all__ = ["CommandSink", "CommandSource", "CommandTransform"]
