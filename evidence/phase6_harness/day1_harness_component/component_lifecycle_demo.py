"""Three different components through set-up, running and clean-up, joined by streams; every state is printed.

A sensor sends readings, a converter rejects what is no number and converts the rest, a logbook keeps them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import anyio

from headrace import ComponentStatus, HarnessComponent, Rejected, SystemExecutionHarness
from headrace.model.component_status import Transition

READINGS = ["20.5", "21.0", "broken", "22.25"]
EXPECTED = [68.9, 69.8, 72.05]
FULL_LIFE = ["created", "ready", "running", "stopping", "stopped"]


class Sensor(HarnessComponent):
    """A source: has no input, and ends when it has sent its readings."""

    async def process(self) -> None:
        for reading in self.config["readings"]:
            print(f"{self.name:>9}: send {reading!r}")
            await self.send_streams["out"].send(reading)


class Converter(HarnessComponent):
    """Receives, converts and sends on; opens its table in set-up and drops it in clean-up."""

    table: dict[str, tuple[float, float]] | None = None

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        self.table = {"F": (1.8, 32.0)}
        print(f"{self.name:>9}: set-up opens the table of units")
        await super().setup(harness_context)

    async def process(self) -> None:
        assert self.table is not None
        factor, offset = self.table[self.config["unit"]]
        async for reading in self.receive_streams["in"]:
            try:
                celsius = float(reading)
            except ValueError as error:
                await self.send_streams["rejected"].send(Rejected(reading, str(error)))
            else:
                await self.send_streams["out"].send(round(celsius * factor + offset, 2))

    async def cleanup(self) -> None:
        self.table = None
        print(f"{self.name:>9}: clean-up drops the table of units")
        await super().cleanup()


class Logbook(HarnessComponent):
    """A sink with two inputs: keeps what comes on each."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.entries: list[float] = []
        self.rejected: list[Rejected[str]] = []

    async def process(self) -> None:
        async for value in self.receive_streams["in"]:
            print(f"{self.name:>9}: keep {value}")
            self.entries.append(value)
        async for entry in self.receive_streams["rejected"]:
            print(f"{self.name:>9}: rejected {entry.message!r}: {entry.reason}")
            self.rejected.append(entry)


def say(status: ComponentStatus, move: Transition) -> None:
    """Print a transition."""
    print(f"{status.component:>9}: {move.source} -> {move.target}")


async def main() -> bool:
    """Run the three, clean one up by hand as well, and tell whether everything was as it should be."""
    logbook = Logbook("logbook")
    components = [
        Sensor("sensor", {"readings": READINGS}),
        Converter("converter", {"unit": "F"}),
        logbook,
    ]
    harness = SystemExecutionHarness("lifecycle")
    for component in components:
        component.status.add_listener(say)
        harness.register_component(component.name, component)
    harness.connect("sensor.out", "converter.in")
    harness.connect("converter.out", "logbook.in")
    harness.connect("converter.rejected", "logbook.rejected")
    print("--- the states before:", ", ".join(f"{c.name} {c.status.state}" for c in components))
    report = await harness.run()
    print("--- the states after: ", ", ".join(f"{c.name} {c.status.state}" for c in components))
    lives = [["created", *(move.target.value for move in c.status.history)] for c in components]
    for component in components:
        health = await component.health_check()
        print(f"--- health of {component.name}: healthy {health['healthy']}, errors {health['error_count']}")

    print("--- without a harness: clean-up is idempotent and legal from every state")
    alone = Sensor("alone", {"readings": []})
    alone.status.add_listener(say)
    await alone.setup()
    await alone.cleanup()
    await alone.cleanup()
    return (
        lives == [FULL_LIFE] * 3
        and logbook.entries == EXPECTED
        and [entry.message for entry in logbook.rejected] == ["broken"]
        and report.clean
        and alone.status.state == "stopped"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    as_expected = anyio.run(main, backend=parser.parse_args().backend)
    print("everything as expected" if as_expected else "NOT as expected")
    sys.exit(0 if as_expected else 1)
