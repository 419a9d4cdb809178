"""The dispatcher of the long proofs, and the CI script that runs everything."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def proofs(tmp_path: Path) -> Path:
    """Return a checkout with the dispatcher and one toy proof."""
    (tmp_path / "proofs").mkdir()
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(ROOT / "proofs" / name, tmp_path / "proofs")
    toy = '"""Prove a toy."""\ndef main(argv):\n    print("proved", *argv)\n    return 5\n'
    (tmp_path / "proofs" / "toy_proof.py").write_text(toy)
    return tmp_path


def prove(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the dispatcher of the proofs in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "proofs", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_proof_gets_its_arguments_and_gives_its_exit_code(proofs: Path) -> None:
    done = prove(proofs, "toy_proof", "--cycles", "3")
    assert (done.returncode, done.stdout) == (5, "proved --cycles 3\n")


def test_a_proof_with_log_keeps_its_raw_output_under_a_header(proofs: Path) -> None:
    done = prove(proofs, "--log", "toy_proof", "3")
    assert (done.returncode, done.stdout) == (5, "proved 3\n")
    log = (proofs / "docs" / "proofs" / "toy_proof.txt").read_text()
    assert [line.partition(":")[0] for line in log.splitlines()[:4]] == [
        "commit",
        "python",
        "machine",
        "command",
    ]
    assert "\n\nproved 3\nexit 5 after " in log


def test_a_missing_or_unknown_proof_lists_them_and_says_what_was_meant(proofs: Path) -> None:
    assert "toy_proof  Prove a toy." in prove(proofs).stderr
    done = prove(proofs, "toy_prof")
    assert done.returncode == 2
    assert "did you mean 'toy_proof'?" in done.stderr
    assert prove(proofs, "--help").returncode == 0


def test_every_proof_says_what_it_proves_and_has_a_main() -> None:
    for path in (ROOT / "proofs").glob("[!_]*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        assert any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body), path


def test_the_ci_script_can_run_and_calls_the_readmes_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert all(f"bootstrap.py {command}" in text for command in ("test", "check", "demo", "evidence"))
