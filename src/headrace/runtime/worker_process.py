"""What runs in a worker process: it answers batches until its harness hangs up.

The main thread does the work. A second one always reads, so that the harness can always send, and ends
the process when the harness is gone, whatever the main thread is at.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import spawn
from queue import SimpleQueue
from types import FrameType
from typing import Any

from headrace.exceptions import NotPicklableError

from . import worker_functions
from .worker_answers import encode, encode_error
from .worker_frames import HELLO, LAST_WORDS, Frame, FrameReader, Part, pack_frame, unpickled
from .worker_notes import write_note
from .workers import Outcome, run_one

CHUNK = 1 << 18
"""Bytes read at a time: about what a Unix socket holds."""

HUNG_UP = select.POLLHUP | select.POLLERR


class WorkerProcess:
    """One worker process, from its inside.

    Args:
        sock: Its end of the socket to the harness.
        notes: The page that it shares with the harness, see ``worker_notes``.
        harness: The pid of the harness.
        exit: Ends the process at once.
    """

    def __init__(
        self, sock: socket.socket, notes: mmap.mmap, harness: int, exit: Callable[[int], object] = os._exit
    ) -> None:
        self._sock = sock
        self._notes = notes
        self._harness = harness
        self._exit = exit
        self._frames: SimpleQueue[Frame | None] = SimpleQueue()
        self._call: Callable[[Any], Any] = _nothing
        self.ended = False

    def serve(self) -> None:
        """Answer frames until the harness has no more."""
        threading.Thread(target=self.listen, name="headrace worker: listen", daemon=True).start()
        frame = self._frames.get()
        while frame is not None and not self.ended:
            ticket, parts = frame
            try:
                answer = self._get_ready(parts) if ticket == HELLO else self._work(ticket, parts)
            except BaseException as error:
                self._send(LAST_WORDS, [encode_error(error)])
                if isinstance(error, SystemExit):
                    raise
                sys.exit(1)  # the harness tells the rest
            self._send(ticket, answer)
            write_note(self._notes, HELLO, 0)
            frame = self._frames.get()

    def on_terminate(self, number: int, _frame: FrameType | None) -> None:
        """End with what is being worked on, if it is the harness that asks: it has hung up before."""
        if self.ended:
            raise SystemExit(128 + number)

    def listen(self) -> None:
        """Queue what the harness sends; end the process when the harness is no more."""
        reader = FrameReader()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        with contextlib.suppress(AttributeError, OSError):  # elsewhere the socket alone has to tell
            poll.register(os.pidfd_open(self._harness), select.POLLIN)
        while True:
            for fd, events in poll.poll():
                if fd != self._sock.fileno() or events & HUNG_UP:
                    self._exit(1)
                    return
                data = self._sock.recv(CHUNK)
                for frame in reader.feed(data):
                    self._frames.put(frame)
                if not data:
                    self.ended = True
                    self._frames.put(None)
                    poll.modify(self._sock, 0)

    def _send(self, ticket: int, parts: Sequence[Part]) -> None:
        with contextlib.suppress(OSError):  # the harness is gone, and the other thread ends the process
            self._sock.sendall(pack_frame(ticket, parts))

    def _get_ready(self, parts: Sequence[Part]) -> list[bytes]:
        """Import as the harness does, find the function, and take its settings."""
        spawn.prepare(unpickled(parts[0], "the surroundings"))
        fn = worker_functions.find_function(str(parts[1], "utf-8"))
        self._call = partial(fn, **unpickled(parts[2], "the settings"))
        worker_functions.importing = False
        return []

    def _work(self, ticket: int, parts: Sequence[Part]) -> list[bytes]:
        answers: list[bytes] = []
        for index, part in enumerate(parts):
            if self.ended:
                break
            write_note(self._notes, ticket, index)
            answers.append(encode(self._one(part)))
        return answers

    def _one(self, part: Part) -> Outcome:
        try:
            message = unpickled(part, "the message")
        except NotPicklableError as error:
            return Outcome(error=error)
        return run_one(self._call, message)


def _nothing(_message: Any) -> None:
    """Stand for the function until it is known."""


def main(fd: int, notes: int, harness: int) -> None:
    """Be a worker process.

    Args:
        fd: The socket to the harness.
        notes: The file of the page that is shared with it.
        harness: The pid of the harness.
    """
    worker_functions.importing = True
    os.set_inheritable(fd, False)
    os.set_inheritable(notes, False)
    sock = socket.socket(fileno=fd)
    page = mmap.mmap(notes, mmap.PAGESIZE)
    worker = WorkerProcess(sock, page, harness)
    signal.signal(signal.SIGINT, _not_ours)
    signal.signal(signal.SIGTERM, worker.on_terminate)
    os.register_at_fork(after_in_child=partial(_be_nobody, sock))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    worker.serve()


def _not_ours(_number: int, _frame: FrameType | None) -> None:
    """Leave Ctrl-C to the harness, which drains; SIG_IGN would be inherited by what is started here."""


def _be_nobody(sock: socket.socket) -> None:
    """Let a fork of a worker be an ordinary process, and not keep its socket open."""
    sock.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


__all__ = ["CHUNK", "HUNG_UP", "WorkerProcess", "main"]
