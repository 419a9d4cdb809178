"""Endpoints are written ``component.port`` everywhere; this is the one place that reads them."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from headrace.exceptions import InvalidEndpointError, WiringError

_NEAR = 50


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A port of a component; ``port`` is empty where only the component was named."""

    component: str
    port: str = ""

    def __str__(self) -> str:
        return f"{self.component}.{self.port}" if self.port else self.component


def parse_endpoint(text: object) -> Endpoint:
    """Read ``component.port``, or ``component`` alone.

    Raises:
        InvalidEndpointError: ``text`` is not a string of that form.
    """
    if not isinstance(text, str):
        raise InvalidEndpointError(f"an endpoint is a string 'component.port', not {text!r}")
    component, dot, port = text.strip().rpartition(".")
    if not dot:
        component, port = port, ""
    if not component or (dot and not port):
        raise InvalidEndpointError(f"{text!r} is not an endpoint", hint="write 'component.port'")
    refuse_unprintable("an endpoint", text.strip())
    return Endpoint(component, port)


def refuse_unprintable(what: str, text: str) -> None:
    """Refuse a name that could not be shown as it is: it would reach terminals and logs.

    Raises:
        InvalidEndpointError: There is a control character or the like in it.
    """
    if not text.isprintable():
        raise InvalidEndpointError(
            f"{what} is of printable characters, not {text!r}", hint="write another name"
        )


class ComponentNames:
    """The names of components, none of which can be taken for a port: there is no ``a.out`` beside ``a``."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._before_a_dot: dict[str, str] = {}

    def add(self, name: str) -> None:
        """Take a name."""
        self._names.add(name)
        self._before_a_dot.setdefault(name.rpartition(".")[0], name)

    def refuse_clash(self, name: str) -> None:
        """Refuse a further name that could not be told from a port.

        Raises:
            WiringError: It is one that is there with a port after it, or the other way round.
        """
        front = name.rpartition(".")[0]
        longer = name if front in self._names else self._before_a_dot.get(name, "")
        if longer:
            shorter = longer.rpartition(".")[0]
            raise WiringError(
                f"beside '{shorter}', '{longer}' could be a component or a port",
                hint=f"take another name, such as '{longer.replace('.', '_')}'",
            )


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"`` for the nearest candidate, or the list of candidates, or nothing."""
    known = sorted(set(candidates))
    middle = bisect.bisect(known, word)  # among very many, only those that begin in much the same way
    near = known[max(0, middle - _NEAR) : middle + _NEAR]
    close = difflib.get_close_matches(word, near, n=1, cutoff=0.55)
    if close:
        return f"did you mean '{close[0]}'?"
    if known and len(known) <= 8:
        return "known: " + ", ".join(known)
    return ""


__all__ = ["ComponentNames", "Endpoint", "did_you_mean", "parse_endpoint", "refuse_unprintable"]
