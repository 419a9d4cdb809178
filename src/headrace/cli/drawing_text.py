"""A system drawn for the terminal: a tree of chains, each component written out once.

A component with one way on is drawn on the line of the one before it; where ways part, each gets a branch.
Where a way leads to a component that is drawn already, its name stands there again, marked ``^``.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.model.picture import LinkPicture, Picture, visible

from .problems import plural


@dataclass(frozen=True, slots=True)
class _Strokes:
    branch: str
    last: str
    down: str


_BOX = _Strokes("├─ ", "└─ ", "│  ")
_ASCII = _Strokes("+- ", "`- ", "|  ")


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a line begins: what stands before it, before the lines below it, and the link it follows."""

    lead: str
    below: str
    component: str
    link: LinkPicture | None = None


def draw_text(picture: Picture, *, plain: bool = False) -> str:
    """Return the drawing.

    Args:
        picture: The system.
        plain: Whether to do without box characters.
    """
    title = (
        f"{visible(picture.system)}: {plural(len(picture.components), 'component')}, "
        f"{plural(len(picture.links), 'connection')}"
    )
    lines = [title, "", *_Tree(picture, _ASCII if plain else _BOX).lines()]
    if picture.topology.cycles:
        lines.append("")
    lines += [f"cycle: {', '.join(map(visible, cycle))}" for cycle in picture.topology.cycles]
    return "\n".join(lines)


class _Tree:
    def __init__(self, picture: Picture, strokes: _Strokes) -> None:
        self.strokes = strokes
        self.counts = {one.name: one.times for one in picture.components}
        self.roots = [*picture.topology.sources, *picture.topology.names]
        self.onward: dict[str, list[LinkPicture]] = {name: [] for name in picture.topology.names}
        for link in picture.links:
            self.onward[link.sender].append(link)
        self.drawn: set[str] = set()
        self.has_marks = False

    def lines(self) -> list[str]:
        lines: list[str] = []
        for root in self.roots:
            starts = [] if root in self.drawn else [_Start("", "", root)]
            while starts:
                start = starts.pop()
                line, end = self._chain(start)
                lines.append((start.lead + line).rstrip())
                starts += reversed(self._branches(start, end))
        if self.has_marks:
            lines += ["", "^ drawn above"]
        return lines

    def _chain(self, start: _Start) -> tuple[str, str]:
        """Follow a way until it parts, ends, or meets what is drawn already."""
        link = start.link
        name = start.component
        line = "" if link is None else _leading(link)
        line += self._name(name, link)
        while not self._is_drawn(name):
            self.drawn.add(name)
            if len(self.onward[name]) != 1:
                return line, name
            (link,) = self.onward[name]
            line += _port(link.output, "out") + _arrow(link) + self._name(link.receiver, link)
            name = link.receiver
        return line, ""

    def _branches(self, start: _Start, name: str) -> list[_Start]:
        links = self.onward.get(name, [])
        found = []
        for number, link in enumerate(links):
            is_last = number == len(links) - 1
            lead = self.strokes.last if is_last else self.strokes.branch
            below = "   " if is_last else self.strokes.down
            found.append(_Start(start.below + lead, start.below + below, link.receiver, link))
        return found

    def _is_drawn(self, name: str) -> bool:
        return name in self.drawn

    def _name(self, name: str, link: LinkPicture | None) -> str:
        port = "" if link is None else _port(link.input, "in")
        again = self._is_drawn(name)
        self.has_marks = self.has_marks or again
        return f"{visible(name)}{port}{self.counts[name]}{' ^' if again else ''}"


def _leading(link: LinkPicture) -> str:
    """Return what stands at the beginning of a branch: an output's name, and what is unusual about the link."""
    port = _port(link.output, "out")
    notes = f"[{', '.join(link.notes)}] " if link.notes else ""
    return f"{port} {notes}-> " if port else notes


def _arrow(link: LinkPicture) -> str:
    return f" -[{', '.join(link.notes)}]-> " if link.notes else " -> "


def _port(name: str, usual: str) -> str:
    return "" if name == usual else f".{visible(name)}"


__all__ = ["draw_text"]
