"""The keys of a blueprint: for each table in it which there are, what each takes, and what is not built yet.

Pure data. The reader checks a file by these tables, and the JSON Schema for editors is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from .blueprint_values import (
    Check,
    OneOf,
    duration,
    duration_or_zero,
    key_fields,
    reference,
    references,
    share,
    text,
    truth,
    whole_number,
)
from .options import Ack, FanOut, Health, OnError, RunIn, WhenFull
from .restart_policy import Strategy, When


@dataclass(frozen=True, slots=True)
class TableKeys:
    """What may stand in one kind of table.

    Attributes:
        what: What messages call such a table.
        checks: The keys whose value is simple, each with the check that takes it.
        tables: The keys whose value is a table or a list with a reader of its own, in order.
        required: The keys that must be there.
        not_built: The keys of the full design that do not work yet; see ``NOT_BUILT``.
        order: All keys, in the order in which people write them.
    """

    what: str
    checks: Mapping[str, Check]
    tables: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    not_built: frozenset[str] = frozenset()
    order: tuple[str, ...] = field(default=())

    @property
    def known(self) -> tuple[str, ...]:
        """All keys that work."""
        return self.order or (*self.checks, *self.tables)


MESSAGE_POLICY: Mapping[str, Check] = {
    "attempts": whole_number,
    "on_error": OneOf(get_args(OnError)),
    "backoff": duration_or_zero,
    "concurrency": whole_number,
    "ordered": truth,
    "fuse": truth,
    "run_in": OneOf(get_args(RunIn)),
}

OF_FUNCTIONS = tuple(name for name in MESSAGE_POLICY if name not in ("attempts", "on_error"))
"""The keys of the message policy that are for function components alone."""

ACKNOWLEDGEMENT: Mapping[str, Check] = {"ack": OneOf(get_args(Ack)), "max_unacked": whole_number}

RESTART = TableKeys(
    "restart",
    {"when": OneOf(get_args(When)), "max_restarts": whole_number, "within": duration},
    tables=("backoff",),
)
BACKOFF = TableKeys("backoff", {"first": duration_or_zero, "longest": duration, "jitter": share})
BLUEPRINT = TableKeys(
    "a blueprint",
    {"system": text, "strategy": OneOf(get_args(Strategy))},
    tables=("defaults", "resources", "components", "connections", "ports", "summary", "tests"),
    required=("system", "components"),
    not_built=frozenset({"placement", "engine", "durability", "durable"}),
)
DEFAULTS = TableKeys(
    "defaults",
    {
        "buffer_size": whole_number,
        "setup_timeout": duration,
        "cleanup_timeout": duration,
        "shutdown_timeout": duration,
        "source_grace": duration,
        "dead_letter_limit": whole_number,
        "stall_after": duration_or_zero,
        "blocked_after": duration_or_zero,
        **MESSAGE_POLICY,
    },
    tables=("restart",),
    not_built=frozenset({"durable", "durability"}),
)
COMPONENT = TableKeys(
    "a component",
    {
        "type": text,
        "stop_timeout": duration,
        "health": OneOf(get_args(Health)),
        **ACKNOWLEDGEMENT,
        **MESSAGE_POLICY,
    },
    tables=("config", "outputs", "replicas", "inputs", "restart"),
    required=("type",),
    not_built=frozenset({"placement", "durable"}),
    order=(
        *("type", "config", "outputs", "replicas", "inputs", "restart", "stop_timeout", "health"),
        *ACKNOWLEDGEMENT,
        *MESSAGE_POLICY,
    ),
)
REPLICAS = TableKeys("replicas", {"count": whole_number, "key": key_fields}, required=("count",))
RESOURCE = TableKeys("a resource", {"type": text}, tables=("config",), required=("type",))
CONNECTION = TableKeys(
    "a connection",
    {
        "from": reference,
        "to": reference,
        "buffer_size": whole_number,
        "when_full": OneOf(get_args(WhenFull)),
        "copy": truth,
    },
    required=("from", "to"),
    not_built=frozenset({"durable", "placement"}),
)
OUTPUT = TableKeys("an output", {"fan_out": OneOf(get_args(FanOut)), "key": key_fields})
SUMMARY = TableKeys("summary", {"in": references, "out": references, "rejected": references})
PORT: Check = reference  # of each entry of `ports`: the inner 'component.port' that a name stands for

# What keys that are not built may say because it is so anyway, and the mend for what they may not.
NOT_BUILT: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "durable": ((False,), "leave it out: edges are kept in memory"),
    "durability": ((), "leave it out: edges are kept in memory"),
    "placement": ((), "leave it out: a system runs in one process"),
    "engine": (("memory",), "leave it out: a system runs in one process"),
}

__all__ = [
    "ACKNOWLEDGEMENT",
    "BACKOFF",
    "BLUEPRINT",
    "COMPONENT",
    "CONNECTION",
    "DEFAULTS",
    "MESSAGE_POLICY",
    "NOT_BUILT",
    "OF_FUNCTIONS",
    "OUTPUT",
    "PORT",
    "REPLICAS",
    "RESOURCE",
    "RESTART",
    "SUMMARY",
    "TableKeys",
]
