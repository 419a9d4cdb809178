"""The stream framework of the contract (spec.md, section 3), from the library that implements it."""

from __future__ import annotations

from headrace import BroadcastReport, StreamFramework, StreamFrameworkStatistics

__all__ = ["BroadcastReport", "StreamFramework", "StreamFrameworkStatistics"]

if __name__ == "__main__":
    print(f"StreamFramework is {StreamFramework.__module__}")
