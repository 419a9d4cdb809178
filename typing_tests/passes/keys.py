"""A key by field names, which a blueprint can write down."""

from __future__ import annotations

from headrace import Replicas, System, field_key

system = System("s")
system.add("work", print, replicas=Replicas(4, key=field_key("customer")))
system.spread("a.out", "by_key", key=field_key("customer", 0))
