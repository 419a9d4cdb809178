"""The types that travel without being registered, and the registry that finds a codec by type or by tag.

Types match exactly: a subclass of ``int`` is refused rather than sent as an ``int``.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import re
import sys
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import NoneType
from typing import Any, Literal

from headrace.exceptions import (
    CannotRegisterError,
    InvalidMessageError,
    MissingExtraError,
    TypeAlreadyRegistered,
    UnknownTypeError,
    UnregisteredTypeError,
)
from headrace.model.endpoint import did_you_mean

from .message_misfit import Misfit, brief, expect
from .message_records import record_codec
from .message_tree import PLAIN_NAMES, Codec

__all__ = ["CodecRegistry", "NumpyUse"]

NumpyUse = bool | Literal["auto"]
NUMPY_PREFIX = "numpy."

# Its own context: the thread's may have had its traps taken off, and then garbage would be a NaN.
_DECIMALS = decimal.Context(traps=[decimal.InvalidOperation])


def _only(kind: type) -> Callable[[Any], Any]:
    return lambda payload: expect(payload, kind)


def _decode_int(payload: Any) -> int:
    if type(payload) is str:
        if not re.fullmatch("-?[0-9a-f]+", payload):
            raise ValueError(f"not hexadecimal: {brief(payload)}")
        return int(payload, 16)
    return int(expect(payload, int))


def _decode_float(payload: Any) -> float:
    if type(payload) is str and payload not in ("nan", "-nan", "inf", "-inf"):
        raise ValueError(brief(payload))
    # A new object for each nan: in a set or as keys of a dict they are told apart by identity.
    return float(expect(payload, float, str))


def _decode_str(payload: Any) -> str:
    return payload if type(payload) is str else "".join(map(chr, expect(payload, list)))


def _decode_dict(payload: Any) -> dict[Any, Any]:
    return payload if type(payload) is dict else dict(expect(payload, list))


def _collection(kind: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    return lambda payload: kind(expect(payload, list))


def _encode_bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


def _decode_bytes(payload: Any) -> bytes:
    return base64.b64decode(expect(payload, str), validate=True)


def _encode_moment(value: dt.datetime | dt.time) -> Any:
    if value.tzinfo is None and not value.fold:
        return value.isoformat()
    at = value.replace(tzinfo=None, fold=0).isoformat()
    return {"at": at, "fold": value.fold, "tzinfo": value.tzinfo}


def _moment(kind: type[dt.datetime] | type[dt.time]) -> Callable[[Any], Any]:
    def decode(payload: Any) -> Any:
        if type(payload) is str:
            return kind.fromisoformat(payload)
        parts = expect(payload, dict)
        at = kind.fromisoformat(expect(parts["at"], str))
        return at.replace(tzinfo=parts["tzinfo"], fold=expect(parts["fold"], int))

    return decode


def _encode_timedelta(value: dt.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _decode_timedelta(payload: Any) -> dt.timedelta:
    days, seconds, microseconds = (expect(part, int) for part in expect(payload, list))
    return dt.timedelta(days, seconds, microseconds)


def _encode_timezone(value: dt.timezone) -> list[Any]:
    # The arguments, not `tzname()`: a zone with a given name comes back with it, one without comes back without.
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]
    return [_encode_timedelta(offset), *name]


def _decode_timezone(payload: Any) -> dt.timezone:
    offset, *name = expect(payload, list)
    return dt.timezone(_decode_timedelta(offset), *(expect(part, str) for part in name))


def _encode_zone(value: zoneinfo.ZoneInfo) -> str:
    if value.key is None:
        raise Misfit(InvalidMessageError, "a ZoneInfo without a key has no name to travel by")
    return value.key


def _decode_zone(payload: Any) -> zoneinfo.ZoneInfo:
    key = expect(payload, str)
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", key):
        raise ValueError(f"not the name of a time zone: {brief(key)}")
    return zoneinfo.ZoneInfo(key)


def _encode_path(value: PurePath) -> str:
    text = str(value)
    # Before Python 3.12 `str` drops the dot that keeps "./c:x", a file, from being a place on drive c.
    return text if type(value)(text) == value else f".\\{text}"


def _path(kind: type[PurePath]) -> Codec:
    return Codec(kind.__name__, _encode_path, lambda payload: kind(expect(payload, str)))


def _plain(value: Any) -> Any:
    return value


BUILTIN: dict[type, Codec] = {
    NoneType: Codec("null", _plain, _only(NoneType)),
    bool: Codec("bool", _plain, _only(bool)),
    int: Codec("int", _plain, _decode_int),
    float: Codec("float", _plain, _decode_float),
    str: Codec("str", _plain, _decode_str),
    list: Codec("list", _plain, _only(list)),
    dict: Codec("dict", _plain, _decode_dict),
    tuple: Codec("tuple", list, _collection(tuple)),
    set: Codec("set", list, _collection(set)),
    frozenset: Codec("frozenset", list, _collection(frozenset)),
    bytes: Codec("bytes", _encode_bytes, _decode_bytes),
    bytearray: Codec("bytearray", _encode_bytes, lambda payload: bytearray(_decode_bytes(payload))),
    dt.datetime: Codec("datetime", _encode_moment, _moment(dt.datetime)),
    dt.time: Codec("time", _encode_moment, _moment(dt.time)),
    dt.date: Codec("date", dt.date.isoformat, lambda payload: dt.date.fromisoformat(expect(payload, str))),
    dt.timedelta: Codec("timedelta", _encode_timedelta, _decode_timedelta),
    dt.timezone: Codec("timezone", _encode_timezone, _decode_timezone),
    zoneinfo.ZoneInfo: Codec("ZoneInfo", _encode_zone, _decode_zone),
    decimal.Decimal: Codec("Decimal", str, lambda payload: decimal.Decimal(expect(payload, str), _DECIMALS)),
    uuid.UUID: Codec("UUID", str, lambda payload: uuid.UUID(expect(payload, str))),
    **{kind: _path(kind) for kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)},
}


class CodecRegistry:
    """The codecs of one protocol: the built-in ones, NumPy's on demand, and what was registered.

    Args:
        numpy: ``"auto"`` knows NumPy's types once something has imported NumPy, and imports it for the first array
            that arrives; True imports it now; False never knows them.
    """

    def __init__(self, numpy: NumpyUse) -> None:
        self._by_type = dict(BUILTIN)
        self._by_name = {codec.name: codec for codec in BUILTIN.values()}
        self._registered: dict[type, tuple[str, Any, Any]] = {}
        self._numpy_wanted = bool(numpy)
        self._numpy_loaded = False
        if numpy is True:
            self._load_numpy()

    @property
    def registered(self) -> dict[str, type]:
        """The registered types by their names on the wire."""
        return {name: kind for kind, (name, _, _) in self._registered.items()}

    def for_type(self, kind: type) -> Codec:
        """Return the codec of exactly this type.

        Raises:
            Misfit: if it is not registered.
        """
        codec = self._by_type.get(kind)
        if codec is None and not self._numpy_loaded and self._numpy_wanted and sys.modules.get("numpy"):
            self._load_numpy()
            codec = self._by_type.get(kind)
        if codec is None:
            raise Misfit(UnregisteredTypeError, _unregistered(kind))
        return codec

    def for_name(self, name: str) -> Codec:
        """Return the codec of this tag.

        Raises:
            Misfit: if nothing is registered under it here.
        """
        codec = self._by_name.get(name)
        if codec is None and name.startswith(NUMPY_PREFIX) and self._numpy_wanted and not self._numpy_loaded:
            self._load_numpy_for_arrival()
            codec = self._by_name.get(name)
        if codec is None:
            raise Misfit(UnknownTypeError, _unknown(name, self._by_name))
        return codec

    def register(
        self,
        kind: type,
        name: str | None,
        encode: Callable[[Any], Any] | None,
        decode: Callable[[Any], Any] | None,
    ) -> None:
        """Make values of exactly this type travel; see ``MessageProtocol.register``."""
        if not isinstance(kind, type):
            raise CannotRegisterError(f"only classes can be registered, not {brief(kind)}")
        wire_name = _checked_name(kind.__name__ if name is None else name)
        entry = (wire_name, encode, decode)
        if self._registered.get(kind) == entry:
            return
        self._check_free(kind, wire_name)
        encoder, decoder = record_codec(kind) if encode is None and decode is None else (encode, decode)
        if encoder is None or decoder is None:
            raise CannotRegisterError(f"{kind.__qualname__} needs both encode= and decode=, or neither")
        codec = Codec(wire_name, encoder, decoder, kind)
        self._by_type[kind] = self._by_name[wire_name] = codec
        self._registered[kind] = entry

    def _check_free(self, kind: type, name: str) -> None:
        if kind in self._by_type:
            known = self._by_type[kind].name
            raise TypeAlreadyRegistered(f"{kind.__qualname__} already travels as {known!r}")
        if name in self._by_name or name.startswith(NUMPY_PREFIX):
            raise TypeAlreadyRegistered(
                f"the name {name!r} is taken; register {kind.__qualname__} with another name="
            )

    def _load_numpy_for_arrival(self) -> None:
        try:
            self._load_numpy()
        except MissingExtraError as error:
            raise Misfit(UnknownTypeError, str(error)) from error

    def _load_numpy(self) -> None:
        try:
            from .message_numpy import numpy_codecs
        except ImportError as error:
            raise MissingExtraError("sending NumPy's types", "numpy") from error
        for kind, codec in numpy_codecs().items():
            # A type that the user registered first stays the user's.
            self._by_type.setdefault(kind, codec)
            self._by_name[codec.name] = codec
        self._numpy_loaded = True


def _checked_name(name: str) -> str:
    if not name or not name.isprintable():
        raise CannotRegisterError(f"not a name for the wire: {brief(name)}")
    return name


def _unregistered(kind: type) -> str:
    where = f"{kind.__module__}.{kind.__qualname__}"
    base = next((base for base in kind.__mro__[1:] if base in PLAIN_NAMES or base in BUILTIN), None)
    note = f" (a subclass of {base.__name__}, and it would not come back as one)" if base else ""
    return f"{where} is not registered{note}; call protocol.register({kind.__name__})"


def _unknown(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name[:100], known) or "register it on the receiving side"
    return f"nothing is registered here as {brief(name)}; {hint}"
