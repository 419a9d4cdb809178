"""Ray: two actors in processes of their own, batches of messages, a few batches on their way.

A process of its own measures it: ``python -m headrace_bench.peers.ray_actors COUNT BATCH`` prints seconds.
"""

from __future__ import annotations

import logging
import sys
import time
from itertools import islice
from typing import Any

import ray

from headrace_bench.workload import Message, messages, passed, swallow

_ON_THEIR_WAY = 8  # batches
_WARM_UP = 2  # batches


class Stage:
    """Passes batches on."""

    def work(self, batch: list[Message]) -> list[Message]:
        """Apply the function to each message."""
        return [passed(message) for message in batch]


class Sink:
    """Takes batches."""

    def take(self, batch: list[Message]) -> int:
        """Take each message; returns how many there were."""
        for message in batch:
            swallow(message)
        return len(batch)


def move(stage: Any, sink: Any, count: int, size: int) -> float:
    """Move messages from here through the stage to the sink; return the seconds."""
    began = time.perf_counter()
    source, moved = messages(count), 0
    on_their_way: list[ray.ObjectRef] = []
    while batch := list(islice(source, size)):
        on_their_way.append(sink.take.remote(stage.work.remote(batch)))
        if len(on_their_way) >= _ON_THEIR_WAY:
            moved += ray.get(on_their_way.pop(0))
    moved += sum(ray.get(on_their_way))
    assert moved == count
    return time.perf_counter() - began


def main(arguments: list[str]) -> None:
    """Print the seconds of one run, after a short one that starts everything."""
    count, size = map(int, arguments)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        stage, sink = ray.remote(Stage).remote(), ray.remote(Sink).remote()
        move(stage, sink, _WARM_UP * size, size)
        print(move(stage, sink, count, size))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
