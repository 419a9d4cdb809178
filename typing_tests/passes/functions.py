"""Functions: they stay callable as they were, and `add` knows what each takes and gives."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterator
from typing import Any, assert_type

import msgspec

from headrace import (
    FunctionHandle,
    HarnessComponent,
    In,
    Meta,
    Out,
    Rejected,
    Resource,
    SinkHandle,
    SourceHandle,
    System,
    component,
)


class Animal(msgspec.Struct):
    name: str


class Dog(Animal):
    good: bool = True


class Pool:
    async def fetch(self, name: str) -> Dog | None:
        return Dog(name)


class Ends(HarnessComponent):
    names: Out[str]
    dogs_in: In[Dog]
    animals_in: In[Animal]
    maybe_in: In[Dog | None]
    lists_in: In[list[Dog]]
    names_in: In[str]
    rejected_in: In[Rejected[Any]]


# --- a function keeps its signature ---------------------------------------------------------------


@component
def bark(dog: Dog) -> str:
    return dog.name


@component(attempts=5, on_error="reject", backoff=0.1)
async def find(name: str, *, db: Resource[Pool], meta: Meta, limit: int = 5) -> Dog | None:
    assert_type(db, Pool)
    assert_type(meta.attempt, int)
    return await db.fetch(name[:limit])


async def called() -> None:
    assert_type(bark(Dog("rex")), str)
    assert_type(await find("rex", db=Pool(), meta=Meta("1"), limit=3), Dog | None)


# --- what each kind takes and gives ---------------------------------------------------------------


@component
def check(dog: Dog) -> Dog | Rejected[Dog] | None:
    return dog if dog.good else Rejected(dog, "bad dog")


@component
def twice(name: str) -> Iterator[Dog]:
    yield Dog(name)


@component
async def later(name: str) -> AsyncIterator[Dog | Rejected[str]]:
    yield Dog(name)


@component
def generated(name: str) -> Generator[Dog, None, None]:
    yield Dog(name)


@component
async def loosely(name: str) -> AsyncIterable[Dog]:
    yield Dog(name)


def plain(name: str) -> list[Dog]:
    return [Dog(name)]


@component
async def names(*, count: int = 3) -> AsyncGenerator[str, None]:
    for number in range(count):
        yield str(number)


def numbered() -> Iterator[str]:
    yield "1"


@component
def show(animal: Animal) -> None:
    print(animal.name)


@component
async def store(dog: Dog, *, db: Resource[Pool]) -> None:
    await db.fetch(dog.name)


@component
def refuse(name: str) -> Rejected[str] | None:
    return Rejected(name, "never")


class Names:
    def known(self, name: str) -> Dog | None:
        return Dog(name)


system = System()
ends = system.add("ends", Ends)

assert_type(system.add("bark", bark), FunctionHandle[Dog, str])
assert_type(system.add("find", find, limit=3), FunctionHandle[str, Dog])
assert_type(system.add("check", check), FunctionHandle[Dog, Dog])
assert_type(system.add("twice", twice), FunctionHandle[str, Dog])
assert_type(system.add("later", later), FunctionHandle[str, Dog])
assert_type(system.add("generated", generated), FunctionHandle[str, Dog])
assert_type(system.add("loosely", loosely), FunctionHandle[str, Dog])
assert_type(system.add("plain", plain), FunctionHandle[str, list[Dog]])
assert_type(system.add("method", Names().known), FunctionHandle[str, Dog])
assert_type(system.add("names", names, {"count": 4}), SourceHandle[str])
assert_type(system.add("numbered", numbered), SourceHandle[str])
assert_type(system.add("show", show), SinkHandle[Animal])
assert_type(system.add("store", store), SinkHandle[Dog])
assert_type(system.add("refuse", refuse), SinkHandle[str])

anything: Any = bark
any_function: Callable[..., Any] = bark
system.connect(system.add("anything", anything).out, ends.dogs_in)
system.connect(system.add("any_function", any_function), ends.names_in)
system.register_component("once_more", bark)
system.connect(ends.names, system.add("partial", functools.partial(plain)))

# --- and what fits what ---------------------------------------------------------------------------

source = system.add("source", names)
finder = system.add("finder", find)
shower = system.add("shower", show)

system.connect(source.out, finder.in_)
system.connect(source, finder)
system.connect(finder.out, shower.in_)
system.connect(finder, shower)
system.connect(finder.out, ends.dogs_in)
system.connect(finder, ends.animals_in)
system.connect(finder.out, ends.maybe_in)
system.connect(ends.names, finder)
system.connect(ends.names, system.add("many", plain))
system.connect(system.add("lists", plain).out, ends.lists_in)
system.connect(finder.rejected, ends.rejected_in)
system.connect("finder.out", shower)
system.connect(finder, "shower.in")


def pipeline(sink: SinkHandle[Animal]) -> SourceHandle[str]:
    part = System()
    part.connect(part.add("find", find), sink)
    return part.add("names", names)
