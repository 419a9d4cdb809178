"""Structured logs over the standard library's, so that a guest logs through what its host configured.

structlog is loaded by the first record that somebody wants to see: it takes 6 MB, with rich, which it loads.
"""

from __future__ import annotations

import logging
import re
from typing import Any


class Log:
    """What ``structlog.get_logger`` gives, made when it is needed.

    Args:
        name: The name of the standard library's logger that it writes to.
        bound: What every record carries.
    """

    __slots__ = ("_bound", "_name")

    def __init__(self, name: str, bound: dict[str, Any]) -> None:
        self._name = name
        self._bound = bound

    def bind(self, **values: Any) -> Log:
        """Return a logger whose records carry these values too."""
        return Log(self._name, {**self._bound, **values})

    def debug(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record that only those want who look for a fault."""
        if self._is_wanted(logging.DEBUG):
            self._structlog().debug(event, *args, **values)

    def info(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what happens as it should."""
        if self._is_wanted(logging.INFO):
            self._structlog().info(event, *args, **values)

    def warning(self, event: str | None = None, *args: Any, **values: Any) -> None:
        """Write a record of what somebody should look at."""
        if self._is_wanted(logging.WARNING):
            self._structlog().warning(event, *args, **values)

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


def get_logger(name: str = "headrace", **bound: Any) -> Any:
    """Return a structlog logger that writes to the standard library's logger of this name.

    Args:
        name: The name of the logger.
        bound: What every record carries.
    """
    return Log(name, bound)


__all__ = ["Log", "get_logger"]
