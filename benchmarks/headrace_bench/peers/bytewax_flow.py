"""Bytewax: a dataflow of one worker in this process, its source in batches."""

from __future__ import annotations

import time
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, run_main

from headrace_bench.workload import Message, messages, passed, swallow


class SwallowingPartition(StatelessSinkPartition[Message]):
    """Takes batches."""

    def write_batch(self, items: list[Message]) -> None:
        """Take each message."""
        for message in items:
            swallow(message)


class SwallowingSink(DynamicSink[Message]):
    """A sink that keeps nothing."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> SwallowingPartition:
        """Return the sink of a worker."""
        return SwallowingPartition()


def run_line(count: int, batch: int) -> float:
    """Run messages through a map; return the seconds."""
    began = time.perf_counter()
    flow = Dataflow("line")
    inputs: Any = op.input("source", flow, TestingSource(messages(count), batch_size=batch))
    op.output("sink", op.map("stage", inputs, passed), SwallowingSink())
    run_main(flow)
    return time.perf_counter() - began


__all__ = ["run_line"]
