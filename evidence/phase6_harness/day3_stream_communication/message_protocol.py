"""The message protocol of the contract (spec.md, section 3), from the library that implements it."""

from __future__ import annotations

from headrace import Envelope, MessageProtocol
from headrace.streams.message_protocol import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "Envelope", "MessageProtocol"]

if __name__ == "__main__":
    print(f"MessageProtocol is {MessageProtocol.__module__}, schema version {SCHEMA_VERSION}")
