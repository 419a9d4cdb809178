"""A system drawn as SVG: one file that needs nothing else, in the colours of the web page, light and dark.

Every colour stands in a class of its own, so that programs that know no CSS variables draw it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import pairwise
from unicodedata import east_asian_width

from .graph_layout import Box, Layout, Line, Route, lay_out
from .picture import ComponentPicture, LinkPicture, Picture, PortPicture, visible

_MARGIN, _TOP, _LEGEND = 24.0, 72.0, 40.0
_PADDING = 14.0
_NARROWEST, _WIDEST = 112.0, 230.0
_LONGEST_LABEL = 190.0
_TURN = 8.0
_NARROW, _BROAD = frozenset("fijlrtI.,:;'|!()[] "), frozenset("mwMW@%")
_BOLD, _SMALL = 8.8, 6.7
_FONT = "system-ui,&quot;Segoe UI&quot;,Roboto,&quot;DejaVu Sans&quot;,sans-serif"

_LIGHT = {
    "card": "#fff",
    "ink": "#1d1f21",
    "dim": "#6b7075",
    "line": "#dcdcd8",
    "idle": "#a8adb2",
    "fill": "#b7791f",
    "stop": "#c0392b",
    "accent": "#2b5fb3",
}
_DARK = {
    "card": "#1c1f22",
    "ink": "#e8e9ea",
    "dim": "#92989e",
    "line": "#2e3236",
    "idle": "#5c6269",
    "fill": "#d9a441",
    "stop": "#e5695b",
    "accent": "#7aa7ee",
}


def draw_svg(picture: Picture) -> str:
    """Return the system as a self-contained SVG; the same picture always gives the same text.

    Components stand in columns from left to right, each line has its buffer's capacity and what is unusual
    about it as its label, and lines that close a cycle lead back below, dashed.
    """
    names = {one.name: one.title for one in picture.components}
    widths = {one.name: _box_width(names[one.name], _kind(one)) for one in picture.components}
    labels = [_label(link) for link in picture.links]
    lines = [Line(link.sender, link.output, link.receiver) for link in picture.links]
    layout = lay_out(widths, lines, [_width(text, _SMALL) + 10 for text in labels])
    title = f"{visible(picture.system)}"
    facts = f"{_count(len(picture.components), 'component')}, {_count(len(picture.links), 'connection')}"
    legend = _legend(picture, layout)
    least = max(_width(title, 9.5), *(_width(text, _SMALL) for text in (facts, legend)))
    width = max(layout.width, least) + 2 * _MARGIN
    height = _TOP + layout.height + _MARGIN + (_LEGEND - 12 if legend else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="headrace-graph" width="{_n(width)}" '
        f'height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" role="img" '
        f'aria-label="{_text(f"graph of the system {title}: {facts}")}">',
        f"<style>{_style()}</style>",
        f'<rect class="card" x=".5" y=".5" width="{_n(width - 1)}" height="{_n(height - 1)}" rx="8"/>',
        f'<text class="title" x="{_n(_MARGIN)}" y="32">{_text(title)}</text>',
        f'<text class="dim" x="{_n(_MARGIN)}" y="50">{_text(facts)}</text>',
        f'<g transform="translate({_n(_MARGIN)} {_n(_TOP)})">',
        *_drawn_routes(picture.links, layout.routes),
        *(_drawn_box(one, names[one.name], layout.boxes[one.name]) for one in picture.components),
        *_drawn_labels(picture.links, labels, layout.routes),
        "</g>",
    ]
    if legend:
        parts.append(f'<text class="dim" x="{_n(_MARGIN)}" y="{_n(height - 18)}">{_text(legend)}</text>')
    return "\n".join([*parts, "</svg>"])


def _legend(picture: Picture, layout: Layout) -> str:
    if not picture.links:
        return ""
    parts = ["on each line: how many messages its buffer holds"]
    if any(link.options.when_full.startswith("drop") for link in picture.links):
        parts.append("amber: drops when it is full")
    if any(link.options.when_full == "error" for link in picture.links):
        parts.append("red: fails when it is full")
    if any(route.is_back for route in layout.routes):
        parts.append("dashed: leads back")
    return " · ".join(parts)


# --- lines ----------------------------------------------------------------------------------------


def _drawn_routes(links: Iterable[LinkPicture], routes: Iterable[Route]) -> Iterator[str]:
    for link, route in zip(links, routes, strict=True):
        kind = {"block": "idle", "error": "stop"}.get(link.options.when_full, "fill")
        dashed = " back" if route.is_back else ""
        path = _bent(route) if route.is_back else _swung(route)
        x, y = route.corners[-1]
        yield (
            f'<path class="edge {kind}{dashed}" d="{path}"/>'
            f'<path class="tip {kind}" d="M{_n(x)} {_n(y)}l-8 -4v8z"/>'
        )


def _swung(route: Route) -> str:
    """Return a line that swings between columns and runs straight through them."""
    corners = [*route.corners[:-1], (route.corners[-1][0] - 6, route.corners[-1][1])]
    parts = [f"M{_n(corners[0][0])} {_n(corners[0][1])}"]
    for number, ((x0, y0), (x1, y1)) in enumerate(pairwise(corners)):
        if number % 2 or abs(y0 - y1) < 0.05:
            parts.append(f"H{_n(x1)}")
        else:
            middle = _n((x0 + x1) / 2)
            parts.append(f"C{middle} {_n(y0)} {middle} {_n(y1)} {_n(x1)} {_n(y1)}")
    return "".join(parts)


def _bent(route: Route) -> str:
    """Return a line around the components, with round corners."""
    (x0, y0), (right, _), (_, lane), (left, _), (_, y1), (x1, _) = route.corners
    r = _n(_TURN)
    return (
        f"M{_n(x0)} {_n(y0)}H{_n(right)}q{r} 0 {r} {r}V{_n(lane - _TURN)}q0 {r} -{r} {r}"
        f"H{_n(left + _TURN)}q-{r} 0 -{r} -{r}V{_n(y1 + _TURN)}q0 -{r} {r} -{r}H{_n(x1 - 6)}"
    )


def _drawn_labels(
    links: Iterable[LinkPicture], labels: Iterable[str], routes: Iterable[Route]
) -> Iterator[str]:
    for link, label, route in zip(links, labels, routes, strict=True):
        x, y = route.label
        width = _width(label, _SMALL) + 8
        hint = (
            f"{visible(link.sender)}.{visible(link.output)} -> {visible(link.receiver)}.{visible(link.input)}: "
            f"buffer_size {link.options.buffer_size}, when_full {link.options.when_full}"
        )
        more = "".join(f", {note}" for note in link.notes if note != link.options.when_full)
        yield (
            f'<g class="label"><title>{_text(hint + more)}</title>'
            f'<rect x="{_n(x - width / 2)}" y="{_n(y - 8)}" width="{_n(width)}" height="16" rx="4"/>'
            f'<text class="dim" x="{_n(x)}" y="{_n(y + 4)}" text-anchor="middle">{_text(label)}</text></g>'
        )


def _label(link: LinkPicture) -> str:
    """Return ``rejected -> side · 100 · drop_oldest``; usual ports and a usual policy go without saying."""
    output = "" if link.output == "out" else visible(link.output)
    entry = "" if link.input == "in" else f"→ {visible(link.input)}"
    parts = (f"{output} {entry}".strip(), f"{link.options.buffer_size:,}", *link.notes)
    return _cut(" · ".join(part for part in parts if part), _LONGEST_LABEL, _SMALL)


# --- components -----------------------------------------------------------------------------------


def _drawn_box(one: ComponentPicture, name: str, box: Box) -> str:
    room = box.width - 2 * _PADDING
    title = _cut(name, room, _BOLD)
    kind = _cut(_kind(one), room, _SMALL)
    x, y = box.x, box.y
    second = f'<text class="dim" x="{_n(x + _PADDING)}" y="{_n(y + 40)}">{_text(kind)}</text>' if kind else ""
    return (
        f'<g class="node"><title>{_text(_facts_of(one))}</title>'
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(box.width)}" height="{_n(box.height)}" rx="8"/>'
        f'<text class="name" x="{_n(x + _PADDING)}" y="{_n(y + (22 if kind else 31))}">{_text(title)}</text>'
        f"{second}</g>"
    )


def _facts_of(one: ComponentPicture) -> str:
    facts = [visible(one.name), visible(one.type)]
    for what, ports in (("in", one.inputs), ("out", one.outputs)):
        if ports:
            facts.append(f"{what}: {', '.join(_port(port) for port in ports)}")
    return "\n".join(fact for fact in facts if fact)


def _port(port: PortPicture) -> str:
    return f"{visible(port.name)} {visible(port.type)}{' (optional)' if port.optional else ''}"


def _kind(one: ComponentPicture) -> str:
    """Return what a component is made of, without its module."""
    return visible(one.type.rpartition(":")[2].rpartition(".")[2])


def _box_width(name: str, kind: str) -> float:
    width = max(_width(name, _BOLD), _width(kind, _SMALL)) + 2 * _PADDING
    return min(max(width, _NARROWEST), _WIDEST)


# --- text -----------------------------------------------------------------------------------------


def _width(text: str, size: float) -> float:
    """Return about how wide a text is, in pixels; ``size`` is the width of a usual letter."""
    return sum(_letter(c) for c in text) * size


def _letter(letter: str) -> float:
    if letter in _NARROW:
        return 0.6
    if letter in _BROAD or east_asian_width(letter) in "WF":
        return 1.6
    return 1.15 if letter.isupper() else 1.0


def _cut(text: str, room: float, size: float) -> str:
    """Return as much of a text as there is room for."""
    if _width(text, size) <= room + 0.5:  # the room was computed from this very width
        return text
    while text and _width(text, size) > room - size:
        text = text[:-1]
    return f"{text}…"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _text(text: str) -> str:
    return escape(text)


def _n(number: float) -> str:
    """Return a number of pixels to a tenth, in as few characters as that takes."""
    return f"{round(number, 1) + 0.0:.1f}".removesuffix(".0")


def _style() -> str:
    text = f".headrace-graph text{{font-family:{_FONT.replace('&quot;', chr(39))};font-size:13px;"
    fixed = [
        text + "font-variant-numeric:tabular-nums}",
        ".headrace-graph .title{font-size:16px;font-weight:600}.headrace-graph .name{font-weight:600}",
        ".headrace-graph text.dim{font-size:11.5px}.headrace-graph .edge{fill:none;stroke-width:2}",
        ".headrace-graph .back{stroke-dasharray:6 4}",
    ]
    dark = f"@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
    return "\n".join(["", *fixed, _colours(_LIGHT), dark, ""])


def _colours(of: dict[str, str]) -> str:
    rules = [
        f".card{{fill:{of['card']};stroke:{of['line']}}}",
        f"text{{fill:{of['ink']}}}",
        f"text.dim{{fill:{of['dim']}}}",
        f".node rect{{fill:{of['card']};stroke:{of['idle']}}}",
        f".label rect{{fill:{of['card']}}}",
    ]
    for kind in ("idle", "fill", "stop"):
        rules += [f".edge.{kind}{{stroke:{of[kind]}}}", f".tip.{kind}{{fill:{of[kind]}}}"]
    return "".join(f".headrace-graph {rule}" for rule in rules)


__all__ = ["draw_svg"]
