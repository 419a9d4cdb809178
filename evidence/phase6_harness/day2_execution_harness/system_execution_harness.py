"""The harness of the contract (spec.md, section 2), from the library that implements it."""

from __future__ import annotations

from headrace import ShutdownReport, System, SystemExecutionHarness, SystemFailed

__all__ = ["ShutdownReport", "System", "SystemExecutionHarness", "SystemFailed"]

if __name__ == "__main__":
    print(f"SystemExecutionHarness (short: System) is {SystemExecutionHarness.__module__}")
