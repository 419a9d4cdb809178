"""Structured logs over the standard library's, so that a guest logs through what its host configured."""

from __future__ import annotations

import logging
from typing import Any

import structlog

_PROCESSORS = (
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.render_to_log_kwargs,
)


def get_logger(name: str = "headrace", **bound: Any) -> Any:
    """Return a structlog logger that writes to the standard library's logger of this name.

    Args:
        name: The name of the logger.
        bound: What every record carries.
    """
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=list(_PROCESSORS),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    ).bind(**bound)


__all__ = ["get_logger"]
