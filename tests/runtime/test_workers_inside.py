"""The inside of a worker process, run in a thread of the test: frames, notes, and how it ends."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.runtime import worker_parts as parts

from headrace.exceptions import NotPicklableError, WorkerCodeError, WorkerDied
from headrace.runtime import worker_functions, worker_process
from headrace.runtime.worker_answers import decode, decode_error, encode, encode_error
from headrace.runtime.worker_frames import HELLO, LAST_WORDS, FrameReader, pack_frame, pickled
from headrace.runtime.worker_notes import new_page, read_note, write_note
from headrace.runtime.worker_process import WorkerProcess
from headrace.runtime.workers import Outcome


class Inside:
    """A worker that serves in a thread; the test is its harness."""

    def __init__(self, harness: int) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.file, self.page = new_page()
        self.exits: list[int] = []
        self.exited = threading.Event()
        self.worker = WorkerProcess(self.theirs, self.page, harness, self._exit)
        self.outcome: BaseException | None = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.reader = FrameReader()

    def _exit(self, code: int) -> None:
        self.exits.append(code)
        self.exited.set()

    def _serve(self) -> None:
        try:
            self.worker.serve()
        except BaseException as error:
            self.outcome = error

    def ask(self, ticket: int, *frame: bytes) -> tuple[int, list[Any]]:
        self.ours.sendall(pack_frame(ticket, frame))
        while True:
            for found in self.reader.feed(self.ours.recv(1 << 16)):
                return found

    def hello(self, path: str = "tests.runtime.worker_parts:act") -> tuple[int, list[Any]]:
        surroundings = {"sys_path": sys.path, "sys_argv": sys.argv}
        return self.ask(HELLO, pickle.dumps(surroundings), path.encode(), pickle.dumps({"factor": 2}))

    def close(self) -> None:
        self.ours.close()
        self.worker._frames.put(None)
        assert self.exited.wait(10)
        self.thread.join(10)
        self.theirs.close()
        os.close(self.file)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """Return a worker at its start; afterwards the flag that it clears is as it was."""
    monkeypatch.setattr(worker_functions, "importing", False)
    made = Inside(os.getpid())
    made.thread.start()
    yield made
    made.close()


def test_a_worker_answers_hello_and_then_batches(inside: Inside) -> None:
    assert inside.hello() == (HELLO, [])
    ticket, answers = inside.ask(1, pickled(4, ""), b"nothing", pickled(5, ""))
    assert ticket == 1
    good, bad, last = map(decode, answers)
    assert (list(good.outputs), list(last.outputs)) == ([8], [10])
    assert isinstance(bad.error, NotPicklableError)


def test_a_worker_that_finds_no_function_says_so_and_ends(inside: Inside) -> None:
    ticket, (why,) = inside.hello("tests.runtime.worker_parts:nobody")
    assert ticket == LAST_WORDS
    assert isinstance(decode_error(why), AttributeError)
    inside.thread.join(10)
    assert isinstance(inside.outcome, SystemExit)
    assert inside.outcome.code == 1


def test_a_worker_that_is_told_to_exit_says_so_and_exits_as_told(inside: Inside) -> None:
    inside.hello()
    ticket, (why,) = inside.ask(1, pickled(("call", "exit", 6), ""))
    assert ticket == LAST_WORDS
    assert isinstance(decode_error(why), SystemExit)
    inside.thread.join(10)
    assert isinstance(inside.outcome, SystemExit)
    assert inside.outcome.code == 6


def test_a_worker_ends_when_there_is_no_more(inside: Inside) -> None:
    inside.ours.shutdown(socket.SHUT_WR)
    inside.thread.join(10)
    assert not inside.thread.is_alive()
    assert inside.outcome is None
    assert inside.exits == []


def test_a_worker_whose_harness_hangs_up_ends_at_once(inside: Inside) -> None:
    inside.ours.close()
    assert inside.exited.wait(10)
    assert inside.exits == [1]


def test_a_worker_whose_harness_has_died_ends_though_somebody_keeps_its_socket_open() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as harness:
        inside = Inside(harness.pid)
        inside.thread.start()
        inside.hello()
        harness.kill()
    assert inside.exited.wait(10)
    assert inside.exits == [1]
    inside.close()


def test_what_is_left_of_a_batch_is_let_go_when_there_is_no_more() -> None:
    inside = Inside(os.getpid())
    inside.worker.ended = True
    assert inside.worker._work(1, [pickled(1, "")]) == []
    inside.worker._send(1, [])
    inside.ours.close()
    inside.worker._send(1, [])  # nobody is there any more
    inside.theirs.close()
    os.close(inside.file)


def test_sigterm_unwinds_only_after_the_harness_has_hung_up() -> None:
    inside = Inside(os.getpid())
    inside.worker.on_terminate(signal.SIGTERM, None)
    inside.worker.ended = True
    with pytest.raises(SystemExit) as caught:
        inside.worker.on_terminate(signal.SIGTERM, None)
    assert caught.value.code == 143
    inside.ours.close()
    inside.theirs.close()
    os.close(inside.file)


def test_main_makes_a_worker_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    file, page = new_page()
    served: list[Any] = []
    at_fork: dict[str, Any] = {}
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(worker_process.WorkerProcess, "serve", lambda worker: served.append(worker))
    monkeypatch.setattr(worker_functions, "importing", False)
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: at_fork.update(hooks))
    monkeypatch.setattr(worker_process.signal, "signal", lambda number, how: handlers.update({number: how}))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace())
    worker_process.main(os.dup(theirs.fileno()), file, os.getpid())
    theirs.close()
    assert len(served) == 1
    assert worker_functions.importing
    assert handlers[signal.SIGINT](signal.SIGINT, None) is None
    at_fork["after_in_child"]()
    assert handlers[signal.SIGTERM] is signal.SIG_DFL
    assert ours.recv(1) == b""
    ours.close()
    os.close(file)
    page.close()


def test_frames_are_whole_however_their_bytes_arrive() -> None:
    frames = [(1, [b"", b"one", b"x" * 300]), (2, []), (LAST_WORDS, [b"end"])]
    stream = b"".join(pack_frame(ticket, parts_) for ticket, parts_ in frames)
    for step in (1, 7, len(stream)):
        reader = FrameReader()
        got: list[tuple[int, list[bytes]]] = []
        for at in range(0, len(stream), step):
            for ticket, found in reader.feed(stream[at : at + step]):
                got.append((ticket, [bytes(part) for part in found]))
        assert got == frames


def test_a_note_tells_the_message_in_hand_of_its_own_batch_only() -> None:
    file, page = new_page()
    with mmap.mmap(file, mmap.PAGESIZE) as theirs:
        write_note(theirs, 5, 3)
    os.close(file)
    assert read_note(page, 5) == 3
    assert read_note(page, 6) is None
    page.close()


@pytest.mark.parametrize("outcome", [Outcome([1, None, "x"]), Outcome()])
def test_outputs_come_home_as_they_are(outcome: Outcome) -> None:
    assert list(decode(encode(outcome)).outputs) == list(outcome.outputs)


def test_an_error_comes_home_as_itself_or_as_what_stands_for_it() -> None:
    good = decode(encode(Outcome(error=KeyError("k"))))
    assert isinstance(good.error, KeyError)
    lost = decode(encode(Outcome([parts.Boxed(threading.Lock())])))
    assert isinstance(lost.error, NotPicklableError)
    assert lost.error.place == "$[0].inside"
    ending = decode(encode_error(SystemExit(2)))
    assert isinstance(ending.error, WorkerCodeError)
    changed = decode_error(encode_error(WorkerDied("gone", exit_code=-9)))
    assert isinstance(changed, WorkerDied)
    assert changed.exit_code == -9


class Deceiver(Exception):
    """Becomes something else on its way."""

    def __reduce__(self) -> Any:
        return ValueError, ("changed",)


def test_an_error_that_changes_on_its_way_is_stood_for() -> None:
    found = decode_error(encode_error(Deceiver("true")))
    assert isinstance(found, WorkerCodeError)
    assert (found.error_type, found.reason) == ("Deceiver", "true")


def test_the_place_of_what_cannot_be_pickled_is_not_looked_for_without_end() -> None:
    deep: Any = threading.Lock()
    for _ in range(30):
        deep = [deep]
    with pytest.raises(NotPicklableError) as caught:
        pickled(deep, "it")
    assert caught.value.place == "$" + "[0]" * 20
    with pytest.raises(NotPicklableError) as caught:
        pickled({"f": lambda: 0}, "it")
    assert caught.value.place == "$['f']"
