"""Structured logs over the standard library's, so that a guest logs through what its host configured.

structlog is loaded by the first record that somebody wants to see: it takes 6 MB, with rich, which it loads.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .journal import Journal

About = Callable[[], Mapping[str, Any]]


class Log:
    """What ``structlog.get_logger`` gives, made when it is needed.

    Args:
        name: The name of the standard library's logger that it writes to.
        bound: What every record carries.
        journal: Keeps what is logged, from ``info`` on, and says which repeats are left out.
        about: Gives what a record carries when it is written.
    """

    __slots__ = ("_about", "_bound", "_journal", "_name")

    def __init__(
        self,
        name: str,
        bound: Mapping[str, Any],
        journal: Journal | None = None,
        about: tuple[About, ...] = (),
    ) -> None:
        self._name = name
        self._bound = bound
        self._journal = journal
        self._about = about

    def bind(self, **values: Any) -> Log:
        """Return a logger whose records carry these values too."""
        return Log(self._name, {**self._bound, **values}, self._journal, self._about)

    def telling(self, about: About) -> Log:
        """Return a logger whose records also carry what ``about`` says when they are written."""
        return Log(self._name, self._bound, self._journal, (*self._about, about))

    def debug(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record that only those want who look for a fault."""
        if self._is_wanted(logging.DEBUG):
            self._write(logging.DEBUG, event, args, values)

    def info(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what happens as it should."""
        self._log(logging.INFO, event, args, values)

    def warning(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what somebody should look at."""
        self._log(logging.WARNING, event, args, values)

    def error(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what has failed."""
        self._log(logging.ERROR, event, args, values)

    def critical(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what nothing can go on after."""
        self._log(logging.CRITICAL, event, args, values)

    def exception(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what has failed, with the traceback of the error that is being handled."""
        self._log(logging.ERROR, event, args, {"exc_info": sys.exc_info(), **values})

    def tell_repeats(self, *, at_end: bool = False) -> None:
        """Write how many records were left out as repeats.

        Args:
            at_end: Of all; else of those that have been repeated for long enough.
        """
        if self._journal is not None:
            for level, event, values in self._journal.repeats(at_end=at_end):
                self._put(level, event, values)

    def _log(self, level: int, event: str | None, args: tuple[Any, ...], values: Mapping[str, Any]) -> None:
        if self._journal is None:
            if self._is_wanted(level):
                self._write(level, event, args, values)
            return
        known = {**self._bound, **values}
        text = str(event) % args if args else str(event)
        admitted, before = self._journal.admit(level, text, known)
        for record in before:
            self._put(*record)
        if admitted:
            self._put(level, text, {**self._about_now(), **values})

    def _put(self, level: int, event: str, values: Mapping[str, Any]) -> None:
        assert self._journal is not None
        self._journal.add(level, event, {**self._bound, **values})
        if self._is_wanted(level):
            self._write(level, event, (), values)

    def _about_now(self) -> dict[str, Any]:
        return {name: value for about in (*self._about, trace_now) for name, value in about().items()}

    def _write(self, level: int, event: str | None, args: tuple[Any, ...], values: Mapping[str, Any]) -> None:
        method = logging.getLevelName(level).lower()
        getattr(self._structlog(), method)(event, *args, **values)

    def _is_wanted(self, level: int) -> bool:
        return logging.getLogger(self._name).isEnabledFor(level)

    def _say_all(self, _logger: Any, _method: str, values: Any) -> Any:
        """Write what a record carries into a text that does not say who, where Python prints that text alone."""
        who, text = values.get("component"), str(values["event"])
        is_bare = who is not None and who not in re.split(r"[\s:,;]+", text)
        if is_bare and not logging.getLogger(self._name).hasHandlers():
            told = [
                f"{key}={value if isinstance(value, str) and value.isidentifier() else repr(value)}"
                for key, value in values.items()
                if key not in ("event", "exc_info", "system") and value
            ]
            values["event"] = " ".join([text, *told])
        return values

    def _structlog(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            logging.getLogger(self._name),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                self._say_all,
                structlog.stdlib.render_to_log_kwargs,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        ).bind(**self._bound)

    def __getattr__(self, name: str) -> Any:  # all the rest of a structlog logger
        return getattr(self._structlog(), name)


class _Tracing:
    """What says to which trace a record belongs; nothing does until somebody traces."""

    about: About = dict


def trace_now() -> Mapping[str, Any]:
    """Return what a record carries of the trace that is going on: ``trace_id``, or nothing."""
    return _Tracing.about()


def tell_traces(about: About) -> None:
    """Let records carry what ``about`` says of the trace that is going on, in this process, from now on."""
    _Tracing.about = staticmethod(about)


def get_logger(name: str = "headrace", *, journal: Journal | None = None, **bound: Any) -> Any:
    """Return a structlog logger that writes to the standard library's logger of this name.

    Args:
        name: The name of the logger.
        journal: Where what is logged is kept.
        bound: What every record carries.
    """
    return Log(name, bound, journal)


__all__ = ["About", "Log", "get_logger", "tell_traces", "trace_now"]
