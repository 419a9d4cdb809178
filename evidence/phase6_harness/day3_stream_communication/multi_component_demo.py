"""A desk talks to stations and to a price service: several message types, broadcast, multicast, request and reply.

Three things go wrong and are recovered from: a request that fails, a station that dies, bytes that are no message.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import anyio
import msgspec

from headrace import (
    BroadcastReport,
    HarnessComponent,
    MessageProtocol,
    StreamFramework,
    SystemExecutionHarness,
)
from headrace.exceptions import MessageError, RequestFailedError

STATIONS = ("north", "south", "east", "spare")


class Signal(Enum):
    """What everybody understands."""

    CLOSE = "close"


@dataclass(frozen=True)
class Order:
    """An order to a station."""

    item: str
    amount: int


@dataclass(frozen=True)
class PriceQuery:
    """A question to the price service."""

    item: str


@dataclass(frozen=True)
class PriceUpdate:
    """News for the price service."""

    item: str
    price: Decimal


class Receipt(msgspec.Struct, frozen=True):
    """What a station answers to each message."""

    station: str
    text: str


def make_framework() -> StreamFramework:
    """Return a framework that knows the messages of this system."""
    protocol = MessageProtocol()
    for kind in (Signal, Order, PriceQuery, PriceUpdate, Receipt):
        protocol.register(kind)
    return StreamFramework(protocol)


class Talker(HarnessComponent):
    """A component with a framework of its own: nothing is shared but bytes."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self.framework = make_framework()


class PriceService(Talker):
    """Answers price queries; does not know every price from the start."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.prices = {"fuel": Decimal("1.79")}

    async def process(self) -> None:
        await self.framework.serve(
            self.receive_streams["in"], self.answer, reply_stream=self.send_streams["out"]
        )

    def answer(self, message: PriceQuery | PriceUpdate) -> Decimal | str:
        """Return a price, or take note of a new one."""
        if isinstance(message, PriceUpdate):
            self.prices[message.item] = message.price
            return "noted"
        if message.item not in self.prices:
            raise LookupError(f"no price for {message.item}")
        return self.prices[message.item]


class Station(Talker):
    """Confirms each message; dies after as many as its battery lasts."""

    async def process(self) -> None:
        inbox = self.receive_streams["in"]
        left = self.config.get("battery", 1000)
        while left:
            try:
                message = await self.framework.receive_message(inbox)
            except anyio.EndOfStream:
                return
            except MessageError as error:
                message = f"unreadable ({type(error).__name__})"
            left -= 1
            receipt = Receipt(self.name, f"{type(message).__name__} {message}")
            await self.framework.send_message(self.send_streams["out"], receipt)
            if message is Signal.CLOSE:
                return
        inbox.close()


class Desk(Talker):
    """Leads the conversation and prints it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.facts: list[object] = []

    async def process(self) -> None:
        stations = {name: self.send_streams[name] for name in ("north", "south", "east")}
        self.framework.create_group("coast", {name: stations[name] for name in ("south", "east")})
        await self.ask_prices()
        await self.talk_to_stations(stations)
        await self.survive_garbage(stations["north"])
        print("broadcast: close, to all")
        await self.announce(await self.framework.broadcast_message(stations, Signal.CLOSE))

    def note(self, text: str, fact: object) -> None:
        """Print what happened and keep it for the check."""
        print(f"{text}: {fact}")
        self.facts.append(fact)

    async def announce(self, report: BroadcastReport) -> None:
        """Print who got a message, who did not and why, and wait for the receipts."""
        failed = "; ".join(f"{name} {why}" for name, why in report.failed.items()) or "none"
        self.note("  delivered to", ", ".join(map(str, report.delivered)))
        print(f"  failed: {failed}")
        receipts = [await self.receipt() for _ in report.delivered]
        for receipt in sorted(receipts, key=lambda receipt: STATIONS.index(receipt.station)):
            print(f"  {receipt.station} confirms: {receipt.text}")

    async def receipt(self) -> Receipt:
        """Return the next receipt from any station."""
        message = await self.framework.receive_message(self.receive_streams["receipts"])
        assert isinstance(message, Receipt)
        return message

    async def ask(self, message: object) -> Any:
        """Ask the price service."""
        return await self.framework.request(
            self.send_streams["ask"], message, reply_stream=self.receive_streams["answers"], timeout=5
        )

    async def ask_prices(self) -> None:
        """Ask for prices; one is not known at first."""
        self.note("request: the price of fuel, reply", await self.ask(PriceQuery("fuel")))
        try:
            await self.ask(PriceQuery("bread"))
        except RequestFailedError as error:
            self.note("ERROR request: the price of bread failed", error.error_type)
        self.note("recovery: tell the service, reply", await self.ask(PriceUpdate("bread", Decimal("3.20"))))
        self.note("recovered: the price of bread, reply", await self.ask(PriceQuery("bread")))

    async def talk_to_stations(self, stations: dict[str, Any]) -> None:
        """Broadcast and multicast; one station dies on the way and a spare takes its place."""
        opening = {"opens": datetime(2024, 3, 31, 6, 30, tzinfo=UTC), "gates": (1, 2)}
        print("broadcast: opening hours, to all")
        await self.announce(await self.framework.broadcast_message(stations, opening))
        print("multicast: an order, to the group coast")
        await self.announce(await self.framework.multicast_message("coast", Order("bread", 40)))
        east = self.receive_streams["gone"]
        async for _ in east:  # ends when the station has ended
            pass
        print("ERROR broadcast: storm warning, and east has died")
        report = await self.framework.broadcast_message(stations, ["storm", 10])
        await self.announce(report)
        for name in report.failed:
            print(f"recovery: the spare takes the place of {name}, and gets what {name} missed")
            self.framework.remove_from_group("coast", name)
            self.framework.add_to_group("coast", self.send_streams["spare"], name="spare")
            del stations[str(name)]
            stations["spare"] = self.send_streams["spare"]
            await self.announce(
                await self.framework.broadcast_message({"spare": stations["spare"]}, ["storm", 10])
            )
        print("recovered: multicast: all clear, to the group coast")
        await self.announce(await self.framework.multicast_message("coast", None))

    async def survive_garbage(self, north: Any) -> None:
        """Send bytes that are no message, then the message itself."""
        print("ERROR garbage on the line to north")
        await north.send(b'{"half a mess')
        self.note("  north confirms", (await self.receipt()).text)
        print("recovery: the message again")
        await self.framework.send_message(north, Order("fuel", 7))
        self.note("recovered: north confirms", (await self.receipt()).text)


EXPECTED: list[object] = [
    Decimal("1.79"),
    "LookupError",
    "noted",
    Decimal("3.20"),
    "north, south, east",
    "south, east",
    "north, south",
    "spare",
    "south, spare",
    "str unreadable (TruncatedMessageError)",
    "Order Order(item='fuel', amount=7)",
    "north, south, spare",
]


async def main() -> bool:
    """Put the system together, run it, and tell whether the conversation went as expected."""
    harness = SystemExecutionHarness("conversation")
    desk, service = Desk("desk"), PriceService("prices")
    harness.register_component("desk", desk)
    harness.register_component("prices", service)
    harness.connect("desk.ask", "prices.in")
    harness.connect("prices.out", "desk.answers")
    for name in STATIONS:
        harness.register_component(name, Station(name, {"battery": 2} if name == "east" else None))
        harness.connect(f"desk.{name}", f"{name}.in")
        harness.connect(f"{name}.out", "desk.receipts")
    harness.connect("east.gone", "desk.gone")
    report = await harness.run()
    sent = desk.framework.statistics()
    print(f"desk: sent {sent.sent}, received {sent.received}, failed deliveries {sent.failed_deliveries}")
    print(f"outcome {report.outcome}, ledger closes {report.ledger.closes}, lost {report.ledger.totals.lost}")
    return desk.facts == EXPECTED and report.clean and report.outcome == "finished"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    as_expected = anyio.run(main, backend=parser.parse_args().backend)
    print("everything as expected" if as_expected else "NOT as expected")
    sys.exit(0 if as_expected else 1)
