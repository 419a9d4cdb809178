"""Cannot be imported."""

from __future__ import annotations

print("being imported")
int("ten")
