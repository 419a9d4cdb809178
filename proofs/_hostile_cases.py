"""Blueprints that are out to hurt, and a way to run a command on one in a process of its own, measured.

The tests (`tests/cli/test_hostile_blueprints.py`) and the proof (`hostile_blueprints.py`) share them. What is
measured is the child's own processor time and the peak of its own memory: `ru_maxrss` begins with the
parent's, because a process inherits it across exec.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CROWDS", "GRAPH", "HOSTILE", "PARTS", "PATHS", "Ended", "Server", "run_measured", "write_paths"]

MEASURED = """
import json, os, sys, time
from headrace.cli.main import run_cli

began, figures = time.process_time(), {}
for command in sys.argv[1].split(","):
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{command}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    before = time.process_time()
    code = run_cli([command, *sys.argv[2:]])
    sys.stdout.flush()
    high = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    figures[command] = (code, began + time.process_time() - before, int(high.split()[1]) / 1024)
with open("figures", "w") as file:
    json.dump(figures, file)
"""
SERVER = """
import json, os, signal, sys
import asyncio, anyio._backends._asyncio
import headrace.cli.check, headrace.cli.run, headrace.cli.running, headrace.cli.target
import headrace.cli.ending, headrace.cli.logs, headrace.cli.progress, headrace.cli.report_json
import headrace.edges.web.serving, headrace.edges.yaml_blueprint

measured = sys.argv[1]
for line in sys.stdin:
    folder, seconds, sys.argv[1:] = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(seconds)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        exec(measured)
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
PARTS = """
from headrace import component

open("imported", "w").close()

@component
def numbers():
    yield 1

@component
def show(number: int) -> None:
    pass
"""
GRAPH = 'components:\n  a: {type: "parts:numbers"}\n  b: {type: "parts:show"}\nconnections:\n  - a -> b\n'
NOTED = "system: s\nx: {0}\n" + GRAPH


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it wrote, its seconds of processor time, its megabytes."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float


def run_measured(
    folder: Path, commands: Sequence[str], *arguments: str, timeout: float = 100, **extra: str
) -> dict[str, Ended]:
    """Run commands, one after the other, in a process of their own.

    Args:
        folder: Where; what they write and the figures are left there.
        commands: Their names.
        arguments: What each is given.
        timeout: Seconds after which the process is ended.
        extra: More environment variables.

    Returns:
        How each ended.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run(
        [sys.executable, "-c", MEASURED, ",".join(commands), *arguments],
        cwd=folder,
        env=kept | extra,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=True,
    )
    return _read_ends(folder)


class Server:
    """Runs commands as ``run_measured`` does, each time in a new process that has imported headrace already."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, MEASURED],
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run_measured(
        self, folder: Path, commands: Sequence[str], *arguments: str, timeout: int = 100
    ) -> dict[str, Ended]:
        """Run commands, one after the other, in a process of their own; its time begins after the imports."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps([str(folder), timeout, [",".join(commands), *arguments]]),
            file=self._process.stdin,
            flush=True,
        )
        code = self._process.stdout.readline().strip()
        assert code == "0", f"the process ended with {code or 'its server'}"
        return _read_ends(folder)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _read_ends(folder: Path) -> dict[str, Ended]:
    """Return how each command ended, by what was left in the folder."""
    ends = {}
    for command, (code, seconds, megabytes) in json.loads((folder / "figures").read_text()).items():
        out, err = ((folder / f"{command}.{name}").read_text() for name in ("out", "err"))
        ends[command] = Ended(code, out, err, seconds, megabytes)
    return ends


def write_paths(folder: Path) -> None:
    """Make what some of ``PATHS`` lead to."""
    os.mkfifo(folder / "pipe.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "dangling.yaml").symlink_to("nothing.yaml")


def bomb(levels: int, width: int) -> str:
    """Return a list of lists of lists, each of them an alias of the one before."""
    lines = ["system: s", f"l0: &l0 [{', '.join(['x'] * width)}]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a bomb": (bomb(9, 10).encode(), "E107 more than"),
    "a wide bomb": (bomb(3, 900).encode(), "E107 more than"),
    "a bomb of tables": (
        b"system: s\na: &a {x: 1}\n"
        + b"".join(b"%c: &%c {p: *%c, q: *%c}\n" % (n, n, n - 1, n - 1) for n in b"bcdefghijklmnopqrs"),
        "E107 more than",
    ),
    "an alias inside itself": (NOTED.replace("x: {0}", "defaults: &d {buffer_size: *d}").encode(), "E108"),
    "an alias of nothing": (NOTED.replace("x: {0}", "defaults: *d").encode(), "E108"),
    "lists 2,000 deep": (b"system: s\nx: " + b"[" * 2_000 + b"]" * 2_000, "E107 more than 50 levels"),
    "tables 2,000 deep": (b"system: s\nx: " + b"{a: " * 2_000 + b"}" * 2_000, "E107 more than 50 levels"),
    "lists 500,000 deep": (b"system: s\nx: " + b"[" * 500_000, "E107 more than 50 levels"),
    "blocks 1,400 deep": (
        "\n".join(" " * n + "a:" for n in range(1_400)).encode(),
        "E107 more than 50 levels",
    ),
    "blocks 2,000 deep": ("\n".join(" " * n + "a:" for n in range(2_000)).encode(), "E107"),
    "dashes 300,000 deep": (b"- " * 300_000, "E107 more than 50 levels"),
    "keys of keys": (b"? " * 300_000, "E107 more than 50 levels"),
    "a tag that runs a command": (
        NOTED.replace("x: {0}", "defaults: !!python/object/apply:os.system ['touch touched']").encode(),
        "E106 the tag '!!python/object/apply:os.system'",
    ),
    "a tag that makes a module": (
        NOTED.replace("x: {0}", "defaults: !!python/module:this {}").encode(),
        "E106",
    ),
    "a tag in the place of a type": (
        b"system: s\ncomponents:\n  a: {type: !!python/name:os.system ''}\n",
        "E106",
    ),
    "a tag as long as the file": (f"system: !{'t' * 900_000} s\n{GRAPH}".encode(), "E106"),
    "the same key twice": (("system: s\nsystem: t\n" + GRAPH).encode(), "E105 key 'system' is there twice"),
    "a component twice": (
        GRAPH.replace("components:", "components:\n  a: {type: 'parts:numbers'}").encode() + b"system: s\n",
        "E105 key 'a'",
    ),
    "no as a truth value": (
        ("system: s\n" + GRAPH.replace("- a -> b", "- {from: a, to: b, copy: no}")).encode(),
        "E104 copy must be true or false, not the text 'no'",
    ),
    "1:30 as a duration": (
        ("system: s\ndefaults: {shutdown_timeout: 1:30}\n" + GRAPH).encode(),
        "E111 shutdown_timeout must be a duration, not the text '1:30'",
    ),
    "a number of 900,000 digits": (
        ("system: s\ndefaults: {buffer_size: " + "9" * 900_000 + "}\n" + GRAPH).encode(),
        "E104 buffer_size must be a whole number",
    ),
    "not UTF-8": ("system: café\n".encode("latin-1"), "E113 the file is not UTF-8 (byte 0xe9)"),
    "UTF-16": (f"system: s\n{GRAPH}".encode("utf-16"), "E113"),
    "UTF-32": (f"system: s\n{GRAPH}".encode("utf-32"), "E113"),
    "UTF-7": (b"system: s\n+AGM-omponents: {}\n\x84", "E113"),
    "half a character": (f"system: s\n{GRAPH}# \U0001f600".encode()[:-2], "E113"),
    "an archive": (b"PK\x03\x04\x14\x00\x08\x00\x08\x00\xff\xfe" * 1_000, "E1"),
    "empty": (b"", "E114 the file is empty"),
    "blank": (b" \n\n  \n# nothing\n---\n...\n", "E114 the file is empty"),
    "a NUL": (b"system: s\0\n", "E101 the character U+0000 is not allowed"),
    "nothing but NULs": (b"\0" * 1_000_000, "E101 the character U+0000 is not allowed"),
    "a bell": (b"system: \x07\n", "E101 the character U+0007 is not allowed"),
    "huge": (b"# a remark\n" * 5_000_000, "E107 the file is larger than"),
    "a huge key": (b"system: s\n" + b"k" * 900_000 + b": 1\n" + GRAPH.encode(), "E101"),
    "a huge type": (b"system: s\ncomponents: {a: {type: '" + b"t" * 900_000 + b"'}}\n", "E240"),
    "a huge name": (f"system: s\n{GRAPH}  - a -> {'b' * 900_000}\n".encode(), "E221"),
    "a huge word": (f"system: s\ndefaults: {{on_error: {'b' * 900_000}}}\n{GRAPH}".encode(), "E112"),
    "many values": (b"system: s\nx: [" + b"a," * 450_000 + b"]\n", "E107 more than"),
    "many keys": (
        b"system: s\nx: {" + b"".join(b"k%d: 1," % n for n in range(80_000)) + b"}\n",
        "E107 more than",
    ),
    "many aliases": (b"system: s\nx: &a 1\ny: [" + b"*a," * 200_000 + b"]\n", "E107 more than"),
    "a merge key": (("system: s\n" + GRAPH.replace("b: {", "b: {<<: {}, ")).encode(), "E115"),
    "two documents": ((f"system: s\n{GRAPH}---\nsystem: t\n").encode(), "E101 a second document"),
    "tabs": (b" \t" * 400_000, "E101"),
    "colons": (b"a" + b": " * 400_000, "E101"),
    "a module outside": (b"system: s\ncomponents: {a: {type: 'os:system'}}\n", "E241 module 'os'"),
    "a module by its path": (b"system: s\ncomponents: {a: {type: '../outside:numbers'}}\n", "E240"),
    "a module above": (b"system: s\ncomponents: {a: {type: '..outside:numbers'}}\n", "E240"),
}

PATHS: dict[str, tuple[str, str]] = {
    "missing": ("nowhere.yaml", "E100 there is no such file"),
    "a folder": (".", "E100 cannot be read: Is a directory"),
    "below a file": ("parts.py/bp.yaml", "E100"),
    "not readable": ("/proc/self/mem", "E100 cannot be read"),
    "a pipe without a writer": ("pipe.yaml", "E100"),
    "a link to itself": ("loop.yaml", "E100"),
    "a link to nothing": ("dangling.yaml", "E100"),
    "a name that is too long": ("n" * 300, "E100"),
    "a device without end": ("/dev/zero", "E10"),
    "a device without anything": ("/dev/null", "E1"),
    "no name": ("", "E100"),
    "colours in the name": ("\x1b[31mred.yaml", "red.yaml:1:1: error E100"),
}

CROWDS: dict[str, bytes] = {
    "unset variables": b'system: "' + b"${A}" * 200_000 + b'"\n' + GRAPH.encode(),
    "open variables": b'system: "' + b"${" * 400_000 + b'"\n' + GRAPH.encode(),
    "unknown keys": b"system: s\n" + GRAPH.encode() + b"".join(b"k%d: 1\n" % n for n in range(20_000)),
    "unknown settings": b"system: s\ncomponents: {a: {type: 'parts:numbers', config: {"
    + b", ".join(b"k%d: 1" % n for n in range(20_000))
    + b"}}}\n",
    "unknown types": b"system: s\ncomponents:\n" + b"".join(b"  c%d: {type: x}\n" % n for n in range(9_000)),
    "unknown components": b"system: s\ncomponents: {a: {type: 'parts:numbers'}}\nconnections:\n"
    + b"".join(b"  - a%d -> b%d\n" % (n, n) for n in range(20_000)),
    "a chain of strangers": b"system: s\n"
    + GRAPH.encode()
    + b"  - "
    + b"->".join(b"c%d" % n for n in range(90_000)),
    "arrows": b"system: s\n" + GRAPH.encode() + b"  - " + b"->" * 200_000,
    "names among many": b"system: s\ncomponents:\n"
    + b"".join(b"  component%04d: {type: 'parts:numbers'}\n" % n for n in range(1_000))
    + b"connections:\n"
    + b"".join(b"  - componnet%04d -> componet%04d\n" % (n, n) for n in range(1_000)),
    "unfit values": b"system: s\ncomponents:\n" + b"".join(b"  c%d: 1\n" % n for n in range(20_000)),
}
