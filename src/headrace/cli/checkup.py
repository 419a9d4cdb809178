"""What ``headrace doctor`` looks at: facts about this machine, each with its mend; nothing is changed.

Every check is a function that yields findings and raises nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from headrace.runtime.registry import component_types, place_of

from .own_code import one_line

Verdict = Literal["ok", "warn", "fail"]

DISTRIBUTION = "headrace"
_DEVELOPMENT = frozenset({"test", "demo"})  # extras that no system needs
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([^\]]*)\])?[^;<>=!~]*([<>=!~][^;]*)?(?:;(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_LEAST = re.compile(r">=\s*([\d.]+)")
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-)?")
_FILES = 1024
_SPACE = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact: what was looked at, how it stands, and what to do where it is not ``ok``."""

    name: str
    verdict: Verdict
    message: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.verdict:<4}  {self.name}: {self.message}"
        return f"{text}\n      {self.fix}" if self.fix else text


def of_python() -> Iterator[Finding]:
    """Look at the interpreter: it must be one that headrace is tested with."""
    version = ".".join(map(str, sys.version_info[:3]))
    message = f"{sys.implementation.name} {version}, {sys.executable}"
    if sys.implementation.name != "cpython":
        yield Finding("python", "warn", message, "headrace is tested with CPython")
    else:
        yield Finding("python", "ok", message)


def of_headrace() -> Iterator[Finding]:
    """Look at headrace itself: where it is, and whether its command belongs to this interpreter."""
    folder = Path(__file__).resolve().parents[1]
    version = import_module("headrace").__version__
    message = f"{version}, {folder}"
    try:
        installed = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Finding(
            "headrace", "fail", f"{message}, not installed", f"{sys.executable} -m pip install headrace"
        )
        return
    if installed != version:
        fix = f"{sys.executable} -m pip install --force-reinstall headrace"
        yield Finding("headrace", "warn", f"{message}, but {installed} is what was installed", fix)
    else:
        yield Finding("headrace", "ok", message)
    command = shutil.which("headrace")
    here = Path(sys.executable).parent
    if command is not None and Path(command).parent.resolve() != here.resolve():
        fix = f"write {here / 'headrace'}, or put {here} first in PATH"
        yield Finding("command", "warn", f"'headrace' is {command}, of another installation", fix)


def of_packages() -> Iterator[Finding]:
    """Look at what headrace stands on, and at its extras."""
    try:
        requirements = [_REQUIREMENT.match(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return
    for found in requirements:
        if found is None:
            continue
        extra = _EXTRA.search(found[4] or "")
        if extra is None:
            yield _package(
                found[1], found[3] or "", f"pip install '{found[1]}{(found[3] or '').strip()}'", "fail"
            )
        elif extra[1] not in _DEVELOPMENT:
            yield _package(found[1], found[3] or "", f"pip install 'headrace[{extra[1]}]'", "ok")


def _package(name: str, wanted: str, fix: str, without: Verdict) -> Finding:
    """Look at one package; ``without`` is the verdict where it is not there."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        kind = "optional, not installed" if without == "ok" else "not installed"
        return Finding(name, without, kind, fix)
    least = _LEAST.search(wanted)
    if least is not None and _numbers(version) < _numbers(least[1]):
        return Finding(name, "fail", f"{version} is too old, {least[1]} is needed", fix)
    return Finding(name, "ok", version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def of_loops() -> Iterator[Finding]:
    """Start each event loop once."""
    import anyio

    async def nothing() -> None: ...

    for backend in ("asyncio", "trio"):
        if find_spec(backend) is None:
            continue
        try:
            anyio.run(nothing, backend=backend)
        except Exception as error:
            message = one_line([f"it does not start: {type(error).__name__} {error}"])
            yield Finding(
                f"{backend} loop", "fail", message, "reinstall Python, or 'pip install --upgrade anyio trio'"
            )
        else:
            yield Finding(f"{backend} loop", "ok", "starts")


def of_component_types() -> Iterator[Finding]:
    """Import every installed component type."""
    types = component_types()
    broken = 0
    for name, point in types.items():
        try:
            point.load()
        except (Exception, SystemExit) as error:
            broken += 1
            owner = point.dist.name if point.dist is not None else point.module.partition(".")[0]
            place = place_of(error)
            text = f"{point.value} cannot be imported: {type(error).__name__} {error}"
            message = one_line([text, f"at {place}" if place else ""])
            yield Finding(f"component type {name}", "fail", message, f"pip install --upgrade {owner}")
    if not types:
        fix = f"{sys.executable} -m pip install --force-reinstall headrace"
        yield Finding("component types", "fail", "none is installed, not even headrace's own", fix)
    elif len(types) > broken:
        yield Finding("component types", "ok", f"{len(types) - broken} can be imported")


def of_clock() -> Iterator[Finding]:
    """Look at the clock that deadlines are measured with."""
    clock = time.get_clock_info("monotonic")
    if clock.resolution > 0.02:
        fix = "deadlines below that cannot be kept on this machine"
        yield Finding("clock", "warn", f"monotonic, but in steps of {clock.resolution:.3g} s", fix)
    else:
        yield Finding("clock", "ok", f"monotonic, in steps of {clock.resolution:.3g} s")


def of_files() -> Iterator[Finding]:
    """Look at how many files may be open at once."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        most = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
        fix = f"ulimit -n {most}" if most > soft else "have the hard limit raised: this one cannot go higher"
        yield Finding("open files", "warn", f"at most {soft:,}: servers and many sources need more", fix)
    else:
        yield Finding("open files", "ok", "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft:,}")


def of_temporary_files() -> Iterator[Finding]:
    """Write a temporary file."""
    fix = "set TMPDIR to a folder that can be written and has room"
    try:
        folder = tempfile.gettempdir()
        with tempfile.NamedTemporaryFile(prefix="headrace-", dir=folder) as file:
            file.write(b"headrace")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("temporary files", "fail", error.strerror or str(error), fix)
        return
    room = f"{folder}, {free / 2**30:,.1f} GiB free"
    yield (
        Finding("temporary files", "ok", room)
        if free >= _SPACE
        else Finding("temporary files", "warn", room, fix)
    )


def of_terminal() -> Iterator[Finding]:
    """Look at the outputs: what they can show."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        "├─→…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        fix = "export PYTHONIOENCODING=utf-8, or LANG=C.UTF-8"
        yield Finding("terminal", "warn", f"stdout is {encoding}: drawings use + and - instead of lines", fix)
        return
    if not sys.stderr.isatty():
        yield Finding("terminal", "ok", f"{encoding}; stderr is no terminal: plain lines, no live line")
    elif os.environ.get("TERM", "dumb") == "dumb":
        yield Finding(
            "terminal", "warn", "TERM is not set or 'dumb': no live line", "export TERM=xterm-256color"
        )
    else:
        colours = "no colours (NO_COLOR)" if os.environ.get("NO_COLOR") else "colours"
        yield Finding("terminal", "ok", f"{os.environ['TERM']}, {encoding}, {colours}, a live line")


def of_variables(target: str) -> Iterator[Finding]:
    """Look for the variables that a blueprint names; their values are told to nobody."""
    try:
        text = Path(target).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return  # loading it tells that better
    for name, is_required in _variables_in(text).items():
        if os.environ.get(name):
            yield Finding(f"${name}", "ok", "is set")
        elif not is_required:
            yield Finding(f"${name}", "ok", "is not set: the blueprint has a default")
        elif name in os.environ:
            yield Finding(f"${name}", "warn", "is set, but empty", f"export {name}=...")
        else:
            yield Finding(f"${name}", "fail", "is not set", f"export {name}=...")


def _variables_in(text: str) -> dict[str, bool]:
    """Return the variables that a text names, and whether it has to have them."""
    needed: dict[str, bool] = {}
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for found in (found for line in lines for found in _VARIABLE.finditer(line) if found[1]):
        needed[found[1]] = needed.get(found[1], False) or found[2] is None
    return needed


OF_MACHINE: tuple[Callable[[], Iterator[Finding]], ...] = (
    of_python,
    of_headrace,
    of_packages,
    of_loops,
    of_component_types,
    of_clock,
    of_files,
    of_temporary_files,
    of_terminal,
)
"""All checks that need no system, in the order in which they are told."""

__all__ = ["OF_MACHINE", "Finding", "Verdict", "of_variables"]
