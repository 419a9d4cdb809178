"""What fits what: as strict as a type checker where both types are known, lenient where one is not."""

from __future__ import annotations

import collections.abc as abc
import datetime
import enum
import sys
import typing
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Generic,
    Literal,
    NewType,
    NoReturn,
    Optional,
    Protocol,
    SupportsInt,
    TypedDict,
    TypeVar,
    Union,
)

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.message import Rejected
from headrace.model.type_fit import fits, misfit, type_name

if sys.version_info >= (3, 12):
    from typing import TypeAliasType
else:
    from typing_extensions import TypeAliasType

T = TypeVar("T")
Small = TypeVar("Small", bound=int)
OneOf = TypeVar("OneOf", int, str)


class Base(Generic[T]):
    pass


class OfInt(Base[int]):
    pass


class Same(Base[T]):
    pass


class Other(OfInt, Generic[T]):
    pass


class Mixed(Generic[T]):
    pass


class Both(Mixed[str], Base[int]):
    pass


@abc.Sequence.register
class LooksLikeOne(Generic[T]):
    pass


class Numbers(list[int]):
    pass


class Animal:
    pass


class Dog(Animal):
    def close(self) -> None: ...


class Closer(Protocol):
    name: str

    def close(self) -> None: ...


class Place(TypedDict):
    x: int


class NamedPlace(TypedDict):
    x: int
    name: str


class TextPlace(TypedDict):
    x: str


class HalfKnownPlace(TypedDict):
    x: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Colour(enum.Enum):
    RED = 1


class Strange(type):
    def __subclasscheck__(cls, other: type) -> bool:
        raise TypeError("do not ask")


class Refuses(metaclass=Strange):
    pass


UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
Row = dict[str, int]
Alias = TypeAliasType("Alias", dict[str, int])
ListOf = TypeAliasType("ListOf", list[T], type_params=(T,))  # type: ignore[misc]
Point = namedtuple("Point", "x y")

FITS = [
    (int, int),
    (bool, int),
    (Dog, Animal),
    (int, float),
    (bool, float),
    (float, complex),
    (int, object),
    (int, Any),
    (Any, int),
    (None, None),
    (None, type(None)),
    (None, int | None),
    (int, int | None),
    (int | str, int | str | None),
    (Optional[int], Union[str, int, None]),  # noqa: UP007, UP045
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a", 1], str | int),
    (Literal["a", 1], Literal["a"] | int),
    (Literal[Colour.RED], Colour),
    (Literal["a"], Any),
    (tuple[int, int], tuple[int, ...]),
    (tuple[int, ...], tuple[float, ...]),
    (tuple[bool, str], tuple[int, str]),
    (tuple[()], tuple[int, ...]),
    (tuple[int, str], Sequence[int | str]),
    (tuple, tuple[int]),
    (tuple[int], tuple),
    (Point, tuple[int, int]),
    (list[int], Sequence[int]),
    (list[bool], list[int]),
    (list, list[int]),
    (list[int], list),
    (typing.List[int], list[int]),  # noqa: UP006
    (Numbers, list[int]),
    (dict[str, int], Mapping[str, float]),
    (dict[str, int], Iterable[str]),
    (OrderedDict[str, int], dict[str, int]),
    (Counter[str], Mapping[str, int]),
    (Row, Mapping[str, int]),
    (str, Sequence[str]),
    (bytes, Iterable[int]),
    (Iterator[int], Iterable[int]),
    (OfInt, Base[int]),
    (Same[int], Base[int]),
    (Same, Base[str]),
    (Other[str], Base[int]),
    (Both, Base[int]),
    (LooksLikeOne[int], Sequence[str]),
    (HalfKnownPlace, Place),
    (Place, HalfKnownPlace),
    (int, ForwardRef("Unknown")),
    (Rejected[bytes], Rejected),
    (Rejected, Rejected[bytes]),
    (Place, dict),
    (Place, Mapping[str, object]),
    (dict[str, Any], Place),
    (NamedPlace, Place),
    (Dog, Closer),
    (int, SupportsInt),
    (int, abc.Hashable),
    (UserId, int),
    (UserId, float),
    (AdminId, UserId),
    (AdminId, int),
    (Literal[1], int),
    (T, int),
    (int, T),
    (Small, int),
    (bool, Small),
    (OneOf, int | str),
    (Annotated[int, "m"], int),
    (list[Annotated[int, "m"]], list[int]),
    (Alias, Row),
    (Row, Alias),
    (ListOf[int], list[int]),  # type: ignore[misc]
    ("Unknown", int),
    (int, "Unknown"),
    (ForwardRef("Unknown"), UserId),
    (NoReturn, int),
    (Callable[[int], str], Callable[[str], str]),
    (Callable[[int], str], Callable),
    (type[bool], type[int]),
    (datetime.datetime, datetime.date),
    (int, Refuses),
]
REFUSED = [
    (int, str),
    (float, int),
    (object, int),
    (Animal, Dog),
    (None, int),
    (int | None, int),
    (int | str, int),
    (int, str | bytes),
    (str, Literal["a"]),
    (Literal["a"], int),
    (Literal["a", "c"], Literal["a", "b"]),
    (Literal[1], Literal[True]),
    (Literal["a", 1], Literal["a"] | bytes),
    (tuple[int, str], tuple[int, ...]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int], tuple[int, int]),
    (tuple[()], tuple[int]),
    (tuple[int, str], Iterable[int]),
    (list[int], Sequence[str]),
    (list[int], tuple[int, ...]),
    (Numbers, Sequence[str]),
    (dict[str, int], Mapping[str, str]),
    (dict[str, int], Iterable[int]),
    (str, Sequence[int]),
    (OfInt, Base[str]),
    (Same[int], Base[str]),
    (Other[str], Base[str]),
    (Both, Base[str]),
    (HalfKnownPlace, NamedPlace),
    (Rejected[bytes], Rejected[str]),
    (Place, int),
    (int, Place),
    (Place, NamedPlace),
    (Place, TextPlace),
    (int, Closer),
    (str, SupportsInt),
    (int, UserId),
    (UserId, AdminId),
    (UserId, str),
    (Small, str),
    (OneOf, float),
    (str, Small),
    (Annotated[int, "m"], str),
    (Alias, dict[str, str]),
    (ListOf[int], list[str]),  # type: ignore[misc]
    (int, Callable),
    (type[int], type[str]),
    (list[int] | None, list[str] | None),
]


@pytest.mark.parametrize(("sent", "accepted"), FITS, ids=lambda kind: type_name(kind))
def test_it_fits(sent: Any, accepted: Any) -> None:
    assert fits(sent, accepted)


@pytest.mark.parametrize(("sent", "accepted"), REFUSED, ids=lambda kind: type_name(kind))
def test_it_does_not_fit(sent: Any, accepted: Any) -> None:
    assert not fits(sent, accepted)


plain = st.sampled_from([int, str, bool, float, None, bytes, Animal, Dog, UserId, Any, object, Literal["a"]])
kinds = st.recursive(
    plain,
    lambda inner: st.one_of(
        inner.map(lambda k: list[k]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda two: dict[two]),  # type: ignore[valid-type, misc]
        st.tuples(inner, inner).map(lambda two: Union[two]),  # noqa: UP007
        st.lists(inner, min_size=1, max_size=3).map(lambda ks: tuple[tuple(ks)]),  # type: ignore[misc]
    ),
    max_leaves=5,
)


class Named(Protocol):
    def close(self) -> None: ...
    def bark(self) -> None: ...


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class IntPage(Page[int]):
    pass


OtherDog = type("Dog", (), {"__module__": "zoo"})


@pytest.mark.parametrize(
    ("sent", "accepted", "reason"),
    [
        (int, str, ""),
        (float, int, ""),
        (dict[str, str], tuple[str, int], ""),
        (Place, int, ""),
        (Animal, Dog, "not every Animal is a Dog"),
        (object, int, "an object may be anything"),
        (OtherDog, Dog, f"that of zoo is not that of {__name__}"),
        (int | None, int, "what is sent may be None"),
        (Animal | int, Dog | int, "what is sent may be Animal (Animal is none of Dog, int)"),
        (Literal["a", "c"], Literal["a", "b"], "what is sent may be 'c' (only 'a' or 'b' is accepted)"),
        (str, Literal["a"], "only 'a' is accepted"),
        (int, str | bytes, "int is none of str, bytes"),
        (Animal, Dog | None, "not every Animal is a Dog"),
        (int, UserId, "only UserId(...) makes one"),
        (int, Closer, "int has no close()"),
        (int, Named, "int has no close() and no bark()"),
        (list[int], Sequence[str], "its items are int, not str"),
        (list[Animal], list[Dog], "its items are Animal, not Dog (not every Animal is a Dog)"),
        (
            list[list[int]],
            list[list[str]],
            "its items are list[int], not list[str] (its items are int, not str)",
        ),
        (dict[int, str], Mapping[str, str], "its keys are int, not str"),
        (
            dict[str, int | None],
            dict[str, int],
            "its values are int | None, not int (what is sent may be None)",
        ),
        (OfInt, Base[str], "its T is int, not str"),
        (type[int], type[str], "it is of int, not str"),
        (tuple[int], tuple[int, int], "it has 1 item, not 2"),
        (tuple[int, ...], tuple[int, int], "it has any number of items, not 2"),
        (tuple[int, str], tuple[int, int], "its item 2 is str, not int"),
        (tuple[int, str], Iterable[int], "its item 2 is str, not int"),
        (Place, NamedPlace, "it has no key 'name'"),
        (Place, TextPlace, "its 'x' is int, not str"),
        (Page[int], Page[str], "its T is int, not str"),
        (IntPage, Page[str], "its T is int, not str"),
    ],
    ids=lambda kind: kind if isinstance(kind, str) else type_name(kind),
)
def test_the_reason_why_it_does_not_fit_is_told(sent: Any, accepted: Any, reason: str) -> None:
    assert misfit(sent, accepted) == reason


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [(Page[bool], Page[int]), (Page, Page[int]), (Page[int], Page), (IntPage, Page[int])],
)
def test_a_generic_model_of_pydantic_is_taken_apart_like_any_other_generic_class(
    sent: Any, accepted: Any
) -> None:
    assert fits(sent, accepted)


@given(kinds, kinds)
def test_there_is_a_reason_just_where_it_does_not_fit(sent: Any, accepted: Any) -> None:
    assert fits(sent, accepted) == (misfit(sent, accepted) is None)


@given(kinds)
def test_every_type_fits_itself_and_object(kind: Any) -> None:
    assert fits(kind, kind)
    assert fits(kind, object)


@given(kinds, kinds)
def test_a_type_fits_every_union_it_is_part_of(one: Any, two: Any) -> None:
    assert fits(one, Union[one, two])  # noqa: UP007
    assert fits(Union[one, two], one) == fits(two, one)  # noqa: UP007


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (int, "int"),
        (None, "None"),
        (type(None), "None"),
        (Any, "Any"),
        (list[int], "list[int]"),
        (int | None, "int | None"),
        (Optional[int], "int | None"),  # noqa: UP045
        (list[Dog | None], "list[Dog | None]"),
        (dict[str, tuple[Dog, ...]], "dict[str, tuple[Dog, ...]]"),
        (tuple[()], "tuple[()]"),
        (Base[Dog], "Base[Dog]"),
        (typing.List[int], "list[int]"),  # noqa: UP006
        (Callable[[int], str], "Callable[[int], str]"),
        (Annotated[int, 5], "Annotated[int, 5]"),
        (T, "~T"),
        (Literal["a"], "Literal['a']"),
        (UserId, "UserId"),
        (Dog, "Dog"),
    ],
)
def test_a_type_is_named_as_a_person_writes_it(kind: Any, name: str) -> None:
    assert type_name(kind) == name
