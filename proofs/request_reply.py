"""Proves that a service over the graph answers all below its capacity, refuses beyond it, and drains under load.

``python proofs/request_reply.py [--seconds 10] [--backend asyncio|trio]`` starts ``examples/08-request-reply``,
loads it with wrk, and exits with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["main"]

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "08-request-reply"
BACKENDS = ("asyncio", "trio")
BELOW, BEYOND = 64, 256  # connections; the gateway takes 100 requests
_LONGER = 60  # seconds that a load goes on for, at most, when the service is asked to end
DRAINED_WITHIN = 5.0  # seconds: the default of ``shutdown_timeout``

_COUNT = re.compile(r"^([\w ]+): ([\d.]+)(?: ms)?$", re.MULTILINE)
_BOOKS = re.compile(r"in ([\d,]+) out ([\d,]+) rejected ([\d,]+) lost (\d+)")


class Books(NamedTuple):
    """What a service says when it has ended: its exit code, and how many requests it has taken and answered."""

    code: int
    taken: int
    answered: int
    lost: int
    seconds: float


class Service:
    """The example, running.

    Args:
        backend: On which event loop.
    """

    def __init__(self, backend: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", "quotes.yaml", "--backend", backend],
            cwd=EXAMPLE,
            env={**os.environ, "LISTEN": "127.0.0.1:0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self.url = self._url()
        threading.Thread(target=self._listen, daemon=True).start()

    def _url(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line)
            found = re.search(r"url='?(http\S+?)'?$", line.strip())
            if found:
                return found[1]
        raise RuntimeError("the service did not start: " + "".join(self.said))

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self.said.extend(self._process.stderr)

    def end(self) -> Books:
        """Ask it to end, and wait for that."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.stdout is not None
        out = self._process.stdout.read()
        self._process.wait()
        took = time.monotonic() - began
        found = _BOOKS.search(out)
        if found is None:
            raise RuntimeError(f"the service said nothing of its books: {out}{''.join(self.said)}")
        taken, answered, _, lost = (int(one.replace(",", "")) for one in found.groups())
        return Books(self._process.returncode, taken, answered, lost, took)

    def kill(self) -> None:
        """Leave no process behind."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running(backend: str) -> Iterator[Service]:
    """Run the service for a while."""
    service = Service(backend)
    try:
        yield service
    finally:
        service.kill()


def start_wrk(url: str, connections: int, seconds: int) -> subprocess.Popen[str]:
    """Start wrk, which says at its end how many answers of each kind it got."""
    load = ["-t", "2", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "20s"]
    return subprocess.Popen(
        ["wrk", *load, "-s", str(EXAMPLE / "load.lua"), url], stdout=subprocess.PIPE, text=True
    )


def counts_of(wrk: subprocess.Popen[str]) -> dict[str, float]:
    """Return what wrk counted: ``status 200``, ``connections`` (broken or refused), ``timeouts``, ``p99`` in ms."""
    out, _ = wrk.communicate(timeout=600)
    return {name: float(number) for name, number in _COUNT.findall(out)}


class Judge:
    """Prints what was measured, and keeps in mind whether all held."""

    def __init__(self) -> None:
        self.has_held = True

    def say(self, what: str, counts: Mapping[str, float], seconds: float, facts: Mapping[str, bool]) -> None:
        """Print a row of figures, and each fact that did not hold."""
        statuses = ", ".join(
            f"{n:,.0f} x {name[7:]}" for name, n in sorted(counts.items()) if name[:6] == "status"
        )
        rate = sum(n for name, n in counts.items() if name == "status 200") / seconds
        print(
            f"{what:34} {statuses:30} {rate:6,.0f} answers/s, "
            f"p50 {counts.get('p50', 0):.0f} ms, p99 {counts.get('p99', 0):.0f} ms",
            flush=True,
        )
        self._check(facts, dict(counts))

    def say_books(self, backend: str, books: Books) -> None:
        """Print what the service says at its end."""
        what = (
            f"{books.taken:,} in, {books.answered:,} out, lost {books.lost}, ended in {books.seconds:.2f} s"
        )
        print(f"{backend}, stopped: {what}", flush=True)
        facts = {
            "each request that was taken was answered": books.taken == books.answered and not books.lost,
            f"it ends within {DRAINED_WITHIN:g} s": books.seconds < DRAINED_WITHIN,
            "it ends with 143": books.code == 143,
        }
        self._check(facts, books)

    def _check(self, facts: Mapping[str, bool], seen: object) -> None:
        for fact, holds in facts.items():
            if not holds:
                self.has_held = False
                print(f"    NOT: {fact}: {seen}", flush=True)


def load(judge: Judge, backend: str, seconds: int) -> None:
    """Load a service below its capacity and then beyond it."""
    with running(backend) as service:
        counts = counts_of(start_wrk(service.url, BELOW, seconds))
        facts = {
            "all are answered 200": set(_statuses(counts)) == {"200"},
            "no connection breaks and nothing times out": not counts["connections"] + counts["timeouts"],
        }
        judge.say(f"{backend}, {BELOW} connections", counts, seconds, facts)
        for longer in (1, 4, 16):  # a busy machine takes its time to ask so much
            counts = counts_of(start_wrk(service.url, BEYOND, longer * seconds))
            if "503" in _statuses(counts):
                break
        facts = {
            "the others are refused by 503 with Retry-After": set(_statuses(counts)) == {"200", "503"},
            "no connection breaks and nothing times out": not counts["connections"] + counts["timeouts"],
        }
        judge.say(f"{backend}, {BEYOND} connections", counts, longer * seconds, facts)
        judge.say_books(backend, service.end())


def drain(judge: Judge, backend: str, seconds: int) -> None:
    """Stop a service in the middle of a load: what it has taken is answered, and reaches who has asked."""
    with running(backend) as service, start_wrk(service.url, BELOW, seconds + _LONGER) as wrk:
        time.sleep(seconds / 2)
        books = service.end()
        wrk.send_signal(signal.SIGINT)  # it says then what it has counted
        counts = counts_of(wrk)
    facts = {
        "wrk was answered until then": counts.get("status 200", 0) > 0,
        "each answer has arrived": counts.get("status 200") == books.answered,
        "the others were refused by 503 with Retry-After": set(_statuses(counts)) <= {"200", "503"},
        "nothing times out": not counts["timeouts"],
    }
    judge.say(f"{backend}, SIGTERM under load", counts, seconds / 2, facts)
    judge.say_books(backend, books)


def _statuses(counts: Mapping[str, float]) -> list[str]:
    return [name.removeprefix("status ") for name in counts if name.startswith("status ")]


def main(argv: Sequence[str] = ()) -> int:
    """Run the three loads on each event loop; 0 if all held."""
    parser = argparse.ArgumentParser("prove request_reply", description="A service over the graph under wrk.")
    parser.add_argument("--seconds", type=int, default=10, help="how long each load lasts (10)")
    parser.add_argument("--backend", choices=BACKENDS, help="this event loop alone")
    options = parser.parse_args(list(argv))
    if shutil.which("wrk") is None:
        print("wrk is not on this machine: apt-get install wrk", file=sys.stderr)
        return 2
    judge = Judge()
    for backend in [options.backend] if options.backend else BACKENDS:
        load(judge, backend, options.seconds)
        drain(judge, backend, options.seconds)
    print("held" if judge.has_held else "NOT held")
    return 0 if judge.has_held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
