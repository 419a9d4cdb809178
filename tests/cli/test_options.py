"""TARGET, -f and --allow: what is named first, what changes it, and what is meant where nothing is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import UsageError
from click.testing import CliRunner

from headrace.cli.main import cli
from headrace.cli.target import load_target

BASE = "system: base\ncomponents: {rows: {type: csv_source, config: {path: a.csv}}, show: {type: console_sink}}\n"
LINK = "connections: [rows -> show]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a base and two files that change it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "link.yaml").write_text(LINK)
    (tmp_path / "prod.yaml").write_text("defaults: {buffer_size: 7}\n")
    return tmp_path


def check(*arguments: str) -> tuple[int, str]:
    """Run ``headrace check``; return its exit code and what it says."""
    result = CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value), result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["base.yaml", "-f", "link.yaml", "-f", "prod.yaml"],
        ["-f", "base.yaml", "-f", "link.yaml", "-f", "prod.yaml"],
        ["-f", "link.yaml", "base.yaml"],
        ["--file", "link.yaml"],
    ],
)
def test_the_target_comes_first_and_each_file_changes_those_before_it(arguments: list[str]) -> None:
    if "base.yaml" not in arguments:
        arguments = ["base.yaml", *arguments]
    assert check(*arguments) == (0, "base.yaml: ok, 2 components, 1 connection\n")


def test_a_file_that_is_not_there_is_told_whichever_it_is() -> None:
    code, output = check("base.yaml", "-f", "pord.yaml")
    assert code == 2
    assert "pord.yaml:1:1: error E100 there is no such file, did you mean 'prod.yaml'?" in output


def test_the_only_blueprint_of_the_folder_is_meant_where_none_is_named(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE + LINK)
    assert check()[1].startswith("base.yaml: ok")
    (folder / "base.yaml").unlink()
    with pytest.raises(UsageError, match="no TARGET was named"):
        check()


def test_a_mistake_is_told_in_the_file_in_which_it_stands(folder: Path) -> None:
    (folder / "prod.yaml").write_text("components:\n  rows: {config: {pth: x}}\n")
    code, output = check("base.yaml", "-f", "link.yaml", "-f", "prod.yaml")
    assert code == 2
    assert "prod.yaml:2:19: error E230 unknown setting 'pth'" in output


def test_a_loaded_target_has_its_blueprint_and_hides_its_secrets(folder: Path) -> None:
    (folder / "pw").write_text("hunter2")
    (folder / "prod.yaml").write_text('components:\n  rows: {config: {path: "${file:pw}"}}\n')
    loaded = load_target("base.yaml", files=["link.yaml", "prod.yaml"])
    assert loaded.blueprint is not None
    assert loaded.blueprint.name == "base"
    assert loaded.hide("path hunter2") == "path <secret>"


def test_a_python_program_is_not_changed_by_files(folder: Path) -> None:
    with pytest.raises(UsageError, match="-f changes a blueprint, and app:system is a Python program"):
        load_target("app:system", files=["prod.yaml"])


def test_a_run_shows_no_secret(folder: Path) -> None:
    (folder / "pw").write_text("hunter2/none.csv")
    (folder / "prod.yaml").write_text('components:\n  rows: {config: {path: "${file:pw}"}}\n')
    arguments = ["run", "base.yaml", "-f", "link.yaml", "-f", "prod.yaml"]
    for more in ([], ["--debug"], ["--format", "json"], ["--log-format", "json"], ["--quiet"]):
        result = CliRunner().invoke(cli, [*arguments, *more], standalone_mode=False)
        assert result.return_value == 1
        assert "hunter2" not in result.output + result.stderr
    result = CliRunner().invoke(cli, ["graph", *arguments[1:], "--format", "json"], standalone_mode=False)
    assert "hunter2" not in result.output


def test_a_mistake_with_a_secret_is_json_without_it(folder: Path) -> None:
    (folder / "pw").write_text("hunter2")
    (folder / "prod.yaml").write_text('defaults: {buffer_size: "${file:pw}"}\n')
    code, output = check("base.yaml", "-f", "prod.yaml", "--format", "json")
    assert code == 2
    assert '"E116"' in output
    assert "hunter2" not in output
