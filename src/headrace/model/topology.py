"""The shape of a system: layers, sources and cycles, computed once from its connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Topology:
    """A directed graph of components.

    Attributes:
        names: All components, in the order of registration.
        layers: Components by distance from the sinks, downstream first; a cycle shares one layer.
        cycles: The strongly connected parts of two or more components, and components that send to themselves.
        sources: Components with no connected input.
        sinks: Components with no connected output.
        receivers: To whom each component sends.
    """

    names: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    cycles: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    receivers: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, names: Iterable[str], links: Iterable[tuple[str, str]]) -> Topology:
        """Compute the shape of the graph with these components and (sender, receiver) links."""
        order = tuple(names)
        distinct = dict.fromkeys(links)
        forward: dict[str, list[str]] = {name: [] for name in order}
        for sender, receiver in distinct:
            forward[sender].append(receiver)
        receivers = {receiver for _, receiver in distinct}
        parts = _strong_parts(order, forward)
        layers = _layers(order, forward, parts)
        rank = {name: number for number, name in enumerate(order)}
        cycles = tuple(
            tuple(sorted(part, key=rank.__getitem__))
            for part in parts
            if len(part) > 1 or part[0] in forward[part[0]]
        )
        return cls(
            names=order,
            layers=layers,
            cycles=cycles,
            sources=tuple(name for name in order if name not in receivers),
            sinks=tuple(name for name in order if not forward[name]),
            receivers=forward,
        )

    @property
    def downstream_first(self) -> tuple[str, ...]:
        """All components, sinks before what feeds them: the order of set-up and start."""
        return tuple(name for layer in self.layers for name in layer)


class _StrongParts:
    """Tarjan's algorithm without recursion; parts come out downstream first."""

    def __init__(self, forward: Mapping[str, list[str]]) -> None:
        self.forward = forward
        self.index: dict[str, int] = {}
        self.low: dict[str, int] = {}
        self.stack: list[str] = []
        self.on_stack: set[str] = set()
        self.parts: list[list[str]] = []

    def search(self, root: str) -> None:
        work = [self._open(root)]
        while work:
            name, position = work.pop()
            successors = self.forward[name]
            if position < len(successors):
                work.append((name, position + 1))
                self._follow(name, successors[position], work)
            else:
                self._close(name, work[-1][0] if work else None)

    def _open(self, name: str) -> tuple[str, int]:
        self.index[name] = self.low[name] = len(self.index)
        self.stack.append(name)
        self.on_stack.add(name)
        return name, 0

    def _follow(self, name: str, successor: str, work: list[tuple[str, int]]) -> None:
        if successor not in self.index:
            work.append(self._open(successor))
        elif successor in self.on_stack:
            self.low[name] = min(self.low[name], self.index[successor])

    def _close(self, name: str, parent: str | None) -> None:
        if parent is not None:
            self.low[parent] = min(self.low[parent], self.low[name])
        if self.low[name] == self.index[name]:
            part: list[str] = []
            while not part or part[-1] != name:
                part.append(self.stack.pop())
            self.on_stack.difference_update(part)
            self.parts.append(part)


def _strong_parts(names: Iterable[str], forward: Mapping[str, list[str]]) -> list[list[str]]:
    search = _StrongParts(forward)
    for root in names:
        if root not in search.index:
            search.search(root)
    return search.parts


def _layers(
    names: tuple[str, ...], forward: Mapping[str, list[str]], parts: list[list[str]]
) -> tuple[tuple[str, ...], ...]:
    depth: dict[str, int] = {}
    for part in parts:
        below = [depth[s] for name in part for s in forward[name] if s in depth]
        level = max(below) + 1 if below else 0
        depth.update(dict.fromkeys(part, level))
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    return tuple(tuple(layer) for layer in layers)


__all__ = ["Topology"]
