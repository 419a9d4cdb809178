"""Hypothesis strategies for everything that travels, and an equality that looks at types all the way down."""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import PosixPath, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

__all__ = ["messages", "same"]

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates included
OFFSETS = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))
ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.builds(dt.timezone, OFFSETS),
    st.builds(dt.timezone, OFFSETS, ANY_TEXT),
    st.sampled_from(["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC"]).map(ZoneInfo),
)
FOLDS = st.sampled_from([0, 1])


def _with_zone(kind: Any, zone: Any, fold: int) -> Any:
    return kind.replace(tzinfo=zone, fold=fold)


def _special_decimals() -> st.SearchStrategy[Decimal]:
    texts = ["NaN", "-NaN123", "sNaN", "-sNaN7", "Infinity", "-Infinity", "-0", "0E+7", "1E-999999", "1.10", "9" * 60]
    return st.sampled_from(texts).map(Decimal)


HASHABLE_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 40).map(lambda bits: (1 << 62) * (1 << bits) - 1),
    st.integers(10**5000, 10**5001),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([-0.0, math.inf, -math.inf, math.nan, -math.nan, 5e-324, 2.0**63, 1e22]),
    ANY_TEXT,
    st.binary(),
    st.datetimes(),
    st.builds(_with_zone, st.datetimes(), ZONES, FOLDS),
    st.dates(),
    st.builds(_with_zone, st.times(), ZONES, FOLDS),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.sampled_from(["", "/", "a/b", "/etc//x", "../é", "a\udc80b", "C:/x"]).flatmap(
        lambda text: st.sampled_from([PurePosixPath(text), PosixPath(text), PureWindowsPath(text)])
    ),
    ZONES,
)


def _hashables() -> st.SearchStrategy[Any]:
    return st.recursive(
        HASHABLE_SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
        max_leaves=5,
    )


def messages() -> st.SearchStrategy[Any]:
    """Everything built in, nested any way that Python allows."""
    hashables = _hashables()
    keys = st.one_of(st.sampled_from(["$", "v", "type", "data", "dict"]), hashables)
    return st.recursive(
        st.one_of(hashables, _special_decimals(), st.binary().map(bytearray), st.sets(hashables, max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(ANY_TEXT, inner, max_size=4),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )


def same(one: Any, two: Any) -> bool:
    """Whether two values have equal types and values, all the way down, nan equal to nan and 0.0 not to -0.0."""
    return _key(one) == _key(two)


def _key(value: Any) -> Any:
    kind = type(value)
    parts: Any
    if kind in (list, tuple):
        parts = [_key(item) for item in value]
    elif kind is dict:
        parts = [(_key(key), _key(item)) for key, item in value.items()]
    elif kind in (set, frozenset):
        parts = sorted(repr(_key(item)) for item in value)
    elif kind is float:
        parts = (math.copysign(1.0, value), "nan") if value != value else struct.pack(">d", value)
    elif kind is Decimal:
        parts = value.as_tuple()
    else:
        parts = tuple(_leaf(value))
    return kind, parts


def _leaf(value: Any) -> Iterator[Any]:
    if isinstance(value, dt.datetime | dt.time):
        yield value.replace(tzinfo=None, fold=0)
        yield value.fold
        yield _key(value.tzinfo)
    elif isinstance(value, dt.timezone):
        yield value.__getinitargs__()  # type: ignore[attr-defined]
    elif isinstance(value, ZoneInfo):
        yield value.key
    else:
        yield value
