"""The notebook: its cells are executed by a real kernel, and their outputs are what they promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "03-notebook" / "headrace.ipynb"

# In a process of its own: its event loop, its warnings and its kernel are none of the other tests' business.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
nbformat.write(notebook, sys.argv[2])
print("executed")
"""


class Kernels:
    """Executes notebooks with a kernel of this very interpreter, with nothing of the machine's Jupyter.

    Args:
        folder: Where its files go.
        environment: For the processes.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.said = ""

    def execute(self, notebook: Path) -> dict[str, Any]:
        """Execute a notebook, shut its kernel down, and return its code cells by their ids."""
        result = self.folder / "executed.ipynb"
        done = subprocess.run(
            [sys.executable, "-c", EXECUTE, str(notebook), str(result)],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.stdout == "executed\n", done.stderr
        self.said = done.stderr
        cells = nbformat.read(result, as_version=4).cells  # type: ignore[no-untyped-call]
        return {cell["id"]: cell for cell in cells if cell["cell_type"] == "code"}

    def execute_cells(self, *sources: str) -> list[Any]:
        """Execute cells after the one of the notebook that builds the system; returns them."""
        book = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
        new = nbformat.v4.new_code_cell
        first = next(cell for cell in book.cells if cell["id"] == "build")
        book.cells = [first, *(new(source) for source in sources)]  # type: ignore[no-untyped-call]
        path = self.folder / "cells.ipynb"
        nbformat.write(book, path)  # type: ignore[no-untyped-call]
        return list(self.execute(path).values())[1:]


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """Return what executes notebooks."""
    kernel = tmp_path / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    ours = {
        "JUPYTER_PATH": str(tmp_path / "share"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "0",
    }
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    return Kernels(tmp_path, dict(os.environ))


def shown(cell: Any, kind: str = "text/plain") -> str:
    """Return what the last expression of a cell showed."""
    return "".join(out["data"].get(kind, "") for out in cell["outputs"] if "data" in out)


def printed(cell: Any, stream: str = "stdout") -> str:
    """Return what a cell printed."""
    return "".join(out["text"] for out in cell["outputs"] if out.get("name") == stream)


def errors(cells: Any) -> Iterator[str]:
    """Yield the errors that cells ended with."""
    for cell in cells:
        for out in cell["outputs"]:
            if out["output_type"] == "error":
                yield f"{out['ename']}: {out['evalue']}"


def test_the_notebook_does_what_it_says(kernels: Kernels) -> None:
    cells = kernels.execute(NOTEBOOK)
    assert list(errors(cells.values())) == []
    assert all(printed(cell, "stderr") == "" for cell in cells.values())
    drawing = shown(cells["draw"], "text/html")
    assert "<svg" in drawing
    assert all(name in drawing for name in ("thermometer", "enrich", "keep", "frost"))
    assert "ready=True, live=True, state='running'" in shown(cells["start"])
    collected = shown(cells["collect"])
    assert collected.count("'celsius'") == collected.count("'fahrenheit'") == 5
    assert "thermometer.out -> enrich.in" in printed(cells["statistics"])
    assert printed(cells["stop"]) == "stopped lost 0\n"
    assert shown(cells["stop"]) == "True"
    assert shown(cells["again"]) == "3"
    assert "Traceback" not in kernels.said


def test_the_committed_notebook_has_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_one_cell_stops_what_another_started_in_another_task(kernels: Kernels) -> None:
    cells = kernels.execute_cells(
        "import asyncio\nstarter = asyncio.current_task()\nawait system.start()",
        "print(asyncio.current_task() is starter)\n(await system.stop()).outcome",
    )
    assert list(errors(cells)) == []
    assert printed(cells[1]) == "False\n"
    assert shown(cells[1]) == "'stopped'"


def test_a_cell_that_fails_leaves_the_system_running(kernels: Kernels) -> None:
    cells = kernels.execute_cells(
        "await system.start()",
        'raise ValueError("mine")',
        "await system.start()",
        'await system.collect("enrch.out")',
        "system.health().ready, len(await system.collect('enrich.out', n=2))",
        "(await system.stop()).outcome",
    )
    first, second, third = errors(cells)
    assert first == "ValueError: mine"
    assert second.startswith("HarnessAlreadyRunning: weather is running already; await stop() first")
    assert "did you mean 'enrich'" in third
    assert shown(cells[4]) == "(True, 2)"
    assert shown(cells[5]) == "'stopped'"


def test_a_system_that_fails_leaves_the_kernel_alone_and_health_says_why(kernels: Kernels) -> None:
    cells = kernels.execute_cells(
        """
@component(on_error="crash", attempts=1)
def keep(row: dict[str, float]) -> None:
    raise OSError("disk gone")

system.replace("keep", keep)
await system.start()
""",
        "try:\n    await system.wait()\nexcept Exception as error:\n    print(type(error).__name__)",
        "print(system.health().reason)",
    )
    assert list(errors(cells)) == []
    assert printed(cells[1]) == "SystemFailed\n"
    assert printed(cells[2]) == "keep failed in process: OSError disk gone\n"


def test_an_interrupted_cell_leaves_the_system_running(kernels: Kernels) -> None:
    cells = kernels.execute_cells(
        "await system.start()",
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nawait anyio.sleep(60)",
        "print(system.health().state)\n(await system.stop()).outcome",
    )
    assert len(list(errors(cells))) == 1
    assert printed(cells[2]) == "running\n"
    assert shown(cells[2]) == "'stopped'"


def test_the_kernel_shuts_down_quietly_with_the_system_still_running(kernels: Kernels) -> None:
    cells = kernels.execute_cells("await system.start()\nsystem.health().ready")
    assert shown(cells[0]) == "True"
    assert "Traceback" not in kernels.said
    assert "never retrieved" not in kernels.said
    assert "destroyed" not in kernels.said
