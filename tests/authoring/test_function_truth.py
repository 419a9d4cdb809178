"""What the runtime believes of a function's annotation, and what it finds all the same where that is wrong."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
import pytest

from headrace import Rejected, System, component
from headrace.authoring.function_signature import is_truthful
from headrace.authoring.function_stage import all_are, sorted_out
from headrace.model.message import rejections_made


class Row(msgspec.Struct):
    """A message."""

    n: int = 0


@dataclass
class Plain:
    """A message."""

    n: int = 0


class Keyed(TypedDict):
    """A message."""

    n: int


class Moody:
    """Its truth is not to be asked."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous, like that of an array")


class Sized:
    """Its truth is how long it is."""

    def __len__(self) -> int:
        return 1


def returning(kind: Any) -> Callable[[Any], Any]:
    """Return a function of that annotation."""

    def fn(message: Any) -> Any:
        return message

    fn.__annotations__["return"] = kind
    return fn


@pytest.mark.parametrize(
    "kind",
    [
        dict[str, int],
        dict,
        int,
        str,
        Row,
        Plain,
        Keyed,
        Annotated[int, "m"],
        list[int],
        Row | None,
    ],
)
def test_a_type_whose_truth_is_cheap_is_believed(kind: Any) -> None:
    assert is_truthful(returning(kind))


@pytest.mark.parametrize(
    "kind",
    [
        Any,
        object,
        None,
        Rejected,
        Rejected[int],
        Row | Rejected[int],
        Moody,
        Row | Moody,
        Sized,
        Awaitable[Row],
        Iterator[Row],
    ],
)
def test_any_other_annotation_is_not(kind: Any) -> None:
    assert not is_truthful(returning(kind))


def test_a_function_without_annotation_and_a_wrapper_are_not_believed() -> None:
    @functools.wraps(returning(Row))
    def wrapper(message: Any) -> Any:
        return message

    assert not is_truthful(lambda message: message)
    assert not is_truthful(wrapper)


def test_of_a_source_what_it_yields_counts() -> None:
    def rows() -> Iterator[Row]:
        yield Row()

    def maybe() -> Iterator[Row | Moody]:
        yield Row()

    assert is_truthful(rows)
    assert not is_truthful(maybe)


def test_all_are_looks_closer_where_truth_says_nothing() -> None:
    assert all_are(int, [1, 2], truthful=True)
    assert all_are(int, [1, 0], truthful=True)
    assert not all_are(int, [1, None], truthful=True)
    assert not all_are(int, [1, Rejected(1, "no")], truthful=False)
    assert all_are(Moody, [Moody(), Moody()], truthful=True)
    assert all_are(type(None), [None, None], truthful=False)
    assert not all_are(type(None), [None, 0], truthful=False)
    assert not all_are(type(None), [None, Rejected(1, "no")], truthful=False)


def test_sorting_out_looks_closer_where_truth_says_nothing() -> None:
    assert sorted_out([1, None, 0], truthful=True) == ([1, 0], ())
    moody = [Moody()]
    assert sorted_out(moody, truthful=True) == (moody, ())


def test_whatever_is_rejected_is_counted() -> None:
    before = rejections_made()
    one = Rejected(1, "no")
    msgspec.json.decode(msgspec.json.encode(one), type=Rejected[int])
    assert rejections_made() == before + 2


@pytest.mark.parametrize("fuse", [True, False])
async def test_an_annotation_that_is_wrong_changes_nothing(fuse: bool) -> None:
    taken: list[Any] = []
    refused: list[Any] = []

    @component
    def numbers() -> Iterator[int]:
        for number in range(1000):
            yield None if number % 7 == 3 else number  # type: ignore[misc]
        yield Rejected(-1, "no")  # type: ignore[misc]

    @component
    def some(number: int) -> int:
        if number % 5 == 1:
            return Rejected(number, "no")  # type: ignore[return-value]
        return None if number % 5 == 2 else number  # type: ignore[return-value]

    @component
    def take(number: int) -> int:
        taken.append(number)
        return None  # type: ignore[return-value]

    @component
    def refuse(rejected: Rejected[int]) -> None:
        refused.append(rejected.message)

    system = System("lies", fuse=fuse)
    for name, part in {"numbers": numbers, "some": some, "take": take, "refuse": refuse}.items():
        system.add(name, part)
    system.connect("numbers.out", "some.in")
    system.connect("some.out", "take.in")
    system.connect("some.rejected", "refuse.in")
    system.connect("numbers.rejected", "refuse.in")
    report = await system.run()
    sent = [n for n in range(1000) if n % 7 != 3]
    assert taken == [n for n in sent if n % 5 not in (1, 2)]
    assert sorted(refused) == [-1, *(n for n in sent if n % 5 == 1)]
    assert report.ledger.closes
