"""One stop: drawn from a seed, made to happen here or by a real signal to another process, and looked at.

What has to hold: it ends within its deadline, burns no processor while it waits, its books close, and nothing
of it is left: no task, no thread, no process, no socket, no open file.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import anyio
from anyio import CancelScope, create_task_group, get_running_tasks

from headrace import System
from headrace.exceptions import SystemFailed
from headrace.model.report import ShutdownReport
from proofs import _stops_system
from proofs._stops_system import CLEANUP, SHUTDOWN, Awkward, Plan, make_system

How = Literal["stop", "request", "signal", "second signal", "escalation", "cancel", "cut off"]
Moment = Literal["start", "run", "drain", "restart"]
HOWS, MOMENTS, AWKWARD = get_args(How), get_args(Moment), get_args(Awkward)
ROOT = Path(__file__).resolve().parent.parent
MARGIN = 2.0
"""Seconds beyond a deadline, for a machine that does something else as well."""

FIRST = {"start": "set-up", "run": "at work", "drain": "at work", "restart": "crash"}


@dataclass(frozen=True)
class Case:
    """One stop.

    Attributes:
        seed: What it was drawn from.
        backend: The event loop.
        how: What ends the system.
        moment: In which part of its life.
        delay: Seconds after the moment has come.
        number: The signal, where one is sent.
        plan: What the system is like.
    """

    seed: int
    backend: str
    how: How
    moment: Moment
    delay: float
    number: int
    plan: Plan

    def __str__(self) -> str:
        extra = ", ".join(filter(None, [self.plan.awkward, "" if self.plan.process else "no process"]))
        named = f" {signal.Signals(self.number).name}" if "signal" in self.how else ""
        return f"{self.how}{named} in {self.moment} +{self.delay:.3f}{f' ({extra})' if extra else ''}"

    @property
    def allowed(self) -> float:
        """Seconds that it may take."""
        if self.how in ("cancel", "cut off"):
            return CLEANUP + MARGIN
        thread = 0.4 if self.plan.awkward == "holds a thread" else 0.0
        return SHUTDOWN + thread + CLEANUP + MARGIN


def draw(seed: int, backend: str) -> Case:
    """Return the case of a seed; hows and moments come in turn, so that a few cases have each."""
    source = random.Random(f"{seed} {backend}")
    how: How = HOWS[seed % len(HOWS)]
    moment: Moment = MOMENTS[seed // len(HOWS) % len(MOMENTS)]
    awkward: Awkward = source.choice(["", "", "", *AWKWARD])
    if how == "escalation":
        moment = "run" if moment == "start" else moment
    crash_at = source.randrange(1, 100) if how == "escalation" or moment == "restart" else 0
    restarts, pause = (source.randrange(5), 0.01) if how == "escalation" else (100, source.choice([0.0, 0.3]))
    return Case(
        seed,
        backend,
        how,
        moment,
        source.choice([0.0, source.random() * 0.05, source.random() * 0.3]),
        source.choice([signal.SIGINT, signal.SIGTERM]),
        Plan(
            awkward,
            crash_at,
            restarts if crash_at else 0,
            pause,
            process=source.random() < 0.7,
            slow_setup=source.choice([0.0, 0.2]) if moment == "start" else 0.0,
            buffer_size=source.choice([1, 10, 100]),
        ),
    )


def run_case(case: Case) -> list[str]:
    """Make it happen; returns what did not hold, which should be nothing."""
    with tempfile.TemporaryDirectory() as folder:
        planned = replace(case, plan=replace(case.plan, folder=folder))
        if "signal" in case.how:
            return _signalled(planned)
        return _inside(planned)


# --- in this process -----------------------------------------------------------------------------


class _Seen:
    """What is seen of a run from outside: when it was asked to end, and what that took."""

    def __init__(self) -> None:
        self.asked_at = self.cpu_at = 0.0
        self.took = self.cpu = 0.0
        self.left: list[str] = []
        self.report: ShutdownReport | None = None
        self.error: BaseException | None = None

    def asked(self) -> None:
        """Let the time run, from the first call on."""
        if not self.asked_at:
            self.asked_at, self.cpu_at = time.monotonic(), time.process_time()

    def ended(self) -> None:
        """Take the time."""
        now = time.monotonic()
        self.took = now - (self.asked_at or now)
        self.cpu = time.process_time() - (self.cpu_at or time.process_time())


def _inside(case: Case) -> list[str]:
    seen = _Seen()
    before = possessions()
    anyio.run(_run_and_end, case, seen, backend=case.backend)
    wrong = [*seen.left, *still_there(before)]
    if seen.error is not None:
        wrong.append(f"it raised {seen.error!r}")
    if seen.took > case.allowed:
        wrong.append(f"it took {seen.took:.2f} s of {case.allowed:.2f}")
    if seen.cpu > 0.3 + 0.5 * seen.took:
        wrong.append(f"it burnt {seen.cpu:.2f} s of processor time in {seen.took:.2f} s")
    if seen.report is None:
        return [*wrong, "it left no report"]
    return wrong + _wrong_in(case, seen.report)


def _wrong_in(case: Case, report: ShutdownReport) -> list[str]:
    wrong = [f"does not close: {one}" for one in report.ledger.disagreements()]
    drained = not (report.overruns or report.failures) and report.outcome != "cancelled"
    if drained and case.how != "cut off" and report.ledger.totals.lost:
        wrong.append(f"it lost {report.ledger.totals.lost}")
    if case.plan.awkward == "hangs" and drained and case.moment == "run" and case.how == "stop":
        wrong.append("who hung was not named")
    return wrong


async def _run_and_end(case: Case, seen: _Seen) -> None:
    tasks = {task.id for task in get_running_tasks()}
    heard: dict[str, anyio.Event] = {word: anyio.Event() for word in (*FIRST.values(), "over")}

    def hear(word: str) -> None:
        if word in heard:
            heard[word].set()

    system = make_system(case.plan)
    _stops_system.LISTENERS.append(hear)
    try:
        async with create_task_group() as group:
            scope = CancelScope()
            group.start_soon(_run, system, scope, seen, heard["over"])
            with anyio.move_on_after(20):
                await _first_of(heard[FIRST[case.moment]], heard["over"])
            await _end(case, system, scope, seen)
            with anyio.move_on_after(30):
                await heard["over"].wait()
            group.cancel_scope.cancel()
    finally:
        _stops_system.LISTENERS.remove(hear)
    seen.left += [f"a task is left: {task.name}" for task in get_running_tasks() if task.id not in tasks]


async def _run(system: System, scope: CancelScope, seen: _Seen, over: anyio.Event) -> None:
    """Run the system; a failure is what some cases want."""
    try:
        with scope, suppress(SystemFailed):
            await system.run()
    except BaseException as error:
        seen.error = error
        raise
    finally:
        seen.ended()
        seen.report = system.report
        over.set()


async def _first_of(*events: anyio.Event) -> None:
    async with create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(wait, event)


async def _end(case: Case, system: System, scope: CancelScope, seen: _Seen) -> None:
    """Do what ends it; in a drain, a stop comes first."""
    if case.moment == "drain" or case.how == "cut off":
        seen.asked()
        system.request_stop()
    await anyio.sleep(case.delay)
    if case.how == "escalation":
        return  # its component crashes, or has
    seen.asked_at = 0.0 if case.how in ("cancel", "cut off") else seen.asked_at
    seen.asked()
    if case.how == "cancel":
        scope.cancel()
    elif case.how == "cut off":
        if system._run is not None:
            system._run.cut_off()
    elif case.how == "stop":
        await system.stop()
    else:
        await anyio.to_thread.run_sync(system.request_stop)


# --- by a signal to another process --------------------------------------------------------------


def _signalled(case: Case) -> list[str]:
    command = [sys.executable, "-m", "headrace", "run", "proofs._stops_system:made", "--format", "json"]
    with _started([*command, "--backend", case.backend, "--quiet"], case.plan) as process:
        wrong = _wait_for(process, FIRST[case.moment])
        if wrong:
            return wrong
        numbers = [case.number] * (2 if case.how == "second signal" or case.moment == "drain" else 1)
        family = _descendants(process.pid)
        began, cpu_before = time.monotonic(), sum(map(_cpu_of, [process.pid, *family]))
        for number in numbers:
            os.kill(process.pid, number)  # Popen's own would reap it, and with it what it has taken
            time.sleep(case.delay)
        out, code, cpu = _end_of(process, case.allowed + MARGIN)
    took = time.monotonic() - began
    wrong = [f"process {pid} is left" for pid in family if _is_alive_within(pid, 1.0)]
    if took > case.allowed + MARGIN:
        wrong.append(f"it took {took:.2f} s of {case.allowed + MARGIN:.2f}")
    if cpu - cpu_before > 0.5 + 0.5 * took:
        wrong.append(f"it burnt {cpu - cpu_before:.2f} s of processor time in {took:.2f} s")
    return wrong + _wrong_in_output(case, out, code)


def _wrong_in_output(case: Case, out: str, code: int) -> list[str]:
    wrong = []
    fails = case.plan.crash_at or case.plan.awkward in ("clean-up raises", "crashes late")
    if code not in (128 + case.number, *((1,) if fails else ())):
        wrong.append(f"exit code {code}: {out[-300:]}")
    try:
        report = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        return [*wrong, f"no report in {out[-300:]!r}"]
    if not report["closes"]:
        wrong.append(f"does not close: {report['does_not_close']}")
    return wrong


@contextmanager
def _started(command: list[str], plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """Start it, and leave nothing of it, whatever happens."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | plan.as_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _wait_for(process: subprocess.Popen[bytes], word: str) -> list[str]:
    """Wait for a word; returns what was said instead where it does not come."""
    assert process.stderr is not None
    said = b""
    until = time.monotonic() + 30
    while f"stops: {word}\n".encode() not in said:
        ready, _, _ = select.select([process.stderr], [], [], max(0.0, until - time.monotonic()))
        part = os.read(process.stderr.fileno(), 65536) if ready else b""
        if not part:
            return [f"it never said {word!r}: {said.decode()[-500:]}"]
        said += part
    return []


def _end_of(process: subprocess.Popen[bytes], within: float) -> tuple[str, int, float]:
    """Return what it printed, its exit code, and all the processor time it took."""
    texts: list[bytes] = []
    readers = [
        threading.Thread(target=lambda pipe=pipe: texts.append(pipe.read()))
        for pipe in (process.stdout, process.stderr)
    ]
    readers[0].start()
    readers[1].start()
    killer = threading.Timer(within + 10, process.kill)
    killer.start()
    _, status, usage = os.wait4(process.pid, 0)
    killer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    for reader in readers:
        reader.join(5)
    out = next((text for text in texts if text.startswith(b"{")), b"".join(texts))
    return out.decode(), process.returncode, usage.ru_utime + usage.ru_stime


# --- what there is -------------------------------------------------------------------------------


def possessions() -> dict[str, Any]:
    """Return what this process has: threads, processes, and what its file descriptors are."""
    return {
        "thread": {thread.ident: thread.name for thread in threading.enumerate() if not _is_trios(thread)},
        "process": {pid: str(pid) for pid in _descendants(os.getpid())},
        "file": _files(),
    }


def _is_trios(thread: threading.Thread) -> bool:
    """Whether trio keeps it for later, as it does with all its threads for ten idle seconds."""
    return thread.daemon and thread.name.lower().startswith("trio")


def _files() -> dict[int, str]:
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {fd: what for fd, what in found.items() if not what.endswith("/fd")}


def still_there(before: dict[str, Any], within: float = 1.0) -> list[str]:
    """Return what is there that was not; threads may take a moment to go."""
    until = time.monotonic() + within
    while True:
        now = possessions()
        left = [
            f"a {kind} is left: {what}"
            for kind, things in now.items()
            for key, what in things.items()
            if before[kind].get(key) != what
        ]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _is_alive_within(pid: int, seconds: float) -> bool:
    """Whether a process is still there after so long; one that nobody has reaped is not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.02)
    return True


def _cpu_of(pid: int) -> float:
    """Return the processor time that a process has taken so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


__all__ = ["AWKWARD", "HOWS", "MOMENTS", "Case", "draw", "possessions", "run_case", "still_there"]
