"""Component classes: ports are typed inside, settings are typed, and the handle that `add` gives is the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

import msgspec

from headrace import Accepts, Context, Emits, HarnessComponent, In, Out, Rejected, Resource, System


class Animal(msgspec.Struct):
    name: str


class Dog(Animal):
    good: bool = True


class Pool:
    async def fetch(self, name: str) -> Dog | None:
        return Dog(name)


class Parse(HarnessComponent):
    in_: In[bytes]
    side: In[int] | None
    out: Out[Dog]
    rejected: Out[Rejected[bytes]]
    db: Resource[Pool]

    class Config(msgspec.Struct):
        unit: str = "C"

    config: Config
    count = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        await super().setup(harness_context)
        assert_type(self.context, Context)

    async def process(self) -> None:
        assert_type(self.config.unit, str)
        async for raw in self.in_:
            assert_type(raw, bytes)
            dog = await self.db.fetch(raw.decode())
            if dog is None:
                await self.rejected.send(Rejected(raw, "no such dog"))
            else:
                await self.out.send(dog)
                self.out.send_nowait(dog)
        if self.side is not None:
            assert_type(await self.side.receive(), int)
            assert_type(await self.side.receive_many(at_most=5), list[int])


class Batches(HarnessComponent):
    in_: In[Dog]
    out: Out[Animal]
    names: Out[str]

    async def process(self) -> None:
        async for dogs in self.in_.batch(100, within=0.5):
            assert_type(dogs, list[Dog])
            await self.out.send_many([*dogs])
            await self.names.send_many(dog.name for dog in dogs)
        await self.out.send_many(await self.in_.receive_many())


class Lines(HarnessComponent):
    out: Out[bytes]
    numbers: Out[int]


class Feed(HarnessComponent):
    in_: In[Animal]
    either: In[Animal | int]


class Old:
    """Inherits from nothing of ours, and names its parameter as it likes."""

    async def setup(self, context: object = None) -> None: ...

    async def process(self) -> None: ...

    async def cleanup(self) -> None: ...


system = System("iot")
lines = system.add("lines", Lines)
parse = system.add("parse", Parse, {"unit": "C"}, unit="F")
feed = system.add("feed", Feed("feed"))
old = system.add("old", Old())

assert_type(parse, Parse)
assert_type(parse.out, Out[Dog])
assert_type(parse.count, int)
assert_type(feed, Feed)
assert_type(old, Old)

system.connect(lines.out, parse.in_, buffer_size=10, when_full="drop_oldest")
system.connect(lines.numbers, parse.side)  # an optional port
system.connect(parse.out, feed.in_)  # a Dog is an Animal
system.connect(parse.out, feed.either)
system.connect(lines.numbers, feed.either)
system.connect("lines.out", parse.in_)
system.connect(parse.out, "feed.in")
system.connect("lines.out", "parse")
system.connect(lines, feed)  # checked when it is wired
system.connect(parse.rejected, old)
system.spread(parse.out, "balance")
system.register_component("more", Old())
system.register_component("plain", HarnessComponent("plain"))

animals: Emits[Animal] = parse.out
dogs: Accepts[Dog] = feed.in_
system.connect(animals, feed.in_)
system.connect(parse.out, dogs)
