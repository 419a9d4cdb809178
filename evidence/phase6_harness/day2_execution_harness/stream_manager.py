"""The stream manager of the contract (spec.md, section 2), from the library that implements it."""

from __future__ import annotations

from headrace import StreamInfo, StreamManager

__all__ = ["StreamInfo", "StreamManager"]

if __name__ == "__main__":
    print(f"StreamManager is {StreamManager.__module__}")
