"""NumPy's scalars and arrays on the wire: dtype, shape and the raw bytes. Imported only where NumPy is used.

The dtype is rebuilt from a fixed grammar that has no objects in it, and the bytes must be exactly as many as
dtype and shape ask for, before anything is allocated.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

import numpy as np

from headrace.exceptions import MalformedMessageError, UnregisteredTypeError

from .message_misfit import Misfit, brief, expect
from .message_tree import Codec

__all__ = ["numpy_codecs"]

_KINDS = "biufcmMSUV"
_SIMPLE = re.compile(
    r"[<>|]?(?:b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SUV]\d{1,9}|[bhilqBHILQ])"
    r"|[<>]?[mM]8(?:\[(?:\d{1,9})?(?:generic|[YMWDhms]|ms|us|ns|ps|fs|as)\])?"
)
_MAX_CODE_POINT = 0x10FFFF
# Elements of no size take no bytes on the wire, so nothing else bounds how many a few bytes may claim.
_MAX_SIZELESS = 2**20


def numpy_codecs() -> dict[type, Codec]:
    """Return the codecs by type."""
    scalar = Codec("numpy.scalar", _encode_scalar, _decode_scalar)
    scalars = {np.dtype(code).type: scalar for code in np.typecodes["All"] if np.dtype(code).kind in _KINDS}
    return {
        **scalars,
        np.ndarray: Codec("numpy.ndarray", _encode_array, _decode_array),
        # `str` would drop the nulls at the end.
        np.str_: Codec("numpy.str_", "".join, lambda payload: np.str_(expect(payload, str))),
        np.bytes_: Codec("numpy.bytes_", bytes, lambda payload: np.bytes_(expect(payload, bytes))),
    }


def _encode_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    spec = _spec(array.dtype)
    if not array.dtype.itemsize and array.size > _MAX_SIZELESS:
        raise ValueError(f"more than {_MAX_SIZELESS} elements of no size")
    # The receiver refuses such content; it is the sender who can mend it.
    _check_content(array)
    return {"dtype": spec, "shape": list(array.shape), "data": array.tobytes()}


def _decode_array(payload: Any) -> Any:
    parts = expect(payload, dict)
    return _array(_dtype(parts["dtype"]), parts["shape"], expect(parts["data"], bytes))


def _encode_scalar(value: np.generic) -> dict[str, Any]:
    spec = _spec(value.dtype)
    _check_content(np.asarray(value))
    return {"dtype": spec, "data": value.tobytes()}


def _decode_scalar(payload: Any) -> np.generic:
    parts = expect(payload, dict)
    value: np.generic = _array(_dtype(parts["dtype"]), [], expect(parts["data"], bytes))[()]
    return value


def _spec(dtype: np.dtype[Any]) -> Any:
    """Return the dtype as text, ``[base, shape]`` or a dict of fields; raise ``Misfit`` if it cannot travel."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_spec(base), list(shape)]
    if dtype.kind not in _KINDS or (dtype.kind == "V" and dtype.type is not np.void):
        raise Misfit(UnregisteredTypeError, f"NumPy's dtype {dtype} cannot travel; convert the array")
    if dtype.names is None:
        return _simple_spec(dtype)
    fields: list[tuple[Any, ...]] = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
    spec = {
        "names": list(dtype.names),
        "formats": [_spec(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        "align": dtype.isalignedstruct,
    }
    titles = [field[2] if len(field) > 2 else None for field in fields]
    return {**spec, "titles": titles} if any(title is not None for title in titles) else spec


def _simple_spec(dtype: np.dtype[Any]) -> str:
    if np.dtype(dtype.str).type is dtype.type:
        return dtype.str
    # Two C types of one size, such as long and longlong, share their `str`.
    return f"{dtype.str[0]}{dtype.char}"


def _dtype(spec: Any) -> np.dtype[Any]:
    if type(spec) is str:
        if not _SIMPLE.fullmatch(spec):
            raise ValueError(f"not a dtype that travels: {brief(spec)}")
        return np.dtype(spec)
    if type(spec) is list:
        base, shape = spec
        return np.dtype((_dtype(base), tuple(_shape(shape))))
    parts = dict(expect(spec, dict))
    align = expect(parts.pop("align"), bool)
    parts["formats"] = [_dtype(one) for one in expect(parts["formats"], list)]
    if not parts.keys() <= {"names", "formats", "offsets", "itemsize", "titles"}:
        raise ValueError(f"not a dtype that travels: {brief(spec)}")
    # Any: the stubs know literal specs only.
    make: Any = np.dtype
    return cast("np.dtype[Any]", make(parts, align=align))


def _shape(shape: Any) -> list[int]:
    sizes = [expect(size, int) for size in expect(shape, list)]
    if any(size < 0 for size in sizes):
        raise ValueError(f"not a shape: {brief(shape)}")
    return sizes


def _array(dtype: np.dtype[Any], shape: Any, data: bytes) -> Any:
    sizes = _shape(shape)
    count = math.prod(sizes)
    if count * dtype.itemsize != len(data) or (not dtype.itemsize and count > _MAX_SIZELESS):
        raise Misfit(
            MalformedMessageError,
            f"an array of shape {brief(sizes)} and {dtype.itemsize} bytes each, in {len(data)} bytes",
        )
    if dtype.subdtype is not None:
        raise ValueError("an array of sub-arrays has their shape as its own")
    array: Any = np.ndarray(tuple(sizes), dtype, buffer=bytearray(data))
    _check_content(array)
    return array


def _check_content(array: np.ndarray[Any, Any]) -> None:
    """Refuse bytes that NumPy would take and then fail on, or misread, when an element is read."""
    if array.dtype.names:
        for name in array.dtype.names:
            _check_content(array[name])
    elif array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        points = np.ascontiguousarray(array).view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if int(points.max()) > _MAX_CODE_POINT:
            raise ValueError("text with code points beyond Unicode")
    elif array.dtype.kind == "b" and array.size and int(np.ascontiguousarray(array).view("u1").max()) > 1:
        raise ValueError("a bool that is neither 0 nor 1")
