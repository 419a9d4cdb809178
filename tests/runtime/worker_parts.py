"""Functions that tests run in threads and worker processes: a process imports them from here."""

from __future__ import annotations

import contextvars
import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from headrace.authoring.function_component import component
from headrace.authoring.resource import Resource
from headrace.model.message import Meta

WORD: contextvars.ContextVar[str] = contextvars.ContextVar("WORD", default="none")


class Stubborn(Exception):
    """Cannot be made anew from its arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Boxed(msgspec.Struct):
    """Holds anything."""

    inside: Any


class OneWay:
    """Can be pickled, but not unpickled."""

    def __reduce__(self) -> Any:
        return refuse, ("it stays where it is",)


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("mute")


def refuse(why: str) -> None:
    """Fail at unpickling."""
    raise ValueError(why)


def meet(path: str) -> None:
    """Tell a test that waits at a socket that the work has begun; go on when it says so, or is gone."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.recv(1)


def stubborn_error() -> None:
    raise Stubborn("one", "two")


def mute_error() -> None:
    raise Mute(threading.Lock())


@component
def act(message: Any, *, factor: int = 1) -> Any:
    """Do what the message says."""
    match message:
        case int():
            return message * factor
        case ("fail", text):
            raise ValueError(text)
        case ("meet", path):
            meet(path)
            return "met"
        case ("call", name, *args):
            return DEEDS[name](*args)
        case _:
            return message


@component
def several(message: int) -> Iterator[int | None]:
    """Give 0 .. n - 1, with a None in between that goes nowhere."""
    for number in range(message):
        yield number
        yield None
    if message < 0:
        raise ValueError("negative")


def insist(path: str) -> None:
    """Never end by anything that can be caught."""
    while True:
        try:
            meet(path)
            while True:
                pass
        except BaseException:
            path = str(Path(path).with_name("none"))


def unwind(path: str, note: str) -> None:
    """Wait; leave a note when unwound."""
    try:
        meet(path)
        signal.pause()
    finally:
        Path(note).write_text("unwound")


def fork_and_die(path: str) -> None:
    """Leave a forked child behind, and be killed."""
    if os.fork() == 0:
        meet(path)
        os._exit(0)
    kill_myself()


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


def seen_handlers() -> list[bool]:
    """Fork, and tell whether the fork has ordinary signal handlers."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        ordinary = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        os.write(theirs, bytes([ordinary]))
        os._exit(0)
    os.wait()
    return [os.read(ours, 1) == b"\x01"]


DEEDS: dict[str, Any] = {
    "kill": kill_myself,
    "exit": sys.exit,
    "interrupt": interrupt,
    "_exit": os._exit,
    "segfault": partial(ctypes.string_at, 0),
    "stubborn": stubborn_error,
    "mute": mute_error,
    "insist": insist,
    "unwind": unwind,
    "fork": fork_and_die,
    "handlers": seen_handlers,
    "pid": os.getpid,
    "word": WORD.get,
    "thread": threading.get_ident,
    "lock": threading.Lock,
    "one way": OneWay,
    "bytes": bytes,
    "argv": lambda: sys.argv,
}


@component
def gives_coroutine(message: int) -> Any:
    return a_coroutine(message)


async def a_coroutine(message: int) -> int:
    return message


@component
async def asynchronous(message: int) -> int:
    return message


@component
async def asynchronous_flat(message: int) -> AsyncIterator[int]:
    yield message


@component
def source() -> Iterator[int]:
    yield 1


@component
def with_resource(message: int, *, db: Resource[dict[str, int]]) -> int:
    return db["x"] + message


@component
def with_meta(message: int, *, meta: Meta) -> str:
    return meta.id


class Holder:
    """Holds methods and a nested function."""

    @component
    @staticmethod
    def static(message: int) -> int:
        return message + 1

    def method(self, message: int) -> int:
        return message

    def __call__(self, message: int) -> int:
        return message


lambda_component = component(lambda message: message)
method_component = component(Holder().method)
object_component = component(Holder())
partial_component = component(partial(pow, 2))


def _shadowed(message: int) -> int:
    return message


shadowed = component(_shadowed)


def _shadowed(message: int) -> int:  # type: ignore[no-redef]
    return message + 1


def exit_once(message: int, *, path: str) -> int:
    """Take the worker down with message 50, the first time."""
    if message == 50 and not Path(path).exists():
        Path(path).touch()
        os._exit(3)
    return message


def make_local() -> Any:
    """Return a component of a function inside this one."""

    @component
    def local(message: int) -> int:
        return message

    return local
