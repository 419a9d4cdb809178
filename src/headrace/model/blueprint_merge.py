"""Several files as one blueprint: a base, and what each further file says otherwise.

Tables are merged key by key, to any depth; anything else is replaced. Only connections are added to, for a
list of them has no keys. A key set to null takes away what the files before said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .blueprint import Blueprint, ConnectionSpec
from .blueprint_problems import Sources
from .blueprint_tree import Listing, Node, Scalar, Table
from .endpoint import parse_endpoint

_ADDED_TO = ("connections",)


@dataclass(frozen=True, slots=True)
class Merged:
    """What several files say together.

    Attributes:
        root: The tree.
        removed: The components that were taken away, each with the file that did.
    """

    root: Table
    removed: tuple[tuple[str, str], ...] = field(default=())


def merge_trees(roots: Sequence[Table]) -> Merged:
    """Merge the trees of several files.

    Args:
        roots: At least one tree; each changes those before it.
    """
    merged, removed = roots[0], []
    for later in roots[1:]:
        removed += _removed_components(merged, later)
        merged = _merge_tables(merged, later, ())
    return Merged(merged, tuple(removed))


def without_removed(blueprint: Blueprint, merged: Merged, sources: Sources) -> tuple[ConnectionSpec, ...]:
    """Return a blueprint's connections without those to components that a later file took away."""
    ranks = {name: sources.rank(file) for name, file in merged.removed}

    def stands(spec: ConnectionSpec) -> bool:
        ends = {end.text for end in (spec.sender, spec.receiver)}
        ends |= {parse_endpoint(end).component for end in ends}
        return all(sources.rank(spec.sender.position.file) >= ranks[end] for end in ends if end in ranks)

    return tuple(spec for spec in blueprint.connections if stands(spec)) if ranks else blueprint.connections


def _removed_components(base: Node, later: Node) -> list[tuple[str, str]]:
    before, after = (_entry(root, "components") for root in (base, later))
    if not isinstance(before, Table) or not isinstance(after, Table):
        return []
    entries = after.entries.items()
    return [
        (name, key.position.file)
        for name, (key, value) in entries
        if _is_null(value) and name in before.entries
    ]


def _entry(node: Node, key: str) -> Node | None:
    return node.entries[key][1] if isinstance(node, Table) and key in node.entries else None


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None and not node.flawed


def _merge(base: Node, later: Node, path: tuple[str, ...]) -> Node:
    if isinstance(base, Listing) and isinstance(later, Listing) and path == _ADDED_TO:
        return Listing((*base.items, *later.items), base.position, base.flawed or later.flawed)
    base = _widened(base, later, path)
    if isinstance(base, Table) and isinstance(later, Table):
        return _merge_tables(base, later, path)
    return later


def _merge_tables(base: Table, later: Table, path: tuple[str, ...]) -> Table:
    entries = dict(base.entries)
    for name, (key, value) in later.entries.items():
        if name not in entries:
            entries[name] = (key, value)
        elif _is_null(value):
            del entries[name]
        else:
            entries[name] = (key, _merge(entries[name][1], value, (*path, name)))
    return Table(entries, base.position, base.flawed or later.flawed)


def _widened(base: Node, later: Node, path: tuple[str, ...]) -> Node:
    """Return a resource written as its type alone as the table that it stands for."""
    is_short = len(path) == 2 and path[0] == "resources" and isinstance(base, Scalar)
    if not is_short or not isinstance(later, Table) or "type" in later.entries:
        return base
    return Table({"type": (Scalar("type", "type", base.position), base)}, base.position, base.flawed)


__all__ = ["Merged", "merge_trees", "without_removed"]
