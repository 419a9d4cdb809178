"""Messages as bytes: what goes in comes out, with its type, or is refused with its place in the message.

The wire is JSON in an envelope of version, type, id, timestamp, headers and data. Bytes from outside never
choose what is built: only built-in and registered types are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from headrace.exceptions import (
    DeserializationError,
    InvalidMessageError,
    MalformedMessageError,
    MessageTooDeepError,
    MessageTooLargeError,
    NotAnEnvelopeError,
    NotJsonError,
    PayloadTooDeepError,
    SchemaVersionError,
    TruncatedMessageError,
)
from headrace.model.message import Envelope

from .message_codecs import CodecRegistry, NumpyUse
from .message_ids import MessageIds
from .message_misfit import Misfit
from .message_tree import PAYLOAD, PLAIN_NAMES, TAG, Packer, Unpacker

__all__ = ["SCHEMA_VERSION", "MessageProtocol"]

SCHEMA_VERSION = 1
DEFAULT_MAX_SIZE = 16 * 1024 * 1024
DEFAULT_MAX_DEPTH = 64

C = TypeVar("C", bound=type)

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
_PLACE = re.compile(r" - at `\$\.data(.*)`$")


class _Head(msgspec.Struct):
    """The envelope without its data; what follows it in the bytes is not looked at."""

    version: int
    type: str = ""
    id: str = ""
    timestamp: float = 0.0
    headers: dict[str, str] = {}


class _Wire(msgspec.Struct, omit_defaults=True):
    """The envelope as it lies in the bytes, in this order."""

    version: int
    type: str
    id: str
    timestamp: float
    data: Any
    headers: dict[str, str] = {}


class MessageProtocol:
    """Serialises messages and reads them back.

    JSON's own types, big ints, nan and infinities, bytes, tuples, sets, dicts with any keys, dates and times with
    their zones, Decimal, UUID, paths, NumPy's scalars and arrays travel as they are; other classes once they
    are registered. Types match exactly: an instance of a subclass is refused, not flattened.

    Usable from several threads, once everything is registered.

    Args:
        max_size: the most bytes a serialised message may have, in either direction.
        max_depth: the most levels of nesting; ``[]`` is one, ``[[]]`` two, a zone-aware datetime is one.
        numpy: ``"auto"`` knows NumPy's types where it is installed, and does not import it before an array arrives;
            True imports it at once; False refuses its types.
        clock: wall-clock time in seconds since the epoch, for timestamps and ids.
        ids: makes an id from that time.
    """

    def __init__(
        self,
        *,
        max_size: int = DEFAULT_MAX_SIZE,
        max_depth: int = DEFAULT_MAX_DEPTH,
        numpy: NumpyUse = "auto",
        clock: Callable[[], float] = time.time,
        ids: Callable[[float], str] | None = None,
    ) -> None:
        if max_size < 1 or max_depth < 0:
            raise ValueError(f"max_size={max_size} must be positive and max_depth={max_depth} not negative")
        self.max_size = max_size
        self.max_depth = max_depth
        self._clock = clock
        self._ids = MessageIds() if ids is None else ids
        self._codecs = CodecRegistry(numpy)
        self._unpacker = Unpacker(self._codecs)
        self._encode = msgspec.json.Encoder().encode
        self._decode_wire = msgspec.json.Decoder(_Wire).decode
        self._decode_head = msgspec.json.Decoder(_Head).decode

    @property
    def registered(self) -> Mapping[str, type]:
        """The registered types by their names on the wire."""
        return self._codecs.registered

    def register(
        self,
        type: C,
        *,
        name: str | None = None,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> C:
        """Make values of exactly this type travel. Usable as a decorator; both sides register alike.

        Args:
            type: an Enum, dataclass, msgspec Struct, attrs class, pydantic model or named tuple; with ``encode``
                and ``decode`` any class.
            name: its name on the wire; the class's ``__name__`` unless given.
            encode: takes a value, returns any value that can travel.
            decode: takes what ``encode`` returned and returns the value; raises for what it will not have.

        Returns:
            ``type``.

        Raises:
            CannotRegisterError: if it cannot be taken apart without ``encode`` and ``decode``.
            TypeAlreadyRegistered: if the type or the name is taken; the same registration twice is none.
        """
        self._codecs.register(type, name, encode, decode)
        return type

    def new_id(self) -> str:
        """Return an id for a message to be sent; ids sort in the order of their making."""
        return self._ids(self._clock())

    def serialize(
        self, message: Any, *, headers: Mapping[str, str] | None = None, id: str | None = None
    ) -> bytes:
        """Return the message in its envelope, as bytes.

        Args:
            message: what to send.
            headers: text to travel beside it.
            id: the message's id, if it has one already.

        Raises:
            SerializationError: naming the place of what cannot travel; its subclasses say why.
            MessageTooLargeError: if it takes more than ``max_size`` bytes.
        """
        now = self._clock()
        wire = _Wire(SCHEMA_VERSION, "", self._ids(now) if id is None else id, now, None)
        if headers:
            wire.headers = dict(headers)
        try:
            data = self._encoded(wire, message, wary=False)
        except UnicodeEncodeError:
            data = self._encoded_warily(wire, message)
        if len(data) > self.max_size:
            raise MessageTooLargeError(
                f"the message takes {len(data)} bytes, the limit is {self.max_size}; split it or raise max_size"
            )
        return data

    def validate(self, message: Any) -> None:
        """Raise what ``serialize`` would raise for this message.

        It takes as long as ``serialize``: how many bytes a message takes is known once they are there.

        Raises:
            SerializationError: as ``serialize``.
            MessageTooLargeError: as ``serialize``.
        """
        self.serialize(message)

    def deserialize(self, data: bytes | bytearray | memoryview) -> Any:
        """Return the message in ``data``.

        Raises:
            DeserializationError: if the bytes do not give a message; its subclasses say why.
            MessageTooLargeError: if there are more than ``max_size`` of them.
        """
        return self._message(self._wire(data))

    def decode(self, data: bytes | bytearray | memoryview) -> Envelope:
        """Return the message in ``data`` with its metadata.

        Raises:
            DeserializationError: as ``deserialize``.
            MessageTooLargeError: as ``deserialize``.
        """
        wire = self._wire(data)
        message = self._message(wire)
        return Envelope(message, wire.type, wire.id, wire.timestamp, wire.version, wire.headers)

    def decode_headers(self, data: bytes | bytearray | memoryview) -> tuple[str, Mapping[str, str]]:
        """Return the id and the headers alone, also of a message whose data cannot be read.

        Raises:
            DeserializationError: if the bytes are not an envelope.
            MessageTooLargeError: if there are more than ``max_size`` of them.
        """
        self._check_size(data)
        try:
            head = self._decode_head(data)
        except _REFUSALS as error:
            raise self._refusal(data, error) from error
        return head.id, head.headers

    def _encoded(self, wire: _Wire, message: Any, *, wary: bool) -> bytes:
        try:
            tree = Packer(self._codecs, self.max_size, wary=wary).pack(message, self.max_depth)
            if type(tree) is dict and TAG in tree:
                wire.type, wire.data = tree[TAG], tree[PAYLOAD]
            else:
                wire.type, wire.data = PLAIN_NAMES[type(tree)], tree
            return self._encode(wire)
        except Misfit as misfit:
            raise misfit.located() from misfit.__cause__
        except RecursionError as error:
            raise MessageTooDeepError(
                "nested too deep for Python's recursion limit here", place="$"
            ) from error

    def _encoded_warily(self, wire: _Wire, message: Any) -> bytes:
        try:
            return self._encoded(wire, message, wary=True)
        except UnicodeEncodeError as error:
            raise InvalidMessageError(f"a header or the id has a lone surrogate: {error}") from error

    def _check_size(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise MalformedMessageError(f"expected bytes, got {type(data).__qualname__}")
        size = memoryview(data).nbytes
        if size > self.max_size:
            raise MessageTooLargeError(f"received {size} bytes, the limit is {self.max_size}; raise max_size")

    def _wire(self, data: bytes | bytearray | memoryview) -> _Wire:
        self._check_size(data)
        try:
            wire = self._decode_wire(data)
        except _REFUSALS as error:
            raise self._refusal(data, error) from error
        if wire.version != SCHEMA_VERSION:
            raise _wrong_version(wire.version)
        return wire

    def _message(self, wire: _Wire) -> Any:
        try:
            return self._unpacker.message(wire.type, wire.data, self.max_depth)
        except Misfit as misfit:
            raise misfit.located() from misfit.__cause__
        except RecursionError as error:
            raise _too_deep() from error

    def _refusal(self, data: bytes | bytearray | memoryview, error: Exception) -> DeserializationError:
        if isinstance(error, RecursionError):
            return _too_deep()
        if isinstance(error, msgspec.ValidationError):
            return self._misshapen(data, error)
        if _is_cut_off(bytes(data), str(error)):
            return TruncatedMessageError(f"the message ends before it is complete, after {len(data)} bytes")
        return NotJsonError(f"not JSON: {error}")

    def _misshapen(
        self, data: bytes | bytearray | memoryview, error: msgspec.ValidationError
    ) -> DeserializationError:
        try:
            version = self._decode_head(data).version
        except _REFUSALS:
            version = SCHEMA_VERSION
        if version != SCHEMA_VERSION:
            return _wrong_version(version)
        place = _PLACE.search(str(error))
        if place is not None:
            return MalformedMessageError(str(error)[: place.start()], place=f"${place[1]}")
        return NotAnEnvelopeError(f"JSON, but not a message of ours: {error}")


# All that msgspec raises for bytes it will not have.
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _wrong_version(version: int) -> SchemaVersionError:
    return SchemaVersionError(
        f"the message has schema version {str(version)[:20]}, not {SCHEMA_VERSION}; upgrade the older side"
    )


def _too_deep() -> PayloadTooDeepError:
    return PayloadTooDeepError("nested too deep to be read", place="$")


def _is_cut_off(data: bytes, error: str) -> bool:
    in_number = "invalid number" in error and data[-1:] in b"-+.eE"
    return ("truncated" in error or in_number) and _is_unclosed(data)


def _is_unclosed(data: bytes) -> bool:
    """Whether a string, an object or an array is still open at the end; linear in the size, whatever the bytes."""
    if not data.strip():
        return True
    bare = _STRINGS.sub(lambda match: b"" if len(match[0]) > 1 and match[0].endswith(b'"') else b"[", data)
    return bare.count(b"{") + bare.count(b"[") > bare.count(b"}") + bare.count(b"]")
