"""One worker process, as its harness has it: asks over a socket, and the end.

There is no task that reads: of all who wait for an answer one reads for all, and hands over when it leaves.
What is to be sent and what was read stay here, so a call that is cancelled leaves nothing torn.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from anyio import (
    CancelScope,
    ClosedResourceError,
    Event,
    Lock,
    move_on_after,
    notify_closing,
    open_process,
    wait_readable,
    wait_writable,
)
from anyio.abc import Process

from headrace.exceptions import WorkerAbandoned, WorkerDied, WorkerError

from .worker_answers import decode_error
from .worker_frames import HELLO, LAST_WORDS, FrameReader, Part, pack_frame
from .worker_notes import new_page, read_note
from .workers import not_open

CHUNK = 1 << 18
"""Bytes read at a time: about what a Unix socket holds."""

PACKAGES = str(Path(__file__).resolve().parents[2])
LAST_BREATH = 1.0
"""Seconds that a worker which has said its last words or closed its socket has to end by itself."""


class WorkerChannel:
    """One worker process.

    Args:
        owner: The component's name, for errors.
        process: The process, just started.
        sock: The harness's end of the socket.
        notes: The page shared with the process.
    """

    def __init__(self, owner: str, process: Process, sock: socket.socket, notes: mmap.mmap) -> None:
        self.load = 0
        self.process = process
        self._owner = owner
        self._sock = sock
        self._notes = notes
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._sending = Lock(fast_acquire=True)
        self._asked: dict[int, _Asked] = {}
        self._ticket = HELLO
        self._somebody_reads = False
        self._end: Literal["", "died", "closed", "abandoned"] = ""
        self._last_words: BaseException | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it has neither died nor been ended, as far as is known."""
        return not self._end

    async def ask(self, parts: Sequence[Part], about: Sequence[Any] = ()) -> list[memoryview]:
        """Send a frame and return the parts of the answer; the first one asks whether it is ready.

        Args:
            parts: What to send.
            about: The messages, to name the one in hand if the worker dies.

        Raises:
            WorkerDied: The process ended.
            WorkerAbandoned: ``kill()`` was called meanwhile.
            WorkerNotOpen: ``close()`` was called meanwhile.
        """
        ticket, asked = self._ticket, _Asked()
        self._ticket += 1
        self._asked[ticket] = asked
        try:
            if not self._end:
                self.load += 1
                self._unsent.append(memoryview(pack_frame(ticket, parts)))
                await self._send_all()
            while asked.answer is None and not self._end:
                await self._wait(asked)
        finally:
            del self._asked[ticket]
            self._wake_a_reader()
        if asked.answer is None:
            raise await self._obituary(ticket, about)
        return asked.answer

    def kill(self) -> None:
        """Kill the process; whoever waits for an answer gets ``WorkerAbandoned``."""
        self._finish("abandoned")
        with suppress(ProcessLookupError):
            self.process.kill()

    async def close(self, within: float) -> None:
        """Let the process end, make it end, or kill it, and release everything; shielded.

        Args:
            within: Seconds after which it has been killed.
        """
        with CancelScope(shield=True):
            self._finish("closed")
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
            with move_on_after(within * 0.6):
                await self._listen_to_the_end()
            for end, share in ((self.process.terminate, 0.2), (self.process.kill, 0.2)):
                if self.process.returncode is None:
                    with suppress(ProcessLookupError):
                        end()
                    with move_on_after(within * share):
                        await self.process.wait()
            self._sock.close()
            self._notes.close()

    # --- sending and reading

    async def _send_all(self) -> None:
        """Send what is unsent, whoever gave it; the worker always reads, so this goes on whatever it works at."""
        async with self._sending:
            while self._unsent and not self._end:
                try:
                    sent = self._sock.send(self._unsent[0])
                except BlockingIOError:
                    with suppress(ClosedResourceError):
                        await wait_writable(self._sock)
                except OSError:
                    self._finish("died")
                else:
                    self._sent(sent)

    def _sent(self, count: int) -> None:
        rest = self._unsent[0][count:]
        if rest:
            self._unsent[0] = rest
        else:
            self._unsent.popleft()

    async def _wait(self, asked: _Asked) -> None:
        """Read until the answer is there; or wait for it, or for one's turn to read."""
        if self._somebody_reads:
            await asked.news.wait()
            asked.news = Event()
            return
        self._somebody_reads = True
        try:
            while asked.answer is None and not self._end:
                await wait_readable(self._sock)
                self._read()
        except ClosedResourceError:
            pass  # _finish() woke us
        finally:
            self._somebody_reads = False

    def _wake_a_reader(self) -> None:
        if not self._somebody_reads:
            for asked in self._asked.values():
                asked.news.set()
                return

    def _read(self) -> bool:
        """Take what the socket has; return whether there will be more."""
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        for ticket, parts in self._reader.feed(data):
            self._take(ticket, parts)
        if not data:
            self._finish("died")
        return bool(data)

    def _take(self, ticket: int, parts: list[memoryview]) -> None:
        if ticket == LAST_WORDS:
            self._last_words = decode_error(parts[0])
            self._finish("died")
            return
        self.load -= 1
        asked = self._asked.get(ticket)
        if asked is not None:  # else its asker was cancelled
            asked.answer = parts
            asked.news.set()

    # --- the end

    def _finish(self, end: Literal["died", "closed", "abandoned"]) -> None:
        """Note the end, the first one only, and wake everybody."""
        if self._end:
            return
        self._end = end
        for asked in self._asked.values():
            asked.news.set()
        if self._sock.fileno() >= 0:
            notify_closing(self._sock)

    async def _listen_to_the_end(self) -> None:
        """Read on: a worker that cannot get rid of an answer which nobody wants would not end."""
        while self._read():
            await wait_readable(self._sock)
        await self.process.wait()

    async def _obituary(self, ticket: int, about: Sequence[Any]) -> WorkerError:
        """Return the error for a batch that will get no answer."""
        if self._end == "closed":
            return not_open(self._owner)
        if self._end == "abandoned":
            return WorkerAbandoned(
                f"{self._owner}: its worker process {self.process.pid} was given up with a batch of {len(about)}",
                component=self._owner,
            )
        index = read_note(self._notes, ticket) if about else None
        code = await self._exit_code()
        how = f"{_how(code, self._last_words)}{_at(index, about)}"
        error = WorkerDied(
            f"{self._owner}: its worker process {self.process.pid} {how}",
            component=self._owner,
            pid=self.process.pid,
            exit_code=code,
            index=index,
            in_hand=None if index is None else about[index],
        )
        error.__cause__ = self._last_words
        return error

    async def _exit_code(self) -> int | None:
        """Return the exit code of a process that has ended, or is about to; it is killed if it only seems so."""
        for _ in range(2):
            with move_on_after(LAST_BREATH, shield=True):
                return await self.process.wait()
            with suppress(ProcessLookupError):
                self.process.kill()
        return self.process.returncode


class _Asked:
    """What somebody waits for: its answer, and word that there is something new."""

    __slots__ = ("answer", "news")

    def __init__(self) -> None:
        self.answer: list[memoryview] | None = None
        self.news = Event()


async def start_worker(owner: str) -> WorkerChannel:
    """Start a process that runs ``worker_process.main``, in a fresh interpreter and a session of its own.

    What it prints goes where the harness's own output goes. Ctrl-C does not reach it.
    """
    ours, theirs = socket.socketpair()
    file, notes = new_page()
    try:
        with CancelScope(shield=True):  # a few milliseconds; in between nobody would own the process
            process = await open_process(
                _command(theirs.fileno(), file),
                stdin=subprocess.DEVNULL,
                stdout=None,
                stderr=None,
                start_new_session=True,
                pass_fds=(theirs.fileno(), file),
            )
    except BaseException:
        ours.close()
        notes.close()
        raise
    finally:
        theirs.close()
        os.close(file)
    ours.setblocking(False)
    return WorkerChannel(owner, process, ours, notes)


def _command(fd: int, notes: int) -> list[str]:
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as spawn does
    code = (
        f"import sys; sys.path.append({PACKAGES!r}); "
        f"from headrace.runtime.worker_process import main; main({fd}, {notes}, {os.getpid()})"
    )
    return [sys.executable, *flags, "-P", "-c", code]


def _how(code: int | None, last_words: BaseException | None) -> str:
    """Return how a process ended, in words."""
    if last_words is not None:
        return f"ended itself: {last_words!r}"
    if code is None:
        return "is gone"
    if code >= 0:
        return f"ended with exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    memory = " (out of memory, perhaps)" if code == -signal.SIGKILL else ""
    return f"was ended by {known.get(-code, f'signal {-code}')}{memory}"


def _at(index: int | None, about: Sequence[Any]) -> str:
    if index is not None:
        return f" at message {index + 1} of a batch of {len(about)}, of type {type(about[index]).__name__}"
    return f" before it began with a batch of {len(about)}" if about else ""


__all__ = ["WorkerChannel", "start_worker"]
