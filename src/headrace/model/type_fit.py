"""Whether what one port sends fits what another accepts, decided from their annotations alone.

As strict as a type checker where both types are known; what cannot be decided is taken to fit, because
a check at load time must not refuse a system that would run.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
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
    if kind is type(None):
        return "None"
    if isinstance(kind, NewType) or (isinstance(kind, type) and not get_args(kind)):
        return str(kind.__name__)
    return str(kind).replace("typing.", "")


def fits(sent: Any, accepted: Any) -> bool:
    """Return whether everything of type ``sent`` may go where ``accepted`` is expected.

    Containers are taken as read-only (``list[bool]`` fits ``list[int]``), ``int`` fits ``float``, a type
    variable is its bound, and an unresolved name is ``Any``.
    """
    sent, accepted = _plain(sent), _plain(accepted)
    if sent is Any or accepted is Any or accepted is object or sent == accepted:
        return True
    if _is_union(sent):
        return all(fits(member, accepted) for member in get_args(sent))
    if get_origin(sent) is Literal and len(get_args(sent)) > 1:
        return all(fits(Literal[value], accepted) for value in get_args(sent))
    if _is_union(accepted):
        return any(fits(sent, member) for member in get_args(accepted))
    return _one_fits(sent, accepted)


def _one_fits(sent: Any, accepted: Any) -> bool:
    """Decide for types that are no unions."""
    if get_origin(sent) is Literal:
        return _literal_fits(get_args(sent)[0], accepted)
    if not isinstance(get_origin(sent) or sent, (type, NewType)):
        return True  # a name that was never resolved, or a form of typing's that is no class
    if isinstance(accepted, NewType) or get_origin(accepted) is Literal:
        return isinstance(sent, NewType) and fits(sent.__supertype__, accepted)
    if isinstance(sent, NewType):
        return fits(sent.__supertype__, accepted)
    return _classes_fit(sent, accepted)


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


def _literal_fits(value: object, accepted: Any) -> bool:
    if get_origin(accepted) is Literal:
        return any(value == other and type(value) is type(other) for other in get_args(accepted))
    return fits(type(value), accepted)


def _classes_fit(sent: Any, accepted: Any) -> bool:
    sent_class, accepted_class = get_origin(sent) or sent, get_origin(accepted) or accepted
    if not isinstance(accepted_class, type):
        return True
    if is_typeddict(sent_class) or is_typeddict(accepted_class):
        return _dicts_fit(sent_class, accepted_class)
    if getattr(accepted_class, "_is_protocol", False):
        return _has_methods_of(sent_class, accepted_class)
    if any(issubclass(sent_class, narrow) for narrow in _WIDENS.get(accepted_class, ())):
        return True
    if not _is_subclass(sent_class, accepted_class):
        return False
    if accepted_class in _UNDECIDED or not get_args(accepted):
        return True
    if sent_class is tuple:
        return sent is tuple or _tuples_fit(get_args(sent), accepted_class, get_args(accepted))
    own = _arguments(sent, accepted_class)
    return all(fits(one, other) for one, other in zip(own, get_args(accepted), strict=False))


def _is_subclass(one: type, other: type) -> bool:
    try:
        return issubclass(one, other)
    except TypeError:  # a metaclass that refuses the question
        return True


def _dicts_fit(sent: type, accepted: type) -> bool:
    """Compare where one is a TypedDict, which answers no ``issubclass``; a plain dict is undecided."""
    if is_typeddict(sent) and is_typeddict(accepted):
        given, wanted = _keys(sent), _keys(accepted)
        return all(key in given and fits(given[key], kind) for key, kind in wanted.items())
    return _is_subclass(dict, accepted) if is_typeddict(sent) else _is_subclass(sent, Mapping)


def _keys(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except Exception:  # a name that only a type checker sees
        return dict.fromkeys(kind.__annotations__, Any)


def _has_methods_of(sent: type, protocol: type) -> bool:
    """Whether ``sent`` has the methods of a protocol; its other members may be set by an ``__init__``."""
    methods = {
        name
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False)
        for name, value in vars(base).items()
        if inspect.isfunction(value) and name not in _NOT_MEMBERS
    }
    return all(hasattr(sent, name) for name in methods)


def _tuples_fit(given: tuple[Any, ...], accepted_class: type, wanted: tuple[Any, ...]) -> bool:
    if accepted_class is not tuple or wanted[-1] is Ellipsis:  # Sequence[int], tuple[int, ...]
        return all(fits(item, wanted[0]) for item in given if item is not Ellipsis)
    if Ellipsis in given or len(given) != len(wanted):
        return False
    return all(fits(one, other) for one, other in zip(given, wanted, strict=True))


def _arguments(sent: Any, target: type) -> tuple[Any, ...]:
    """Return the type arguments of ``sent`` as its base class ``target`` has them; empty if unknown."""
    cls, arguments = get_origin(sent) or sent, get_args(sent)
    if cls is target:
        return arguments
    if cls in _ELEMENTS:
        return (_ELEMENTS[cls],)
    generic_bases = getattr(cls, "__orig_bases__", None)
    if generic_bases is None:  # built in: list[T] is a Sequence[T], dict[K, V] an Iterable[K]
        return arguments
    bound = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    for base in generic_bases:
        origin = get_origin(base) or base
        if isinstance(origin, type) and _is_subclass(origin, target):
            return _arguments(_substitute(base, bound), target)
    return ()


def _substitute(kind: Any, bound: Mapping[Any, Any]) -> Any:
    parameters = getattr(kind, "__parameters__", ())
    if not get_args(kind) or not parameters:
        return kind
    return kind[tuple(bound.get(parameter, Any) for parameter in parameters)]


__all__ = ["fits", "type_name"]
