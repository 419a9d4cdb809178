"""The command itself: quick, lazy, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

import headrace
from headrace.cli import main as main_module
from headrace.cli.main import BROKEN_PIPE, COMMANDS, cli, main, run_cli

HEADRACE = Path(sys.executable).parent / "headrace"
HEAVY = ("anyio", "yaml", "pydantic", "rich", "structlog", "msgspec", "trio", "asyncio", "sqlite3")


def modules_of(*arguments: str) -> set[str]:
    """Return the top-level modules that a command line loads; what measures coverage loads some itself."""
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom headrace.cli.main import run_cli\n"
        f"run_cli({list(arguments)!r})\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["completion", "zsh"], *([name, "--help"] for name in sorted(COMMANDS))],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert not modules_of(*arguments) & set(HEAVY)


def test_help_is_quick(record_property: Any) -> None:
    """Report the best of several runs; a machine under load is not a failure of ours unless it is gross."""
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([HEADRACE, "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - began)
    record_property("help_seconds", min(seconds))
    print(f"headrace --help: best of 5 {min(seconds) * 1000:.0f} ms")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["--help"]) == 0
    out = capsys.readouterr().out
    for name, text in COMMANDS.items():
        assert name in out
        assert text in out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_there_and_says_what_the_list_says(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert found.name == name
    assert (found.help or "").startswith(COMMANDS[name])


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["--version"]) == 0
    assert capsys.readouterr().out == f"headrace {headrace.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek", "x"], "Error: No such command 'chek', did you mean 'check'?"),
        (["fly"], f"Error: No such command 'fly', there are {', '.join(sorted(COMMANDS))}."),
        (["new"], "Error: Missing argument 'NAME'."),
        (["check", "a", "--fromat", "x"], "Error: No such option '--fromat'"),
        (["run", "a", "--backend", "curio"], "Error: Invalid value for '--backend'"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not captured.out


def test_an_unknown_command_is_no_command() -> None:
    assert cli.get_command(click.Context(cli), "fly") is None


def test_an_option_in_the_place_of_a_command_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["--verison"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_main_ends_the_process_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "run_cli", lambda: 4)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, BROKEN_PIPE)])
def test_what_is_nobodys_fault_has_its_code(
    error: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fail)
    monkeypatch.setattr(main_module, "_silence", lambda descriptor: None)
    assert run_cli(["check", "x"]) == code


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"headrace {headrace.__version__}\n"


@pytest.mark.parametrize("arguments", [["graph", "systems:finishes"], ["check", "systems:finishes"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str], apps: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "headrace", *arguments], cwd=apps, stdout=write, stderr=subprocess.PIPE
        )
    finally:
        os.close(write)
    assert done.returncode == BROKEN_PIPE
    assert done.stderr == b""
