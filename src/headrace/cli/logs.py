"""Where logs go during ``headrace run``: to stderr, as lines for people or as JSON, one object a line.

The process belongs to the command line here, so it configures the standard library's root logger: what
headrace, components and their libraries log comes out the same way.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import Any, Literal, Protocol

import structlog

from headrace.runtime.own_files import short

from .own_code import one_line, printable

LogFormat = Literal["console", "json"]

LEVELS = ("debug", "info", "warning", "error", "critical")

TOLD_OTHERWISE = frozenset(
    {
        "running",
        "stopping",
        "ended",
        "draining; the same signal again stops at once",
        "stopping at once",
        "component crashed",
        "setup failed",
        "cleanup failed",
        "set-up failed",
        "clean-up failed",
        "set-up overran",
        "output is not connected; its messages are discarded",
    }
)
"""What the harness logs and the command line shows in its own way; JSON logs hold all of it."""


class SupportsWrite(Protocol):
    """What logs are written to."""

    def write(self, text: str, /) -> object:
        """Write a text."""


def _without_leavings(_logger: Any, _name: str, event: Any) -> Any:
    """Leave out what other handlers' formatters have left in the record."""
    for name in ("message", "asctime"):
        event.pop(name, None)
    return event


_WARNING = re.compile(
    r"(?P<file>.*?):(?P<line>\d+): (?P<kind>\w+): (?P<text>.*?)(?:\n  (?P<source>[^\n]*))?\n?", re.DOTALL
)


def _as_one_line(_logger: Any, _name: str, event: Any) -> Any:
    """Write a warning of Python's with its place, its mend, and the line of source that it is about."""
    record = event.get("_record")
    found = (
        _WARNING.fullmatch(event["event"]) if record is not None and record.name == "py.warnings" else None
    )
    if found is not None:
        text, source = one_line([found["text"]]), (found["source"] or "").strip()
        if text.endswith("was never awaited"):
            text += ", write 'await' before the call"
        place = f"{short(found['file'])}:{found['line']}: {found['kind']}: {text}"
        event["event"] = f"{place} ({source})" if source else place
    return event


_SHARED: tuple[Any, ...] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    _without_leavings,
    _as_one_line,
)


def configure_logs(form: LogFormat, level: str, stream: SupportsWrite, *, colours: bool) -> logging.Handler:
    """Send all logs of the process to a stream.

    Args:
        form: ``console`` or ``json``.
        level: The least level that is shown, one of ``LEVELS``.
        stream: Where to.
        colours: Whether the stream shows colours.

    Returns:
        The handler, already installed on the root logger.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(form, colours=colours))
    if form == "console":
        handler.addFilter(_is_news)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    if form == "json":
        threading.excepthook = _log_uncaught_in_thread
    return handler


def _formatter(form: LogFormat, *, colours: bool) -> logging.Formatter:
    shared = [
        *_SHARED,
        structlog.processors.TimeStamper(fmt="iso" if form == "json" else "%H:%M:%S", utc=form == "json"),
    ]
    if form == "json":
        last: list[Any] = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("event"),
            structlog.processors.JSONRenderer(default=repr),
        ]
        shared.append(structlog.stdlib.add_logger_name)
    else:
        shared += [_without_system, _as_sentence, _as_can_be_shown]
        plain = structlog.dev.plain_traceback
        last = [
            structlog.dev.ConsoleRenderer(
                colors=colours, pad_event_to=0, pad_level=False, exception_formatter=plain
            )
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _without_system(_logger: Any, _name: str, event: Any) -> Any:
    """Leave out what is the same in every line."""
    event.pop("system", None)
    return event


def _as_sentence(_logger: Any, _name: str, event: Any) -> Any:
    """Leave of what the watchdog tells the sentence, which has all of it; and what to do, where that is known."""
    if "what" in event and "turn" in event:
        for name in set(event) - {"event", "level", "timestamp", "hint"}:
            if not name.startswith("_"):
                del event[name]
        hint = event.pop("hint", "")
        event["event"] = f"{event['event']}; {hint}" if hint else event["event"]
    return event


def _as_can_be_shown(_logger: Any, _name: str, event: Any) -> Any:
    """Write out the control characters: names and messages of others must not move the cursor."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value, keep="\n\t")
    return event


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.name == "headrace" and record.msg in TOLD_OTHERWISE)


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    logging.getLogger("headrace.cli").error(
        "thread failed", exc_info=(args.exc_type, error, args.exc_traceback)
    )


__all__ = ["LEVELS", "LogFormat", "configure_logs"]
