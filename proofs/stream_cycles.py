"""Proves that nothing of a stream is left after it was closed: a million create/use/close cycles.

``python proofs/stream_cycles.py [cycles]`` prints resident memory and traced blocks along the way, and exits
with 1 if either has grown.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from headrace.streams.stream_manager import StreamManager

__all__ = ["main"]

#: What a million cycles may add: far below one byte a cycle.
ALLOWED_KIB = 512
ALLOWED_BLOCKS = 1000


def resident_kib() -> int:
    """Return this process's resident memory now, in KiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


def footprint() -> tuple[int, int]:
    """Return resident KiB and allocated Python memory blocks, after a full collection."""
    gc.collect()
    return resident_kib(), sys.getallocatedblocks()


async def cycle(manager: StreamManager, count: int) -> None:
    """Create, use and close this many streams, each with a clone, a loss and a wait-free message."""
    for number in range(count):
        send, receive = manager.create_stream(2)
        send.send_nowait(number)
        with send.clone() as other:
            other.send_nowait(number)
        if receive.receive_nowait() != number:
            raise AssertionError(f"cycle {number} received something else")
        send.close()
        await receive.aclose()


def main(argv: Sequence[str] = ()) -> int:
    """Run as many cycles as the first argument says, a million without one; 0 if nothing was left behind."""
    return prove(int(argv[0]) if argv else 1_000_000)


def prove(cycles: int) -> int:
    """Run the cycles in ten parts and print the footprint after each.

    Args:
        cycles: streams to create and close.

    Returns:
        The exit code: 0 if nothing has grown and the books close, else 1.
    """
    manager = StreamManager()
    warm_up, part = min(cycles, 10_000), max(1, cycles // 10)
    anyio.run(cycle, manager, warm_up)
    first = footprint()
    print(f"{manager.get_stream_stats()['total_closed']:>9,} cycles: {first[0]:,} KiB, {first[1]:,} blocks")
    begin, done, now = time.perf_counter(), 0, first
    while done < cycles:
        count = min(part, cycles - done)
        anyio.run(cycle, manager, count)
        done += count
        now = footprint()
        print(f"{done + warm_up:>9,} cycles: {now[0]:,} KiB, {now[1]:,} blocks", flush=True)
    seconds = time.perf_counter() - begin
    stats = manager.get_stream_stats()
    total = cycles + warm_up
    books = (stats["active_count"], stats["total_created"], stats["total_closed"]) == (0, total, total)
    grown = (now[0] - first[0], now[1] - first[1])
    good = books and grown[0] <= ALLOWED_KIB and grown[1] <= ALLOWED_BLOCKS
    print(f"grown by {grown[0]:,} KiB and {grown[1]:,} blocks; table empty, all counted: {books}")
    print(f"{seconds / cycles * 1e6:.1f} us a cycle; {'held' if good else 'NOT held'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
