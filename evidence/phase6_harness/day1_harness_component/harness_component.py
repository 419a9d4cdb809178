"""The component classes of the contract (spec.md, section 1), from the library that implements them."""

from __future__ import annotations

from headrace import Component, ComponentLike, HarnessComponent

__all__ = ["Component", "ComponentLike", "HarnessComponent"]

if __name__ == "__main__":
    print(f"HarnessComponent is {HarnessComponent.__module__}.{HarnessComponent.__qualname__}, a Component")
