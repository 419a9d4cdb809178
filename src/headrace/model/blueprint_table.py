"""Reads one table of a blueprint by its keys: what is known goes on, the rest is told where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from .blueprint import Complaints
from .blueprint_keys import BACKOFF, NOT_BUILT, RESTART, TableKeys
from .blueprint_tree import Node, Scalar, Table, plain
from .blueprint_values import Check, describe, duration_or_zero, holds_secret
from .endpoint import did_you_mean
from .restart_policy import Backoff, RestartPolicy


class TableReader:
    """Reads tables; the readers of a blueprint's parts are made of it.

    Args:
        complaints: Where mistakes go.
    """

    def __init__(self, complaints: Complaints) -> None:
        self.complaints = complaints

    def table(self, node: Table, keys: TableKeys) -> dict[str, Node]:
        """Return the values of the known keys; complain about the others and about what is missing."""
        found: dict[str, Node] = {}
        hints: set[str] = set()
        for name, (key, value) in node.entries.items():
            if name in keys.known:
                found[name] = value
            elif name in keys.not_built:
                self._not_built(key, value)
            else:
                hint = did_you_mean(name, keys.known) or "known: " + ", ".join(sorted(keys.known))
                self.complaints.error(key.position, "E102", f"unknown key '{name}'", hint)
                hints.add(hint)
        for name in keys.required:
            if name not in node.entries and f"did you mean '{name}'?" not in hints:
                hint = f"add '{name}: ...'"
                self.complaints.error(node.position, "E103", f"{keys.what} needs the key '{name}'", hint)
        return found

    def _not_built(self, key: Scalar, value: Node) -> None:
        neutral, mend = NOT_BUILT[key.text]
        said = plain(value)
        if not any(said == allowed and type(said) is type(allowed) for allowed in neutral):
            self.complaints.error(key.position, "E110", f"'{key.text}' is not built yet", mend)

    def options(self, node: Node | None, keys: TableKeys) -> dict[str, Any]:
        """Read a table whose keys all have a check."""
        if node is None or not self.is_table(node, keys.what):
            return {}
        return self.checked(self.table(node, keys), keys.checks)

    def checked(self, found: Mapping[str, Node], checks: Mapping[str, Check]) -> dict[str, Any]:
        """Return what the checks make of the keys they know."""
        return {
            name: checks[name](node, name, self.complaints)
            for name, node in found.items()
            if name in checks and not node.flawed and self.is_open(node, name)
        }

    def is_open(self, node: Node, what: str) -> bool:
        """Return whether a node is no secret; refuse one where what is written is shown to people."""
        if not holds_secret(node):
            return True
        self.complaints.error(node.position, "E116", f"{what} cannot be a secret", "secrets go into 'config'")
        return False

    def is_table(self, node: Node, what: str, hint: str = "") -> TypeGuard[Table]:
        """Return whether a node is a table, or complain."""
        if isinstance(node, Table):
            return True
        if node.flawed:
            return False
        message = f"{what} must be a table, not {describe(node)}"
        self.complaints.error(node.position, "E104", message, hint or "write 'key: value' in it")
        return False

    # --- restarts ------------------------------------------------------------------------------------

    def restart(self, node: Node | None) -> RestartPolicy | None:
        """Read when a component is restarted: a word, or a table with the numbers."""
        if node is None or node.flawed or not self.is_open(node, "restart"):
            return None
        before = self.complaints.count
        if not isinstance(node, Table):
            word = _WHEN(node, "restart", self.complaints)
            return None if word is None else RestartPolicy.of(word)
        said = self.table(node, RESTART)
        found = self.checked(said, RESTART.checks)
        if "backoff" in said:
            found["backoff"] = self._backoff(said["backoff"])
        found = {name: value for name, value in found.items() if value is not None}
        return None if self.complaints.count > before else RestartPolicy(**found)

    def _backoff(self, node: Node) -> Backoff | None:
        """Read the pauses before restarts: the first, or a table."""
        if not isinstance(node, Table):
            found = self.checked({"backoff": node}, {"backoff": duration_or_zero})
            first = found.get("backoff")
            return None if first is None else Backoff(first, max(first, Backoff().longest))
        before = self.complaints.count
        found = self.options(node, BACKOFF)
        if self.complaints.count > before:
            return None
        first, longest = found.get("first", Backoff().first), found.get("longest")
        if longest is not None and longest < first:
            key, _ = node.entries["longest"]
            message = f"'longest' is shorter than 'first', {first:g} s"
            self.complaints.error(key.position, "E111", message, "write a longer time, or leave it out")
            return None
        return Backoff(**{"longest": max(first, Backoff().longest), **found})


_WHEN = RESTART.checks["when"]

__all__ = ["TableReader"]
