"""A complete system from start to graceful stop: a meter without end, two workers, a store and an alarm.

The system is asked to stop while it is busy. The drain is shown: everything accepted arrives, the books close.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import anyio

from headrace import HarnessComponent, ShutdownReport, SystemExecutionHarness, component

ENOUGH = 5_000  # readings in the store, after which the operator asks for the stop


class Meter(HarnessComponent):
    """Sends numbered readings until the system stops."""

    sent = 0

    async def process(self) -> None:
        while not self.context.stop_event.is_set():
            await self.send_streams["out"].send(self.sent)
            self.sent += 1


@component
def worker(number: int) -> dict[str, int]:
    """Make a record of a reading."""
    return {"number": number, "value": number * number % 1009}


class Store(HarnessComponent):
    """Keeps every record, and says when there are enough."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self.records: list[dict[str, int]] = []
        self.enough = anyio.Event()

    async def process(self) -> None:
        async for record in self.receive_streams["in"]:
            self.records.append(record)
            if len(self.records) >= ENOUGH:
                self.enough.set()


@component
def high(record: dict[str, int]) -> dict[str, int] | None:
    """Let records above 1000 through."""
    return record if record["value"] > 1000 else None


def build() -> tuple[SystemExecutionHarness, Meter, Store, list[int]]:
    """Return the system with the parts that the operator looks at."""
    harness = SystemExecutionHarness("plant", buffer_size=50)
    meter, store, alarms = Meter("meter"), Store("store"), list[int]()

    @component
    def alarm(record: dict[str, int]) -> None:
        alarms.append(record["number"])

    harness.register_component("meter", meter)
    harness.add("worker_a", worker)
    harness.add("worker_b", worker)
    harness.register_component("store", store)
    harness.add("high", high)
    harness.add("alarm", alarm)
    for name in ("worker_a", "worker_b"):
        harness.connect("meter.out", f"{name}.in")
        harness.connect(f"{name}.out", "store.in")
        harness.connect(f"{name}.out", "high.in")
    harness.spread("meter.out", "balance")
    harness.connect("high.out", "alarm.in")
    harness.summarize(given_out="store.in")
    return harness, meter, store, alarms


def show_states(harness: SystemExecutionHarness, when: str) -> None:
    """Print the state of every component."""
    states = {name: one.state.value for name, one in harness.statistics().components.items()}
    print(f"{when}: running {harness.running}, " + ", ".join(f"{name} {s}" for name, s in states.items()))


def show_report(report: ShutdownReport) -> None:
    """Print the report and the books of every edge."""
    print(f"outcome {report.outcome}; {report.summary()}; drained in {report.drain_seconds:.3f} s")
    for edge in report.ledger.edges:
        print(
            f"  {edge.edge:28} accepted {edge.accepted:>6,} acknowledged {edge.acknowledged:>6,}"
            f" remaining {edge.remaining} closes {edge.closes}"
        )


async def main() -> bool:
    """Start the system, let it work, stop it, run it a second time, and tell whether nothing was lost."""
    harness, meter, store, alarms = build()
    show_states(harness, "before")
    print("layers, downstream first:", " | ".join(", ".join(layer) for layer in harness.topology.layers))
    good = True
    for turn in (1, 2):
        meter.sent, store.enough = 0, anyio.Event()
        store.records.clear()
        alarms.clear()
        async with anyio.create_task_group() as group:
            await group.start(harness.run)
            show_states(harness, f"run {turn}, started")
            await store.enough.wait()
            print(f"run {turn}: the store has {ENOUGH:,}, the operator asks for a graceful stop")
            report = await harness.stop()
        assert report is not None
        show_states(harness, f"run {turn}, stopped")
        show_report(report)
        numbers = sorted(record["number"] for record in store.records)
        high_ones = [record["number"] for record in store.records if record["value"] > 1000]
        good &= (
            numbers == list(range(meter.sent))
            and sorted(alarms) == sorted(high_ones)
            and report.outcome == "stopped"
            and report.clean
            and report.ledger.closes
            and report.drain_seconds < 1
            and not harness.running
        )
        print(f"run {turn}: nothing lost, nothing twice, nothing left: {good}")
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    as_expected = anyio.run(main, backend=parser.parse_args().backend)
    print("everything as expected" if as_expected else "NOT as expected")
    sys.exit(0 if as_expected else 1)
