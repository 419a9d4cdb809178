"""Whether what one port sends fits what another accepts, decided from their annotations alone.

As strict as a type checker where both types are known; what cannot be decided is taken to fit, because
a check at load time must not refuse a system that would run.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

_WIDENS = {float: (int,), complex: (int, float)}
_UNDECIDED: tuple[Any, ...] = (Callable,)
_ELEMENTS: Mapping[type, type] = {str: str, bytes: int, bytearray: int}
_NOT_MEMBERS = {"__init__", "__new__", "__subclasshook__", "__init_subclass__", "__class_getitem__"}


def type_name(kind: Any) -> str:
    """Return a type as a person writes it."""
    if kind is None or kind is type(None):
        return "None"
    if _is_union(kind):
        return " | ".join(type_name(member) for member in get_args(kind))
    if isinstance(kind, NewType) or (isinstance(kind, type) and not get_args(kind)):
        return str(kind.__name__)
    if isinstance(get_origin(kind), type) and get_origin(kind) is not Annotated:
        return _generic_name(kind)
    return str(kind).replace("typing.", "")


def _generic_name(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if any(isinstance(argument, list) for argument in arguments):  # the parameters of a Callable
        return str(kind).replace("typing.", "").replace("collections.abc.", "")
    inside = ", ".join("..." if one is Ellipsis else type_name(one) for one in arguments)
    return f"{origin.__name__}[{inside or '()'}]"


def fits(sent: Any, accepted: Any) -> bool:
    """Return whether everything of type ``sent`` may go where ``accepted`` is expected.

    Containers are taken as read-only (``list[bool]`` fits ``list[int]``), ``int`` fits ``float``, a type
    variable is its bound, and an unresolved name is ``Any``.
    """
    return misfit(sent, accepted) is None


def misfit(sent: Any, accepted: Any) -> str | None:
    """Return why ``sent`` does not fit ``accepted``; None where it fits, empty where the names say it all."""
    sent, accepted = _plain(sent), _plain(accepted)
    if sent is Any or accepted is Any or accepted is object or sent == accepted:
        return None
    if _is_union(sent):
        return _some_misfit([(type_name(member), member) for member in get_args(sent)], accepted)
    if get_origin(sent) is Literal and len(get_args(sent)) > 1:
        return _some_misfit([(repr(value), Literal[value]) for value in get_args(sent)], accepted)
    if _is_union(accepted):
        return _none_fits(sent, get_args(accepted))
    return _one_misfit(sent, accepted)


def _some_misfit(members: Iterable[tuple[str, Any]], accepted: Any) -> str | None:
    for name, member in members:
        reason = misfit(member, accepted)
        if reason is not None:
            return f"what is sent may be {name}{_in_brackets(reason)}"
    return None


def _none_fits(sent: Any, members: tuple[Any, ...]) -> str | None:
    reasons = [misfit(sent, member) for member in members]
    if None in reasons:
        return None
    told = [reason for member, reason in zip(members, reasons, strict=True) if member is not type(None)]
    if len(told) == 1:
        return told[0]
    return f"{type_name(sent)} is none of {', '.join(type_name(member) for member in members)}"


def _one_misfit(sent: Any, accepted: Any) -> str | None:
    """Decide for types that are no unions."""
    if get_origin(sent) is Literal:
        return _literal_misfit(get_args(sent)[0], accepted)
    if not isinstance(get_origin(sent) or sent, (type, NewType)):
        return None  # a name that was never resolved, or a form of typing's that is no class
    if get_origin(accepted) is Literal:
        return f"only {_one_of(get_args(accepted))} is accepted"
    if isinstance(sent, NewType):
        return misfit(sent.__supertype__, accepted)
    if isinstance(accepted, NewType):
        return f"only {accepted.__name__}(...) makes one"
    return _class_misfit(sent, accepted)


def _plain(kind: Any) -> Any:
    """Strip what does not matter here: annotations, aliases, type variables, names."""
    while True:
        origin = get_origin(kind) or kind
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif type(origin).__name__ == "TypeAliasType":
            kind = origin.__value__[get_args(kind)] if get_args(kind) else origin.__value__
        elif isinstance(kind, TypeVar):
            kind = Union[kind.__constraints__] if kind.__constraints__ else kind.__bound__ or Any  # noqa: UP007
        elif kind is None:
            return type(None)
        else:
            return Any if isinstance(kind, str) else kind


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _one_of(values: tuple[Any, ...]) -> str:
    return " or ".join(repr(value) for value in values)


def _in_brackets(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _part(part: str, sent: Any, accepted: Any) -> str | None:
    """Return why a part of a type does not fit; ``part`` has its verb: ``its items are``."""
    reason = misfit(sent, accepted)
    if reason is None:
        return None
    return f"{part} {type_name(sent)}, not {type_name(accepted)}{_in_brackets(reason)}"


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)


def _literal_misfit(value: object, accepted: Any) -> str | None:
    if get_origin(accepted) is not Literal:
        return misfit(type(value), accepted)
    if any(value == other and type(value) is type(other) for other in get_args(accepted)):
        return None
    return f"only {_one_of(get_args(accepted))} is accepted"


def _class_misfit(sent: Any, accepted: Any) -> str | None:
    sent_class, accepted_class = _origin(sent), _origin(accepted)
    if not isinstance(accepted_class, type):
        return None
    if is_typeddict(sent_class) or is_typeddict(accepted_class):
        return _dict_misfit(sent_class, accepted_class)
    if getattr(accepted_class, "_is_protocol", False):
        return _protocol_misfit(sent_class, accepted_class)
    if any(issubclass(sent_class, narrow) for narrow in _WIDENS.get(accepted_class, ())):
        return None
    if not _is_subclass(sent_class, accepted_class):
        return _strangers(sent_class, accepted_class)
    if accepted_class in _UNDECIDED or not _given(accepted):
        return None
    if sent_class is tuple:
        return None if sent is tuple else _tuple_misfit(get_args(sent), accepted_class, get_args(accepted))
    return _arguments_misfit(_arguments(sent, accepted_class), accepted_class, _given(accepted))


def _strangers(sent: type, accepted: type) -> str:
    """Return what there is to say of two classes beside their names."""
    if sent.__name__ == accepted.__name__:
        return f"that of {_home(sent)} is not that of {_home(accepted)}"
    if sent is object:
        return "an object may be anything"
    return f"not every {sent.__name__} is a {accepted.__name__}" if _is_subclass(accepted, sent) else ""


def _home(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}".rpartition(".")[0]


def _is_subclass(one: type, other: type) -> bool:
    try:
        return issubclass(one, other)
    except TypeError:  # a metaclass that refuses the question
        return True


def _dict_misfit(sent: type, accepted: type) -> str | None:
    """Compare where one is a TypedDict, which answers no ``issubclass``; a plain dict is undecided."""
    if is_typeddict(sent) and is_typeddict(accepted):
        given, wanted = _keys(sent), _keys(accepted)
        missing = [key for key in wanted if key not in given]
        if missing:
            return f"it has no key {missing[0]!r}"
        return _first(_part(f"its {key!r} is", given[key], kind) for key, kind in wanted.items())
    same = _is_subclass(dict, accepted) if is_typeddict(sent) else _is_subclass(sent, Mapping)
    return None if same else ""


def _keys(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except Exception:  # a name that only a type checker sees
        return dict.fromkeys(kind.__annotations__, Any)


def _protocol_misfit(sent: type, protocol: type) -> str | None:
    """Whether ``sent`` has the methods of a protocol; its other members may be set by an ``__init__``."""
    methods = [
        name
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False)
        for name, value in vars(base).items()
        if inspect.isfunction(value) and name not in _NOT_MEMBERS
    ]
    missing = [f"{name}()" for name in dict.fromkeys(methods) if not hasattr(sent, name)]
    return f"{type_name(sent)} has no {' and no '.join(missing)}" if missing else None


def _tuple_misfit(given: tuple[Any, ...], accepted_class: type, wanted: tuple[Any, ...]) -> str | None:
    if accepted_class is not tuple or wanted[-1] is Ellipsis:  # Sequence[int], tuple[int, ...]
        items = [item for item in given if item is not Ellipsis]
        wanted = (wanted[0],) * len(items)
    elif Ellipsis in given:
        return f"it has any number of items, not {len(wanted)}"
    elif len(given) != len(wanted):
        return f"it has {len(given)} {'item' if len(given) == 1 else 'items'}, not {len(wanted)}"
    pairs = zip(given, wanted, strict=False)
    return _first(_part(f"its item {number} is", *pair) for number, pair in enumerate(pairs, 1))


def _arguments_misfit(given: tuple[Any, ...], cls: type, wanted: tuple[Any, ...]) -> str | None:
    pairs = zip(_parts(cls, len(wanted)), given, wanted, strict=False)
    return _first(_part(part, one, other) for part, one, other in pairs)


def _parts(cls: type, count: int) -> list[str]:
    """Return what the arguments of a generic class are to it."""
    parameters = getattr(cls, "__parameters__", None) or _pydantic(cls).get("parameters")
    if parameters:
        return [f"its {parameter.__name__} is" for parameter in parameters]
    if issubclass(cls, Mapping):
        return ["its keys are", "its values are"]
    return ["its items are"] * count if issubclass(cls, Iterable | AsyncIterable) else ["it is of"] * count


def _pydantic(kind: Any) -> Mapping[str, Any]:
    """Return what pydantic notes of a generic model: there ``Page[int]`` is a class of its own."""
    found = vars(kind).get("__pydantic_generic_metadata__") if isinstance(kind, type) else None
    return found if isinstance(found, Mapping) else {}


def _origin(kind: Any) -> Any:
    return get_origin(kind) or _pydantic(kind).get("origin") or kind


def _given(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) or tuple(_pydantic(kind).get("args", ()))


def _arguments(sent: Any, target: type) -> tuple[Any, ...]:
    """Return the type arguments of ``sent`` as its base class ``target`` has them; empty if unknown."""
    cls, arguments = _origin(sent), _given(sent)
    if cls is target:
        return arguments
    if cls in _ELEMENTS:
        return (_ELEMENTS[cls],)
    if not any("__orig_bases__" in vars(base) for base in cls.__mro__):
        return arguments  # built in: list[T] is a Sequence[T], dict[K, V] an Iterable[K]
    bound = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = _origin(base)
        if isinstance(origin, type) and _is_subclass(origin, target):
            return _arguments(_substitute(base, bound), target)
    return ()


def _substitute(kind: Any, bound: Mapping[Any, Any]) -> Any:
    parameters = getattr(kind, "__parameters__", ())
    if not get_args(kind) or not parameters:
        return kind
    return kind[tuple(bound.get(parameter, Any) for parameter in parameters)]


__all__ = ["fits", "misfit", "type_name"]
