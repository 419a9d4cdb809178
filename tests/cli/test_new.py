"""``headrace new``: what it makes works as typed, what it refuses it says, and nothing is half-made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import Result

from headrace.cli import new as new_module
from headrace.cli.new import NotMade
from headrace.cli.new_files import files_for

pytestmark = pytest.mark.untraced

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what a user types."""
    unwanted = ("PYTEST_", "PYTHON", "DATA")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a new system."""
    folder = tmp_path_factory.mktemp("new")
    done = typed("headrace new demo", folder)
    assert done.returncode == 0, done.stderr
    return folder / "demo"


def test_it_makes_tests_and_runs_as_typed(tmp_path: Path) -> None:
    done = typed("headrace new demo && cd demo && headrace test && headrace run", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "made demo/"
    assert "next: cd demo && headrace test && headrace run" in lines
    assert sum(line.startswith("PASS ") for line in lines) >= 2
    assert lines[-1].startswith("in 8 out 7 rejected 0 lost 0 in ")


def test_it_prints_every_file_that_it_made(tmp_path: Path) -> None:
    done = typed("headrace new demo", tmp_path)
    named = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert named == {path.name for path in (tmp_path / "demo").iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_its_tests_pass_in_pytest_at_once(demo: Path) -> None:
    is_installed = any(point.name == "headrace" for point in entry_points(group="pytest11"))
    plugin = (
        "" if is_installed else "-p headrace.testing.pytest_plugin"
    )  # a checkout that was not installed anew
    done = typed(f"python -m pytest -q {plugin}", demo)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "warning" not in done.stdout


def test_check_and_graph_find_its_blueprint_by_themselves_and_have_nothing_to_say(demo: Path) -> None:
    done = typed("headrace check --strict && headrace graph", demo)
    assert done.returncode == 0, done.stdout
    first, _, _, drawing = done.stdout.splitlines()
    assert first == "demo.yaml: ok, 4 components, 3 connections"
    assert drawing == "readings -> measured -> smooth -> show"
    assert done.stderr == ""


def test_an_editor_finds_the_schema_and_it_takes_the_blueprint(demo: Path) -> None:
    import yaml
    from jsonschema import Draft202012Validator

    text = (demo / "demo.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=./demo.schema.json\n")
    schema = json.loads((demo / "demo.schema.json").read_text(encoding="utf-8"))
    content = yaml.safe_load(text)
    Draft202012Validator(schema).validate(content)
    content["components"]["smooth"]["config"]["windw"] = 3
    assert not Draft202012Validator(schema).is_valid(content)


def test_its_python_is_clean(demo: Path) -> None:
    for command in ("check", "format --check --diff"):
        done = typed(f"ruff {command} --isolated --line-length 110 .", demo)
        assert done.returncode == 0, done.stdout + done.stderr
    done = typed(f"mypy --strict --python-executable {sys.executable} --cache-dir /dev/null demo.py", demo)
    assert done.returncode == 0, done.stdout


def test_json_says_the_same(tmp_path: Path) -> None:
    done = typed("headrace new sub/pipe_line --format json", tmp_path)
    assert done.returncode == 2
    assert "there is no folder sub: make it first" in done.stderr
    (tmp_path / "sub").mkdir()
    told = json.loads(typed("headrace new sub/pipe_line --format json", tmp_path).stdout)
    assert told["name"] == "pipe_line"
    assert told["folder"] == "sub/pipe_line"
    assert set(told["files"]) == {path.name for path in (tmp_path / "sub" / "pipe_line").iterdir()}
    assert (
        typed(told["next"].removesuffix(" && headrace run") + " && headrace check", tmp_path).returncode == 0
    )


def test_an_empty_folder_is_filled(invoke: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert invoke("new", "demo").exit_code == 0
    assert (tmp_path / "demo" / "demo.yaml").is_file()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-demo", "as in 'my_demo'"),
        ("1st", "as in 'my_1st'"),
        ("käse", "as in 'k_se'"),
        ("..", "as in 'my'"),
        ("a b", "as in 'a_b'"),
        ("demo.yaml", "as in 'demo_yaml'"),
        ("class", "'class' is a word of Python: choose another, such as 'my_class'"),
        ("test", "'test' is a module of Python itself, which test.py would hide"),
        ("json", "is a module of Python itself"),
        ("conftest", "a name with a meaning to Python or pytest"),
        ("headrace", "is an installed package"),
        ("yaml", "is an installed package"),
        ("msgspec", "choose another, such as 'my_msgspec'"),
        ("no/where/demo", "there is no folder no/where: make it first"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_a_better_one(name: str, says: str, tmp_path: Path) -> None:
    done = typed(f"headrace new '{name}'", tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_namespace_package_counts_as_taken(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "spaced").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert "is an installed package" in str(invoke("new", "spaced").exception)


def test_a_module_that_says_nothing_of_itself_is_no_obstacle(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    monkeypatch.setitem(sys.modules, "made_by_hand", types.ModuleType("made_by_hand"))
    assert invoke("new", "made_by_hand").exit_code == 0


def test_a_module_of_this_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text("", encoding="utf-8")
    assert typed("python -m headrace new demo", tmp_path).returncode == 0


@pytest.mark.parametrize("kind", ["full", "file", "link"])
def test_what_is_there_already_is_left_alone(
    kind: str, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    path = tmp_path / "demo"
    if kind == "full":
        path.mkdir()
        (path / "mine").write_text("mine", encoding="utf-8")
    elif kind == "file":
        path.write_text("mine", encoding="utf-8")
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = sorted(str(one) for one in tmp_path.rglob("*"))
    result = invoke("new", "demo")
    assert isinstance(result.exception, NotMade)
    assert "is there already" in str(result.exception)
    assert sorted(str(one) for one in tmp_path.rglob("*")) == before


def test_nothing_is_left_of_what_could_not_be_made_whole(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        new_module, "_schema", lambda folder, blueprint: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    result = invoke("new", "demo")
    assert str(result.exception) == "demo cannot be made: No space"
    assert list(tmp_path.iterdir()) == []


def test_a_schema_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotMade, match=r"the schema of .* cannot be made: .*gone\.yaml"):
        new_module._schema(tmp_path, "gone.yaml")


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o555)
    drop = "setpriv --reuid=65534 --clear-groups " if os.geteuid() == 0 else ""
    code = f"import os; os.chdir({str(tmp_path / 'shut')!r})"
    done = subprocess.run(
        [
            *drop.split(),
            sys.executable,
            "-c",
            f"{code}\nfrom headrace.cli.main import main\nmain()",
            "new",
            "demo",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert list((tmp_path / "shut").iterdir()) == []


def test_no_template_is_left_with_a_gap() -> None:
    files = files_for("demo")
    assert not any("@" in name or "@name@" in text for name, (text, _) in files.items())
    assert all(about for _, about in files.values())
