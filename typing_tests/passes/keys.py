"""A key by field names, which a blueprint can write down."""

from __future__ import annotations

from headrace import System, field_key

system = System("s")
system.spread("a.out", "by_key", key=field_key("customer", 0))
