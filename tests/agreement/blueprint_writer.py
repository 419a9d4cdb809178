"""Writes blueprints: at random, well formed or broken in one of the ways that the reader knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

PARTS = "agreed_parts"
SECRET = "agreed_secret"
SECRET_TEXT = "hunter2"
VARIABLES = {"SOME": "3", "WORD": "water", "EMPTY": ""}
"""What is in the environment; UNSET is not."""


@dataclass(frozen=True)
class Kind:
    """A type of component: its ports with their types, which inputs it needs, and settings that it takes."""

    name: str
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    settings: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    obliged: tuple[str, ...] = ()
    is_function: bool = True

    @property
    def type(self) -> str:
        """What a blueprint calls it."""
        return self.name if self.name in INSTALLED or self.name.endswith(".yaml") else f"{PARTS}:{self.name}"


COUNTS = (1, 2, 4)
IN = ("in",)
SOURCES = (
    Kind("numbers", {}, {"out": "int"}, settings={"count": COUNTS}),
    Kind("words", {}, {"out": "str"}, settings={"count": COUNTS, "word": ("abc", "no", "1:30", "${WORD}")}),
    Kind("Tick", {}, {"out": "int"}, settings={"count": COUNTS, "step": (1, 0.5)}, is_function=False),
)
STAGES = (
    Kind("less", {"in": "int"}, {"out": "int"}, IN),
    Kind("halves", {"in": "int"}, {"out": "int"}, IN),
    Kind("spell", {"in": "int"}, {"out": "str"}, IN, {"letter": ("y", "no", "null ", "${UNSET:-y}")}),
    Kind("length", {"in": "str"}, {"out": "int"}, IN),
    Kind("picky", {"in": "int"}, {"out": "int", "rejected": "Rejected"}, IN, {"limit": (1, 3)}),
    Kind("flaky", {"in": "int"}, {"out": "int"}, IN),
    Kind(
        "Split",
        {"in": "int"},
        {"low": "int", "high": "int"},
        IN,
        {"limit": (1, 2)},
        ("limit",),
        is_function=False,
    ),
    Kind("Asks", {"in": "int"}, {"out": "int"}, IN, is_function=False),
    Kind("looked_up", {"in": "int"}, {"out": "int"}, IN),
    Kind("agreed_inner.yaml", {"in": "int"}, {"out": "int"}, IN, {"LIMIT": (1, 2)}, is_function=False),
    Kind("agreed_outer.yaml", {"in": "int"}, {"out": "int"}, IN, {"LIMIT": (3,)}, is_function=False),
    Kind("Merge", {"left": "int", "right": "int"}, {"out": "int"}, ("left",), is_function=False),
)
SINKS = (
    Kind("show", {"in": "any"}, {}, IN),
    Kind("Sink", {"first": "any", "second": "any"}, {}, is_function=False),
    Kind("console_sink", {"in": "any"}, {}, IN, {"format": ("json",)}, is_function=False),
)
INSTALLED = ("console_sink",)
NAMES = (
    "a",
    "b",
    "cee",
    "dee",
    "e-5",
    "über",
    "name with blanks",
    "no",
    "42",
    "x_1",
    "yes",
    "null",
    "k9",
    "d.o.t",
)
DURATIONS = ("5s", "2m", "1h", 5, 2.5, "1500ms", "10 s")
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "buffer_size": (1, 7, 100, "${SOME}"),
    "setup_timeout": DURATIONS,
    "cleanup_timeout": DURATIONS,
    "shutdown_timeout": DURATIONS,
    "source_grace": DURATIONS,
    "dead_letter_limit": (1000,),
    "stall_after": (0, "2s"),
    "blocked_after": (0, 1),
    "attempts": (1, 2),
    "on_error": ("dead_letter", "reject", "drop"),
    "backoff": (0, "1ms"),
}


@dataclass
class Draft:
    """A blueprint as values, and what its graph is made of."""

    tree: dict[str, Any]
    kinds: dict[str, Kind]


# --- what is well formed -----------------------------------------------------------------------------


def draft(rnd: Random) -> Draft:
    """Return a blueprint in which everything fits; it may hold what is warned of."""
    kinds = _components(rnd)
    links = list(_links(rnd, kinds))
    back = _backwards(rnd, kinds) if rnd.random() < 0.2 else []
    tree: dict[str, Any] = {"system": rnd.choice(("s", "no", "a system", "1:30", "über", "${WORD}"))}
    if rnd.random() < 0.4:
        tree["defaults"] = _some(rnd, DEFAULTS)
        if back:
            tree["defaults"].pop("buffer_size", None)
    if any(kind.name == "looked_up" for kind in kinds.values()) or rnd.random() < 0.1:
        tree["resources"] = {"table": _table(rnd)}
    tree["components"] = {name: _component(rnd, kind) for name, kind in kinds.items()}
    connections = [_connection(rnd, kinds, link, back) for link in links]
    connections += [_loose(link) for link in back]
    if connections or rnd.random() < 0.5:
        tree["connections"] = connections
    if rnd.random() < 0.3 and links:
        tree["summary"] = _summary(rnd, links)
    if rnd.random() < 0.15:
        tree["tests"] = _tests(rnd, kinds)
    return Draft(tree, kinds)


def _table(rnd: Random) -> Any:
    if rnd.random() < 0.3:
        return f"{PARTS}:open_table"
    config = _some(rnd, {"rows": (1, 4), "password": (f"${{file:{SECRET}}}", "none")}, 0.6)
    return {"type": f"{PARTS}:open_table"} | ({"config": config} if config else {})


def _tests(rnd: Random, kinds: dict[str, Kind]) -> Any:
    name, kind = rnd.choice(list(kinds.items()))
    test: dict[str, Any] = {"component": name, "expect": {port: [1] for port in kind.outputs} or []}
    if kind.inputs:
        test["send"] = {rnd.choice(list(kind.inputs)): [2]}
    return {"a test": test | _some(rnd, {"timeout": ("5s",), "any_order": (True,)})}


def overlay(rnd: Random, made: Draft) -> Any:
    """Return what a further file says otherwise, for a blueprint of these components."""
    name = rnd.choice(list(made.kinds))
    settings = _some(rnd, made.kinds[name].settings, 0.7)
    said: dict[str, Any] = {"components": {name: {"config": settings} if settings else {}}}
    if rnd.random() < 0.5:
        said["system"] = "another name"
    if rnd.random() < 0.3:
        said["defaults"] = _some(rnd, DEFAULTS, 0.2)
    if rnd.random() < 0.2:
        said["connections"] = []
    return said


def _components(rnd: Random) -> dict[str, Kind]:
    chosen = [rnd.choice(SOURCES) for _ in range(rnd.choice((1, 1, 2)))]
    chosen += [rnd.choice(STAGES) for _ in range(rnd.choice((0, 1, 2, 3, 4)))]
    chosen += [rnd.choice(SINKS) for _ in range(rnd.choice((0, 1, 2)))]
    return dict(zip(rnd.sample(NAMES, len(chosen)), chosen, strict=True))


Link = tuple[str, str, str, str]


def _fits(sent: str, taken: str) -> bool:
    return taken in ("any", sent)


def _links(rnd: Random, kinds: dict[str, Kind]) -> Iterator[Link]:
    """Yield connections from earlier components to later ones; what finds no sender is taken out."""
    for name in list(kinds):
        kind, earlier = kinds[name], list(kinds)[: list(kinds).index(name)]
        for port, taken in kind.inputs.items():
            senders = [
                (other, out)
                for other in earlier
                for out, sent in kinds[other].outputs.items()
                if _fits(sent, taken)
            ]
            is_needed = port in kind.needs
            if is_needed and not senders:
                del kinds[name]
                break
            if senders and (is_needed or rnd.random() < 0.6):
                for other, out in rnd.sample(senders, rnd.randint(1, min(2, len(senders)))):
                    yield other, out, name, port


def _backwards(rnd: Random, kinds: dict[str, Kind]) -> list[Link]:
    """Return a connection that closes a cycle, where there is something to close."""
    stages = [name for name, kind in kinds.items() if kind.inputs and kind.outputs]
    later = [
        (b, out, a, port)
        for number, a in enumerate(stages)
        for b in stages[number:]
        for out, sent in kinds[b].outputs.items()
        for port, taken in kinds[a].inputs.items()
        if sent == taken
    ]
    return [rnd.choice(later)] if later else []


def _some(rnd: Random, choices: dict[str, tuple[Any, ...]], share: float = 0.4) -> dict[str, Any]:
    return {name: rnd.choice(values) for name, values in choices.items() if rnd.random() < share}


def _component(rnd: Random, kind: Kind) -> Any:
    table: dict[str, Any] = {"type": kind.type}
    settings = _some(rnd, kind.settings)
    settings |= {name: rnd.choice(kind.settings[name]) for name in kind.obliged}
    if settings:
        table["config"] = settings
    if kind.is_function and kind.inputs and rnd.random() < 0.3:
        table |= _some(
            rnd, {"attempts": (1, 2), "on_error": ("dead_letter", "reject", "drop"), "backoff": (0, "1ms")}
        )
    if "out" in kind.outputs and rnd.random() < 0.2:
        key = {"int": "numerator", "str": 0}[kind.outputs["out"]]
        table["outputs"] = {
            "out": rnd.choice(
                ({"fan_out": "balance"}, {"fan_out": "by_key", "key": key}, {"fan_out": "broadcast"})
            )
        }
    return table


def _end(rnd: Random, name: str, port: str, ports: dict[str, str], *, is_output: bool) -> str:
    """Return ``component.port``, or the component alone where that says as much."""
    guessed = "out" if is_output else "in"
    others = [other for other in ports if other != "rejected"]
    may_be_left_out = others == [port] and port in (guessed, *others)
    return name if may_be_left_out and rnd.random() < 0.6 else f"{name}.{port}"


def _connection(rnd: Random, kinds: dict[str, Kind], link: Link, back: list[Link]) -> Any:
    sender, out, receiver, port = link
    ends = (
        _end(rnd, sender, out, kinds[sender].outputs, is_output=True),
        _end(rnd, receiver, port, kinds[receiver].inputs, is_output=False),
    )
    if rnd.random() < 0.6:
        return f"{ends[0]}{rnd.choice((' -> ', '->', '  ->  '))}{ends[1]}"
    table: dict[str, Any] = {"from": ends[0], "to": ends[1]}
    if not back:
        table |= _some(
            rnd, {"buffer_size": (1, 3, 1000), "when_full": ("block", "drop_oldest", "drop_newest")}, 0.3
        )
    return table | _some(rnd, {"copy": (True, False)}, 0.2)


def _loose(link: Link) -> Any:
    return {"from": f"{link[0]}.{link[1]}", "to": f"{link[2]}.{link[3]}", "when_full": "drop_oldest"}


def _summary(rnd: Random, links: list[Link]) -> Any:
    sender, out, receiver, port = rnd.choice(links)
    choices = {"in": (f"{sender}.{out}", [f"{sender}.{out}"]), "out": (f"{receiver}.{port}",)}
    return _some(rnd, choices, 0.7)


# --- text --------------------------------------------------------------------------------------------


def scalar(value: Any, rnd: Random) -> str:
    """Return a scalar as YAML, quoted where it must be and sometimes where it need not."""
    if not isinstance(value, str):
        return json.dumps(value)
    if value.replace(" ", "").replace("_", "").isalpha() and value.strip() == value and value != "null":
        return value if rnd.random() < 0.7 else json.dumps(value, ensure_ascii=False)
    if rnd.random() < 0.3 and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=rnd.random() < 0.2)


def flow(value: Any, rnd: Random) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key, rnd)}: {flow(item, rnd)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, rnd) for item in value) + "]"
    return scalar(value, rnd)


def block(value: Any, rnd: Random, indent: int = 0) -> Iterator[str]:
    """Yield the lines of a value, laid out in one of the ways that people do."""
    if indent and (not isinstance(value, (dict, list)) or not value or rnd.random() < 0.4):
        yield " " + flow(value, rnd)
        return
    if not isinstance(value, (dict, list)):
        yield flow(value, rnd)
        return
    pairs = (
        [(f"{scalar(key, rnd)}:", item) for key, item in value.items()]
        if isinstance(value, dict)
        else [("-", item) for item in value]
    )
    yield ""
    for head, item in pairs:
        if rnd.random() < 0.05:
            yield " " * indent + "# a remark: not -> read"
        first, *rest = block(item, rnd, indent + 2)
        yield " " * indent + head + first
        yield from rest


def text_of(tree: Any, rnd: Random) -> str:
    """Return a blueprint's text."""
    lines = list(block(tree, rnd))
    end = rnd.choice(("\n", "\n", "\n", "\r\n"))
    return end.join(lines[1:] if lines[0] == "" else lines) + end


# --- what is broken ----------------------------------------------------------------------------------

Breaker = Callable[[Any, Random], None]
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, "", "no", "1:30", "abc", "0x1F", "01", "1_000", ".inf", ".nan", [], {},
    ["a"], {"a": 1}, "${UNSET}", "${SOME}", "${no such}", "${", "$${x}", "5 minutes", "-1s", "0ms", "dead-letter",
)  # fmt: skip
TYPES = (
    "agreed_parts:Refuses", "agreed_parts:Unfinished", "agreed_parts:NOT_A_COMPONENT", "agreed_parts:lesss",
    "agreed_part:less", "agreed_broken:x", "os:system", "subprocess:run", "string:x", "consol_sink", "map:", ":x",
    "agreed_nowhere.yaml", "agreed_endless.yaml", "../agreed_inner.yaml", "/etc/passwd.yml",
    "agreed_parts:open_table", "agreed_parts.less", "agreed_parts:Kind.x", "headrace:System", "headrace.nowhere:x",
    "a b", "\x1b[31m",
)  # fmt: skip
ENDS = (
    "nowhere", "a.b.c", ".out", "a.", "", "a -> b -> c", "->", "a => b", "a -> ", " -> b", "a.oot -> b", "a->b.inn",
    {"from": "a"}, {"to": "b"}, {"from": "a", "to": "b", "buffer": 1}, {"from": "a", "to": "b", "durable": True},
    {"from": "a", "to": "b", "when_full": "never"}, {"from": ["a"], "to": "b"}, 5, None, ["a", "b"], "a.out.x -> b",
)  # fmt: skip
KEYS = (
    "restart", "concurrency", "replicas", "durable", "placement", "engine", "run_in", "durability", "ack", "ratee",
    "resources", "ports", "tests", "sytem", "component", "conections", "configuration", "typ", "extra", "x-note",
    "<<",
)  # fmt: skip


def _tables(tree: Any) -> list[Any]:
    """Return every table and list of a tree, outermost first."""
    found = [tree] if isinstance(tree, (dict, list)) else []
    for one in found:
        found += [
            item
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, (dict, list))
        ]
    return found


def _place(tree: Any, rnd: Random) -> tuple[Any, Any]:
    tables = [one for one in _tables(tree) if one]
    table = rnd.choice(tables)
    return table, rnd.choice(list(table) if isinstance(table, dict) else range(len(table)))


def drop(tree: Any, rnd: Random) -> None:
    """Leave a key or an item out."""
    table, key = _place(tree, rnd)
    del table[key]


def rename(tree: Any, rnd: Random) -> None:
    """Misspell a key."""
    tables = [one for one in _tables(tree) if one and isinstance(one, dict)]
    table = rnd.choice(tables)
    key = rnd.choice(list(table))
    cut = rnd.randrange(len(key))
    table[rnd.choice((key[:cut] + key[cut + 1 :], key + "s", key.upper(), f" {key}"))] = table.pop(key)


def misvalue(tree: Any, rnd: Random) -> None:
    """Put a value of another kind in the place of one."""
    table, key = _place(tree, rnd)
    table[key] = rnd.choice(WRONG)


def add_key(tree: Any, rnd: Random) -> None:
    """Add a key that is unknown, or not known there."""
    table = rnd.choice([one for one in _tables(tree) if isinstance(one, dict)])
    table[rnd.choice(KEYS)] = rnd.choice(WRONG)


def mistype(tree: Any, rnd: Random) -> None:
    """Name a type that there is not."""
    component = rnd.choice(list(tree["components"].values()))
    component["type"] = rnd.choice(TYPES)


def _listed(tree: Any) -> list[Any]:
    connections = tree.get("connections")
    return connections if isinstance(connections, list) else []


def misconnect(tree: Any, rnd: Random) -> None:
    """Add a connection that is none."""
    tree["connections"] = [rnd.choice(ENDS), *_listed(tree)]


def mismatch(tree: Any, rnd: Random) -> None:
    """Connect what does not fit, or does not exist, or is connected already."""
    names = list(tree["components"])
    ports = rnd.choice(("", ".in", ".out", ".low", ".left")), rnd.choice(("", ".in", ".out", ".right"))
    connection = f"{rnd.choice(names)}{ports[0]} -> {rnd.choice(names)}{ports[1]}"
    tree["connections"] = [*_listed(tree), *[connection] * rnd.choice((1, 1, 2))]


def misset(tree: Any, rnd: Random) -> None:
    """Give a component a setting that it does not take."""
    component = rnd.choice(list(tree["components"].values()))
    config = component.get("config")
    more = {rnd.choice(("count", "limit", "word", "fromat")): rnd.choice(WRONG)}
    component["config"] = (config if isinstance(config, dict) else {}) | more


def misspread(tree: Any, rnd: Random) -> None:
    """Say something wrong of an output."""
    component = rnd.choice(list(tree["components"].values()))
    said = (
        {"fan_out": "by_key"},
        {"key": "x"},
        {"fan_out": "by key"},
        {"fan": 1},
        {"fan_out": "by_key", "key": []},
    )
    component["outputs"] = {rnd.choice(("out", "oot", "rejected")): rnd.choice(said)}


def missum(tree: Any, rnd: Random) -> None:
    """Count what cannot be counted."""
    name = rnd.choice(list(tree["components"]))
    tree["summary"] = {
        rnd.choice(("in", "out", "rejected", "lost")): rnd.choice((name, f"{name}.oot", [], "x", 3))
    }


def misresource(tree: Any, rnd: Random) -> None:
    """Say something wrong of a resource."""
    types = (
        "open_table",
        f"{PARTS}:open_tabel",
        f"{PARTS}:less",
        f"{PARTS}:NOT_A_COMPONENT",
        f"{PARTS}:Sink",
        7,
        {},
    )
    kind = rnd.choice(types)
    config = {rnd.choice(("rows", "rosw", "password")): rnd.choice(WRONG)}
    tree["resources"] = {
        rnd.choice(("table", "tabel")): {"type": kind, "config": config} if rnd.random() < 0.5 else kind
    }


def misport(tree: Any, rnd: Random) -> None:
    """Give the whole a port that is none."""
    name = rnd.choice(list(tree["components"]))
    tree["ports"] = {
        rnd.choice(("in", "out", "")): rnd.choice((f"{name}.out", f"{name}.oot", name, "nowhere.in", 5))
    }


def mistest(tree: Any, rnd: Random) -> None:
    """Test what there is not."""
    nothing: dict[str, Any] = {"expect": []}
    said = (
        {}, [], None, {"send": {"in": [1]}}, {"expect": {"nowhere.out": [1]}}, {"expect": 5},
        nothing | {"component": "nowhere"}, nothing | {"timeout": "soon"},
        nothing | {"replace": {"nowhere": "show"}},
    )  # fmt: skip
    tree["tests"] = {"a test": rnd.choice(said)}


def missecret(tree: Any, rnd: Random) -> None:
    """Name a secret that there is not, or where none may stand."""
    secrets = (
        "${file:nowhere}",
        "${file:/dev/zero}",
        "${file:}",
        "${file:.}",
        "a ${file:agreed_secret} b",
        "${flie:x}",
    )
    if rnd.random() < 0.5:
        tree["system"] = rnd.choice(secrets)
    else:
        component = rnd.choice(list(tree["components"].values()))
        component["config"] = {"word": rnd.choice(secrets)}


BREAKERS: tuple[Breaker, ...] = (
    drop, rename, misvalue, misvalue, add_key, mistype, mistype, misconnect, misconnect, mismatch, mismatch, misset,
    misspread, missum, misresource, misport, mistest, missecret,
)  # fmt: skip


def _line_twice(text: str, rnd: Random) -> str:
    lines = text.splitlines(keepends=True)
    number = rnd.randrange(len(lines))
    return "".join([*lines[: number + 1], *lines[number:]])


def _insert(*snippets: str) -> Callable[[str, Random], str]:
    def insert(text: str, rnd: Random) -> str:
        places = [index + 1 for index, char in enumerate(text) if char in " \n"] or [0]
        place = rnd.choice(places)
        return text[:place] + rnd.choice(snippets) + text[place:]

    return insert


def _cut(text: str, rnd: Random) -> str:
    return text[: rnd.randrange(len(text))]


def _delete(text: str, rnd: Random) -> str:
    place = rnd.randrange(len(text))
    return text[:place] + text[place + 1 :]


def _indent(text: str, rnd: Random) -> str:
    lines = text.splitlines(keepends=True)
    number = rnd.randrange(len(lines))
    lines[number] = rnd.choice((" ", "  ", "\t")) + lines[number]
    return "".join(lines)


SCRIBBLERS: tuple[Callable[[str, Random], str], ...] = (
    _line_twice,
    _insert("!t ", "!!int ", "!!python/object/apply:os.system ", "!<tag:yaml.org,2002:str> "),
    _insert("&n ", "*n ", "*nowhere ", "<<: {a: 1}\n", "&n [*n] "),
    _insert("\0", "\x1b", "\x07", "\u202e", "\ufeff", "\u2028", "\x85", "é"),
    _insert(
        "[", "]", "{", "}", "'", '"', "- ", ": ", "? ", "| ", "> ", "@", "%", "`", "#", ",", "---\n", "...\n"
    ),
    _insert("${UNSET}", "${", "${A-B}", "${SOME}", "$${x}", "${EMPTY}", "${EMPTY:-x}"),
    _cut,
    _delete,
    _delete,
    _indent,
)


def _has_components(tree: Any) -> bool:
    components = tree.get("components")
    return (
        isinstance(components, dict)
        and bool(components)
        and all(isinstance(c, dict) for c in components.values())
    )


def write(rnd: Random) -> tuple[list[bytes], int]:
    """Return the contents of a blueprint's files, and how often it was broken (which may have left it whole)."""
    made = draft(rnd)
    times = rnd.choice((0, 0, 0, 0, 0, 1, 1, 1, 2, 3))
    trees = [made.tree]
    if rnd.random() < 0.15:
        trees.append(overlay(rnd, made))
    before = sum(rnd.random() < 0.7 for _ in range(times))
    for _ in range(before):
        tree = rnd.choice(trees)
        if _has_components(tree):
            rnd.choice(BREAKERS)(tree, rnd)
    texts = [text_of(tree, rnd) for tree in trees]
    for _ in range(times - before):
        number = rnd.randrange(len(texts))
        texts[number] = rnd.choice(SCRIBBLERS)(texts[number], rnd) if texts[number] else ""
    contents = [text.encode() for text in texts]
    if times and rnd.random() < 0.05:
        place = rnd.randrange(len(contents[0]) + 1)
        bad = (contents[0][:place] + b"\xe9" + contents[0][place:], texts[0].encode("utf-16"))
        contents[0] = rnd.choice(bad)
    return contents, times
