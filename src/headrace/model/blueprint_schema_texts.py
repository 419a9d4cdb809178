"""What an editor shows about each key of a blueprint, and the value that holds where it is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .options import DEFAULT_BUFFER_SIZE, Attempts, EdgeOptions, OutputOptions, Timeouts, Watching
from .restart_policy import NEVER, RestartPolicy

DEAD_LETTER_LIMIT = 10_000

_POLICY: Mapping[str, str] = {
    "attempts": "How often a message is tried in all: by a function that raises, or by a component that crashes "
    "with it in hand and is restarted.",
    "on_error": "What becomes of a message after the last attempt: `dead_letter` keeps it, `reject` sends it to "
    "the port `rejected`, `drop` counts it, `crash` fails the component.",
    "backoff": "The pause before the second attempt; it doubles with each further one, up to 30 s.",
    "concurrency": "How many messages an asynchronous function works on at once, or how many threads or "
    "processes a plain one has where `run_in` says so.",
    "ordered": "Whether outputs keep the order of the messages where it works on several at once.",
    "fuse": "Whether a synchronous function may work in one task with its neighbours, which is quicker.",
    "run_in": "Where a plain function works: `loop`, the event loop; `thread`, which may wait; `process`, worker "
    "processes of its own, which compute on other cores.",
}
_RESTART = (
    "When a component is restarted: `never` (a crash drains and fails the system), after a `failure`, or `always`, "
    "also after a normal return; or a table with `when` and the numbers."
)
_BUFFER_SIZE = "How many messages an edge accepts before its reader takes them."

ABOUT: Mapping[str, Mapping[str, str]] = {
    "a blueprint": {
        "system": "The name of the system.",
        "strategy": "Who is restarted with a component that failed: `one_for_one`, nobody else; `rest_for_one`, "
        "all downstream of it; `one_for_all`, all.",
        "defaults": "What holds where nothing else is said.",
        "resources": "What components share, by name: opened before set-up, closed after all clean-up.",
        "components": "The components by name.",
        "connections": "A list of `sender -> receiver`, chains `a -> b -> c`, and tables with `from` and `to`.",
        "ports": "The ports that this blueprint has as a component of another: an own name for each inner port.",
        "summary": "Which ports the last line of a run counts.",
        "tests": "Tests by name, run by `headrace test`.",
    },
    "defaults": {
        "buffer_size": _BUFFER_SIZE,
        "setup_timeout": "How long one component's set-up may take.",
        "cleanup_timeout": "How long one component's clean-up may take.",
        "shutdown_timeout": "How long a drain may take; what still runs then is cancelled and named.",
        "source_grace": "How long a source may take to end by itself when the system stops.",
        "dead_letter_limit": "How many dead letters are kept before the components that fail wait.",
        "stall_after": "How long a component may keep others waiting until that is told; 0 for never.",
        "blocked_after": "How long the event loop may be kept from turning until that is told; 0 for never.",
        **_POLICY,
        "restart": _RESTART,
    },
    "a component": {
        "type": "A registered type, `module:name` of a function or a class, or a blueprint of its own (`*.yaml`).",
        "config": "Its settings.",
        "outputs": "How its outputs spread their messages, by port.",
        "replicas": "How many instances of it share the work, each with its own state; or a table with `count` and "
        "`key`.",
        "inputs": "How the messages for its inputs spread over its replicas, by port.",
        "restart": _RESTART,
        "health": "Whether the system is ready without it: `required`, no; `optional`, yes.",
        "stop_timeout": "How long it may take once its inputs have ended, or as a source once the system stops; "
        "then it alone is cancelled and named.",
        "ack": "Who acknowledges what it has received: `auto`, its next receive, or `manual`, itself by `ack()`.",
        "max_unacked": "With `ack: manual`, how many messages it may have in hand before it waits.",
        **_POLICY,
    },
    "restart": {
        "when": "`never`, after a `failure`, or `always`.",
        "max_restarts": "How many restarts there may be `within` that time; one more, and the system stops.",
        "within": "The time in which restarts count, as far as the component has run.",
        "backoff": "The pause before the first restart, or a table; each pause is twice the one before.",
    },
    "backoff": {
        "first": "The pause before the first restart.",
        "longest": "What no pause exceeds.",
        "jitter": "What share of a pause is left to chance, from 0 to 1.",
    },
    "a resource": {
        "type": "`module:name` of what opens it: a function or class that gives an (async) context manager.",
        "config": "Its settings.",
    },
    "a connection": {
        "from": "The output: `component.port`; without the port where there is one.",
        "to": "The input: `component.port`; without the port where there is one.",
        "buffer_size": f"{_BUFFER_SIZE} That of `defaults` where it is left out.",
        "when_full": "What a send on a full edge does: `block` is lossless; the others are counted.",
        "copy": "Whether each message is deep-copied.",
    },
    "an output": {
        "fan_out": "`broadcast`: each message to all edges; `balance`: to one with room; `by_key`: equal keys to "
        "the same edge.",
        "key": "For `by_key`: a field of the message, or a list of fields.",
    },
    "replicas": {
        "count": "How many instances there are.",
        "key": "A field of the message, or a list of fields: equal keys go to the same replica. Without it each "
        "message goes to the next replica with room.",
    },
    "summary": {
        "in": "Outputs whose messages count as taken in; all sources where it is left out.",
        "out": "Inputs whose messages count as given out; all sinks where it is left out.",
        "rejected": "Outputs whose messages count as rejected; all named `rejected` where it is left out.",
    },
    "a test": {
        "component": "The one component that the test is about; the whole system where it is left out.",
        "send": "What is sent: a list of messages, or such lists by port.",
        "expect": "What has to come: a list of messages, or such lists by port.",
        "dead_letters": "How many messages may, and must, fail for good.",
        "any_order": "Whether the messages of a port may come in any order.",
        "partial": "Whether expected tables may leave out keys.",
        "timeout": "When the test is cut off.",
        "config": "Settings of the component; for the whole system, tables of them by component.",
        "env": "Values of `${NAME}` for this test.",
        "replace": "What takes the place of components and resources, by name: a type, or nothing.",
    },
}
"""The sentence of each key, by the table it stands in."""


def defaults_of(what: str) -> dict[str, Any]:
    """Return the defaults of the keys of a kind of table; times in seconds."""
    times, edge, policy, restart = Timeouts(), EdgeOptions(), Attempts(), RestartPolicy()
    watching = Watching()
    known: dict[str, dict[str, Any]] = {
        "defaults": {
            "buffer_size": DEFAULT_BUFFER_SIZE,
            "setup_timeout": times.setup,
            "cleanup_timeout": times.cleanup,
            "shutdown_timeout": times.shutdown,
            "source_grace": times.source_grace,
            "dead_letter_limit": DEAD_LETTER_LIMIT,
            "stall_after": watching.stall_after,
            "blocked_after": watching.blocked_after,
            "attempts": policy.attempts,
            "on_error": policy.on_error,
            "backoff": policy.backoff,
            "concurrency": policy.concurrency,
            "ordered": policy.ordered,
            "fuse": policy.fuse,
            "run_in": policy.run_in,
            "restart": NEVER.when,
        },
        "a connection": {"when_full": edge.when_full, "copy": edge.copy},
        "an output": {"fan_out": OutputOptions().fan_out},
        "a blueprint": {"strategy": "one_for_one"},
        "restart": {name: getattr(restart, name) for name in ("when", "max_restarts", "within")},
        "backoff": {name: getattr(restart.backoff, name) for name in ("first", "longest", "jitter")},
        "a test": {"dead_letters": 0, "any_order": False, "partial": False},
    }
    return known.get(what, {})


__all__ = ["ABOUT", "DEAD_LETTER_LIMIT", "defaults_of"]
