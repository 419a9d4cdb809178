"""What must not pass: each line with `# E:` is an error of mypy / of pyright, and no other line is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from headrace import Accepts, Emits, HarnessComponent, In, Out, Rejected, System, component


class Animal(msgspec.Struct):
    name: str


class Dog(Animal):
    good: bool = True


class Lines(HarnessComponent):
    out: Out[bytes]
    animals: Out[Animal]
    maybe: Out[Dog | None]
    lists: Out[list[str]]


class Feed(HarnessComponent):
    in_: In[Dog]
    numbers: In[int]
    optional: In[int] | None
    lists: In[list[int]]


@component
async def names() -> AsyncIterator[str]:
    yield "rex"


@component
async def find(name: str) -> Dog | Rejected[str] | None:
    return Dog(name)


@component
def show(dog: Dog) -> None:
    print(dog.name)


@component
def lists(dog: Dog) -> list[Dog]:
    return [dog]


system = System()
lines = system.add("lines", Lines, limit=3)
feed = system.add("feed", Feed)
source = system.add("source", names)
finder = system.add("finder", find)
shower = system.add("shower", show)
lister = system.add("lister", lists)

# --- types that do not fit ------------------------------------------------------------------------

system.connect(lines.out, feed.in_)  # E: misc / reportArgumentType
system.connect(lines.animals, feed.in_)  # E: misc / reportArgumentType
system.connect(lines.maybe, feed.in_)  # E: misc / reportArgumentType
system.connect(lines.lists, feed.lists)  # E: misc / reportArgumentType
system.connect(lines.out, feed.optional)  # E: misc / reportArgumentType
system.connect(finder.out, feed.numbers)  # E: misc / reportArgumentType
system.connect(finder, feed.numbers)  # E: misc / reportArgumentType
system.connect(lines.out, finder.in_)  # E: misc / reportArgumentType
system.connect(source.out, shower.in_)  # E: misc / reportArgumentType
system.connect(source, shower)  # E: misc / reportArgumentType
system.connect(lister, shower)  # E: misc / reportArgumentType
system.connect(finder.rejected, shower)  # E: misc / reportArgumentType

# --- ports that are not there, or of the wrong kind -----------------------------------------------

system.connect(lines.output, feed.in_)  # E: attr-defined / reportAttributeAccessIssue
system.connect(shower.out, feed.in_)  # E: attr-defined / reportAttributeAccessIssue
system.connect(finder.out, source.in_)  # E: attr-defined / reportAttributeAccessIssue
system.connect(feed.in_, lines.out)  # E: arg-type / reportArgumentType
system.connect(feed.in_, "feed.in")  # E: arg-type / reportArgumentType
system.connect(shower, feed.in_)  # E: arg-type / reportArgumentType
system.connect(finder, source)  # E: arg-type / reportArgumentType
system.connect(3, feed.in_)  # E: arg-type / reportArgumentType
system.connect("lines.out", "feed.in", when_full="explode")  # E: arg-type / reportArgumentType
system.connect("lines.out")  # E: call-arg / reportCallIssue

# --- handles say what they are --------------------------------------------------------------------

too_much: Emits[Dog] = lines.animals  # E: assignment / reportAssignmentType
too_little: Accepts[Animal] = feed.in_  # E: assignment / reportAssignmentType
wider: Out[Animal] = Lines("lines").maybe  # E: assignment / reportAssignmentType
system.add("three", 3)  # E: call-overload / reportCallIssue
