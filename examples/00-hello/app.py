from collections.abc import Iterator

from headrace import System, component


@component
def words(*, text: str) -> Iterator[str]:
    yield from text.split()


@component
def shout(word: str) -> str | None:
    return word.upper() if len(word) > 3 else None  # None lets the message go


@component
def show(word: str) -> None:
    print(word)


system = System("hello")
system.add("words", words, text="the quick brown fox jumps over the lazy dog")
system.add("shout", shout)
system.add("show", show)
system.connect("words", "shout")
system.connect("shout", "show")

if __name__ == "__main__":
    print(system.run_blocking().summary())
