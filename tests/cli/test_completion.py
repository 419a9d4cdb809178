"""Shell completion: by bash itself, and by the scripts' text where a shell is not on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

HEAVY = ("anyio", "yaml", "pydantic", "rich", "structlog", "msgspec", "trio", "asyncio", "sqlite3")
BIN = Path(sys.executable).parent


def completed(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of the words, as it does when Tab is pressed."""
    script = (
        'eval "$(headrace completion bash)"\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=()\n'
        "_headrace_completion headrace 2>/dev/null\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        cwd=folder,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with blueprints and other files."""
    for name in ("flow.yaml", "floor.yml", "flow.py", "other.yaml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.yaml").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ch",), ["check"]),
        (("graph", "--format", "s"), ["svg"]),
        (("run", "--backend", ""), ["asyncio", "trio"]),
        (("run", "--allow-d"), ["--allow-dead"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("run", "fl"), ["floor.yml", "flow.yaml"]),
        (("check", "flow"), ["flow.yaml"]),
        (("graph", "sub/"), ["sub/deep.yaml"]),
        (("doctor", "o"), ["other.yaml"]),
        (("run", "nothing"), []),
    ],
)
def test_bash_completes(folder: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(folder, "headrace", *words) == offered


def test_bash_offers_every_command(folder: Path) -> None:
    from headrace.cli.main import COMMANDS

    assert completed(folder, "headrace", "") == sorted(COMMANDS)


def test_completing_loads_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom headrace.cli.main import run_cli\n"
        "try:\n    run_cli([])\nexcept SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, file=sys.stderr)"
    )
    for words, word in (
        ("headrace ", 1),
        ("headrace run ", 2),
        ("headrace run fl", 2),
        ("headrace new -", 2),
    ):
        asked = {"_HEADRACE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(word)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=os.environ | asked, capture_output=True, text=True
        )
        assert done.returncode == 0
        assert done.stdout
        assert not set(done.stderr.split()) & set(HEAVY)


def test_a_name_with_a_blank_is_left_to_the_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.cli.completion import complete_blueprint

    (folder / "flow two.yaml").write_text("", encoding="utf-8")
    monkeypatch.chdir(folder)
    (item,) = complete_blueprint(None, None, "flow")  # type: ignore[arg-type]
    assert (item.type, item.value) == ("file", "flow")


@pytest.mark.parametrize("begin", ["nowhere/x", "sub/none"])
def test_where_no_blueprint_fits_the_shell_offers_folders(
    begin: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.cli.completion import complete_blueprint

    monkeypatch.chdir(folder)
    (item,) = complete_blueprint(None, None, begin)  # type: ignore[arg-type]
    assert item.type == "dir"


@pytest.mark.parametrize(("shell", "word"), [("zsh", "#compdef headrace"), ("fish", "complete --no-files")])
def test_the_scripts_of_the_other_shells_ask_headrace(
    shell: str, word: str, invoke: Callable[..., Result]
) -> None:
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert word in result.stdout
    assert f"_HEADRACE_COMPLETE={shell}_complete" in result.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=result.stdout, text=True, check=True)


@pytest.mark.parametrize(("shell", "cword"), [("zsh", "1"), ("fish", "ch")])
def test_what_the_other_shells_get_is_in_their_form(shell: str, cword: str) -> None:
    asked = {"_HEADRACE_COMPLETE": f"{shell}_complete", "COMP_WORDS": "headrace ch", "COMP_CWORD": cword}
    done = subprocess.run(
        [BIN / "headrace"], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("plain\ncheck\n" if shell == "zsh" else "plain,check")


def test_a_shell_that_is_not_known_is_refused(invoke: Callable[..., Result]) -> None:
    from click import BadParameter

    result = invoke("completion", "tcsh")
    assert isinstance(result.exception, BadParameter)
