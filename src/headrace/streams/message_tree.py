"""Turns any supported value into a tree that JSON can hold, and back, exactly.

JSON's own values stand for themselves; anything else is ``{"$": tag, "v": payload}``. A dict of the user's that
has a ``"$"`` key, or keys that are not text, travels as pairs, so no value can pass for a tag.
Only the tags of the registry are ever acted on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import NoneType
from typing import Any, Protocol

from headrace.exceptions import (
    DeserializationError,
    InvalidMessageError,
    InvalidPayloadError,
    MalformedMessageError,
    MessageTooDeepError,
    MessageTooLargeError,
    PayloadTooDeepError,
)

from .message_misfit import Misfit, brief, member

__all__ = ["PAYLOAD", "PLAIN_NAMES", "TAG", "Codec", "CodecSource", "Packer", "Unpacker"]

TAG = "$"
PAYLOAD = "v"
PLAIN_NAMES = {
    NoneType: "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    dict: "dict",
}

_INERT = frozenset({str, bool, NoneType})
_INERT_WARY = frozenset({bool, NoneType})
_LOW, _HIGH = -(2**63), 2**63 - 1
# What is plain most of the time and needs a tag now and then; such a tag never wraps another one.
_PLAIN_TAGS = ("int", "float", "str", "dict")
_TAGGED_KEYS = {TAG, PAYLOAD}


@dataclasses.dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type travel.

    Args:
        name: the tag on the wire.
        encode: takes the value, returns any supported value.
        decode: takes what ``encode`` returned, returns the value; raises for anything else.
        result: the class that ``decode`` must return an instance of, or None for the codecs of our own.
    """

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    result: type | None = None


class CodecSource(Protocol):
    """Where the walkers find codecs."""

    def for_type(self, kind: type) -> Codec:
        """Return the codec of exactly this type, or raise ``Misfit``."""

    def for_name(self, name: str) -> Codec:
        """Return the codec of this tag, or raise ``Misfit``."""


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


class Packer:
    """Packs one message. Containers that are plain all through are returned as they are, not copied.

    Args:
        codecs: where the types are looked up.
        budget: how many values may go in; each takes at least a byte, so ``max_size`` bounds them.
        wary: look for lone surrogates too. It costs, so callers try without first: the encoder refuses them.
    """

    __slots__ = ("_budget", "_codecs", "_inert", "_limit", "_wary")

    def __init__(self, codecs: CodecSource, budget: int, *, wary: bool = False) -> None:
        self._codecs = codecs
        self._limit = self._budget = budget
        self._wary = wary
        self._inert = _INERT_WARY if wary else _INERT

    def pack(self, value: Any, room: int) -> Any:
        """Return the tree for ``value``.

        Args:
            value: what to pack.
            room: how many levels of nesting are still allowed.

        Raises:
            Misfit: if it, or something in it, cannot travel.
        """
        kind = type(value)
        if kind in self._inert:
            return value
        if kind is dict:
            return self._dict(value, room)
        if kind is list:
            return self._list(value, room)
        if kind is int or kind is float:
            return _number(value, kind)
        if kind is str:
            return value if _is_utf8(value) else _surrogates(value)
        return self._coded(value, kind, room)

    def _enter(self, value: list[Any] | dict[Any, Any], room: int) -> None:
        if room <= 0:
            raise Misfit(MessageTooDeepError, "nested too deep")
        self._budget -= len(value)
        if self._budget < 0:
            raise Misfit(
                MessageTooLargeError, f"more values than fit into the limit of {self._limit} bytes; split it"
            )

    def _list(self, value: list[Any], room: int) -> list[Any]:
        self._enter(value, room)
        inert = self._inert
        packed = value
        index = 0
        try:
            for index, item in enumerate(value):
                kind = type(item)
                if (
                    kind in inert
                    or (kind is int and _LOW <= item <= _HIGH)
                    or (kind is float and item - item == 0.0)
                ):
                    continue
                tree = self.pack(item, room - 1)
                if tree is not item:
                    if packed is value:
                        packed = value.copy()
                    packed[index] = tree
        except Misfit as misfit:
            misfit.within(f"[{index}]", value)
            raise
        return packed

    def _dict(self, value: dict[Any, Any], room: int) -> dict[str, Any]:
        self._enter(value, room)
        if TAG in value or (self._wary and not all(type(key) is str and _is_utf8(key) for key in value)):
            return self._pairs(value, room)
        packed = self._members(value, room)
        return self._pairs(value, room) if packed is None else packed

    def _members(self, value: dict[Any, Any], room: int) -> dict[str, Any] | None:
        """Return the tree for a dict whose keys are text, None for another."""
        inert = self._inert
        packed = value
        key: Any = None
        try:
            for key, item in value.items():
                if type(key) is not str:
                    return None
                kind = type(item)
                if (
                    kind in inert
                    or (kind is int and _LOW <= item <= _HIGH)
                    or (kind is float and item - item == 0.0)
                ):
                    continue
                tree = self.pack(item, room - 1)
                if tree is not item:
                    if packed is value:
                        packed = value.copy()
                    packed[key] = tree
        except Misfit as misfit:
            misfit.within(member(key), value)
            raise
        return packed

    def _pairs(self, value: dict[Any, Any], room: int) -> dict[str, Any]:
        pairs = []
        segment = ""
        try:
            for key, item in value.items():
                segment = f".<key {brief(key)}>"
                packed_key = self.pack(key, room - 1)
                segment = member(key)
                pairs.append([packed_key, self.pack(item, room - 1)])
        except Misfit as misfit:
            misfit.within(segment, value)
            raise
        return {TAG: "dict", PAYLOAD: pairs}

    def _coded(self, value: Any, kind: type, room: int) -> dict[str, Any]:
        codec = self._codecs.for_type(kind)
        payload = self._encoded(codec, value)
        nested = type(payload)
        if nested is list or nested is dict or nested in PLAIN_NAMES:
            inner = room
        else:
            # An encoder that returns another coded value, or itself, uses up the depth and so comes to an end.
            inner = room - 1
            if inner < 0:
                raise Misfit(MessageTooDeepError, "nested too deep")
        try:
            return {TAG: codec.name, PAYLOAD: self.pack(payload, inner)}
        except Misfit as misfit:
            misfit.within("", value)
            raise

    def _encoded(self, codec: Codec, value: Any) -> Any:
        try:
            return codec.encode(value)
        except (Misfit, RecursionError):
            raise
        except Exception as error:  # an encoder is the user's code: whatever it raises, the value is refused
            raise Misfit(
                InvalidMessageError, f"{codec.name} cannot be encoded: {type(error).__name__}: {error}"
            ) from error


def _number(value: Any, kind: type) -> Any:
    if kind is int:
        # Hexadecimal, because Python bounds the digits of decimal text.
        return value if _LOW <= value <= _HIGH else {TAG: "int", PAYLOAD: format(value, "x")}
    if value - value == 0.0:
        return value
    return {TAG: "float", PAYLOAD: _nonfinite(value)}


def _nonfinite(value: float) -> str:
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    return f"{sign}nan" if value != value else f"{sign}inf"


def _surrogates(value: str) -> dict[str, Any]:
    return {TAG: "str", PAYLOAD: [ord(char) for char in value]}


class Unpacker:
    """Unpacks one message, in place where it can: the tree is its own.

    Args:
        codecs: where the tags are looked up.
    """

    __slots__ = ("_codecs",)

    def __init__(self, codecs: CodecSource) -> None:
        self._codecs = codecs

    def message(self, name: str, payload: Any, room: int) -> Any:
        """Return the message whose envelope says ``name``.

        Args:
            name: the type in the envelope.
            payload: the data in the envelope.
            room: how many levels of nesting are allowed.

        Raises:
            Misfit: if it is not what ``Packer`` makes, or a type is unknown or refuses it.
        """
        return self._coded(name, payload, room)

    def _value(self, tree: Any, room: int) -> Any:
        kind = type(tree)
        if kind is list:
            return self._list(tree, room)
        if kind is dict:
            return self._tagged(tree, room) if TAG in tree else self._dict(tree, room)
        return tree

    def _list(self, tree: list[Any], room: int) -> list[Any]:
        _check_room(room)
        index = 0
        try:
            for index, item in enumerate(tree):
                kind = type(item)
                if kind is dict or kind is list:
                    tree[index] = self._value(item, room - 1)
        except Misfit as misfit:
            misfit.within(f"[{index}]", tree)
            raise
        return tree

    def _dict(self, tree: dict[str, Any], room: int) -> dict[Any, Any]:
        _check_room(room)
        key = ""
        try:
            for key, item in tree.items():
                kind = type(item)
                if kind is dict or kind is list:
                    tree[key] = self._value(item, room - 1)
        except Misfit as misfit:
            misfit.within(member(key), tree)
            raise
        return tree

    def _pairs(self, tree: list[Any], room: int) -> list[Any]:
        _check_room(room)
        key: Any = None
        try:
            for pair in tree:
                key = None
                if type(pair) is not list or len(pair) != 2:
                    raise Misfit(MalformedMessageError, "a dict of anything but pairs")
                key = pair[0] = self._value(pair[0], room - 1)
                pair[1] = self._value(pair[1], room - 1)
        except Misfit as misfit:
            misfit.within(member(key), tree)
            raise
        return tree

    def _tagged(self, tree: dict[str, Any], room: int) -> Any:
        name = tree[TAG]
        if tree.keys() != _TAGGED_KEYS or type(name) is not str:
            raise Misfit(MalformedMessageError, f"not a tagged value: {brief(tree)}")
        return self._coded(name, tree[PAYLOAD], room)

    def _coded(self, name: str, payload: Any, room: int) -> Any:
        codec = self._codecs.for_name(name)
        kind = type(payload)
        if kind is list:
            unpacked = self._listed(name, payload, room)
        elif kind is dict and TAG in payload:
            unpacked = self._nested(name, payload, room)
        else:
            unpacked = self._value(payload, room)
        return _decoded(codec, unpacked)

    def _listed(self, name: str, payload: list[Any], room: int) -> list[Any]:
        if name == "str":
            return payload
        return self._pairs(payload, room) if name == "dict" else self._list(payload, room)

    def _nested(self, name: str, payload: dict[str, Any], room: int) -> Any:
        if name in _PLAIN_TAGS:
            raise Misfit(MalformedMessageError, f"not the payload of {name}: {brief(payload)}")
        if payload[TAG] in _PLAIN_TAGS:
            return self._tagged(payload, room)
        _check_room(room)
        return self._tagged(payload, room - 1)


def _check_room(room: int) -> None:
    if room <= 0:
        raise Misfit(PayloadTooDeepError, "nested too deep")


def _decoded(codec: Codec, payload: Any) -> Any:
    builtin = codec.result is None
    failure: type[DeserializationError] = MalformedMessageError if builtin else InvalidPayloadError
    try:
        value = codec.decode(payload)
    except (Misfit, RecursionError):
        raise
    except Exception as error:  # the bytes are not ours and the decoder may be the user's: refuse the payload
        reason = f"not a {codec.name}: {type(error).__name__}: {brief(str(error), 200)}"
        raise Misfit(failure, reason) from error
    if codec.result is not None and not isinstance(value, codec.result):
        raise Misfit(failure, f"the decoder of {codec.name} returned {type(value).__qualname__}")
    return value
