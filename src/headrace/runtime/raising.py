"""Raises what ``run()`` raises for a run that did not end well."""

from __future__ import annotations

from headrace.exceptions import SystemFailed
from headrace.model.report import ShutdownReport

from .driven import leaves


def raise_failures(report: ShutdownReport) -> None:
    """Raise what is not ours to wrap (``KeyboardInterrupt`` and the like), or else that the system failed."""
    for failure in report.failures:
        for leaf in leaves(failure.error):
            if not isinstance(leaf, Exception):
                raise leaf
    raise_system_failed(report)


def raise_system_failed(report: ShutdownReport) -> None:
    """Raise what ``run()`` raises for a run that ended like this; nothing if it ended well."""
    if not report.failures:
        return
    first, *others = report.failures
    also = f" (and {len(others)} more)" if others else ""
    errors = [failure.error for failure in report.failures]
    raise SystemFailed(f"{report.system}: {first}{also}", errors=errors, report=report) from first.error


__all__ = ["raise_failures", "raise_system_failed"]
