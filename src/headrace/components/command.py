"""What the components that run a program share: its settings, its last words, its exit code, its input."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import anyio
import msgspec
from anyio import EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError, ProgramError
from headrace.model.message import Rejected
from headrace.model.secret import Secret

from .line_formats import JsonLines, LineFormat, TextLines
from .line_splitter import Lines, LineSplitter
from .program import Program, told
from .record_formats import JsonRecords, RecordFormat, TextRecords
from .rows import Row
from .times import Duration, seconds

BATCH = 512
_LAST_WORDS = 3  # lines
MOST_IN_HAND = 10_000


class CommandSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all three have to set."""

    command: list[str]
    cwd: str = ""
    env: dict[str, Secret] = {}
    format: Literal["text", "json"] = "text"
    max_line: int = 1_048_576
    stderr: Literal["log", "port", "discard"] = "log"
    exit_codes: list[int] = msgspec.field(default_factory=lambda: [0])
    end_within: Duration = 3.0


class Command(HarnessComponent):
    """Runs a program; its stderr goes to the log, or to a port."""

    stderr: Out[Row] | None
    rejected: Out[Rejected[Any]]
    accumulates = False

    config: Any
    _closes = "output"

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not settings.command or not settings.command[0]:
            raise ConfigError("command is empty", hint="command: [program, argument]", field="command")
        if any("\0" in part for part in settings.command):
            raise ConfigError("command has a byte 0 within", field="command")
        if settings.max_line < 1:
            raise ConfigError("max_line must be at least 1", field="max_line")
        self._program = self._make_program()
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)

    def _make_program(self) -> Program:
        settings = self.config
        within = seconds(settings.end_within, "end_within")
        return Program(settings.command, settings.cwd, settings.env, within)

    def _make_form(self) -> LineFormat:
        return JsonLines() if self.config.format == "json" else TextLines()

    def _make_records(self) -> RecordFormat:
        return JsonRecords() if self.config.format == "json" else TextRecords(self.config.field)

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """See that the program is there; it is started when all components run.

        Raises:
            ConfigError: It is not there.
        """
        await super().setup(harness_context)
        self._words.clear()
        self._program = self._make_program()
        self._program.find()

    async def cleanup(self) -> None:
        """End the program, and all that it has started."""
        try:
            await self._program.end()
        finally:
            await super().cleanup()

    # --- what it says --------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Take in what the program says to people, until it says no more."""
        splitter = LineSplitter(self.config.max_line)
        while data := await self._program.read_errors():
            await self._hear(splitter.feed(data))
        await self._hear(splitter.finish())

    async def _hear(self, some: Sequence[Lines]) -> None:
        for lines in some:
            texts = lines.data.decode("utf-8", "replace").removesuffix("\n").split("\n")
            self._words.extend(text.strip()[:200] for text in texts[-_LAST_WORDS:])
            if self.config.stderr == "port" and self.stderr is not None:
                await self.stderr.send_many([{"line": text.removesuffix("\r")} for text in texts])
            elif self.config.stderr == "log" and self.context.logger is not None:
                for text in texts:
                    self.context.logger.info(text.rstrip(), program=self._program.name)

    def _wrong(self, said: str, exit_code: int | None = None) -> ProgramError:
        words = "; ".join(filter(None, self._words))
        text = f"{self._program.name} {said}" + (f"; it said: {words}" if words else "")
        return ProgramError(text, component=self.name, program=self._program.name, exit_code=exit_code)

    async def _exit_code(self) -> int | None:
        """Return the exit code, soon after the output has ended; None where it goes on without an output."""
        with anyio.move_on_after(self._program.end_within):
            return await self._program.wait()
        return None

    def _judge(self, exit_code: int | None) -> None:
        if exit_code is None:
            raise self._wrong(f"has closed its {self._closes}, and goes on")
        if exit_code not in self.config.exit_codes:
            raise self._wrong(f"failed: {told(exit_code)}", exit_code)


class FedCommand(Command):
    """A program that is written to."""

    in_: In[Any]
    ack = "manual"
    max_unacked = MOST_IN_HAND

    _is_fed = False

    async def _feed(self) -> bool:
        """Write all messages to the program; returns whether it has taken them until their end."""
        records = self._make_records()
        while True:
            try:
                batch = await self.in_.receive_many(self._at_most())
            except EndOfStream:
                break
            good, data = await self._encode(batch, records)
            await self._begin(good)
            if good and not await self._program.write(data):
                return False
            self._written(good)
        self._is_fed = True
        await self._program.close_input()
        return True

    def _at_most(self) -> int:
        """Return how many messages are received at once."""
        return BATCH

    async def _begin(self, messages: Sequence[Any]) -> None:
        """Wait until messages may be written, and take note of them."""

    def _written(self, messages: Sequence[Any]) -> None:
        """Take note of messages that were written."""
        for message in messages:
            self.in_.ack(message)

    async def _encode(self, batch: Sequence[Any], records: RecordFormat) -> tuple[list[Any], bytes]:
        """Return the messages that can be written, and what is written; the others are turned away."""
        encoded = records.encode(batch)
        bad = {id(one.message) for one in encoded.rejected}
        good = [message for message in batch if id(message) not in bad]
        for one in encoded.rejected:
            await self.rejected.send(one)
            self.in_.ack(one.message)
        return good, b"".join(encoded.records)


__all__ = ["BATCH", "MOST_IN_HAND", "Command", "CommandSettings", "FedCommand"]
