"""The reference pages say what the code says."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import headrace
from headrace import exceptions
from headrace.model import blueprint_keys
from headrace.model.blueprint import CODES
from headrace.model.ledger import EdgeLedger, SystemLedger, Totals
from headrace.model.options import Attempts, EdgeOptions, OutputOptions, Timeouts, Watching
from headrace.model.report import DeadLetter, Failure, Overrun, ShutdownReport
from headrace.model.restart_policy import NEVER, RestartPolicy

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
_ROW = re.compile(r"^\| (.*?) \| (.*?) \|", re.MULTILINE)
_NAME = re.compile(r"`(\w+)`")


def page(name: str) -> str:
    """Return the text of a reference page."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def rows(name: str) -> dict[str, str]:
    """Return the first two columns of a page's table rows."""
    return dict(_ROW.findall(page(name)))


@pytest.fixture(scope="module")
def make_api() -> ModuleType:
    """Return docs/make_api.py as a module."""
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api.md", "components.md", "errors.md"])
def test_a_generated_page_is_up_to_date(make_api: ModuleType, name: str) -> None:
    assert page(name) == make_api.PAGES[name](), "run: python docs/make_api.py"


def test_every_public_name_is_there_with_the_first_line_of_its_docstring() -> None:
    found = rows("api.md")
    for name in headrace.__all__:
        first = (inspect.getdoc(getattr(headrace, name)) or "").splitlines()[0]
        assert found[f"`{name}`"].replace("`", "") == first.replace("`", "")


def test_every_code_that_check_can_print_is_there() -> None:
    classes = [getattr(exceptions, name) for name in exceptions.__all__]
    codes = {cls.code for cls in classes if hasattr(cls, "code")} | set(CODES)
    assert codes <= {code.strip("`") for code in rows("errors.md")}


def test_every_code_that_the_source_prints_is_in_the_table() -> None:
    used: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        used |= set(re.findall(r'"([EW]\d{3})"', path.read_text(encoding="utf-8")))
    assert used <= set(CODES)


def test_every_error_class_is_there() -> None:
    text = page("errors.md")
    assert [name for name in exceptions.__all__ if f"`{name}`" not in text] == []


def test_every_key_of_a_blueprint_is_there_and_no_other() -> None:
    keys = blueprint_keys
    tables = (keys.BLUEPRINT, keys.COMPONENT, keys.RESOURCE, keys.CONNECTION, keys.DEFAULTS, keys.OUTPUT)
    tables = (*tables, keys.RESTART, keys.BACKOFF)
    known = {name for table in tables for name in table.known}
    table = page("blueprint.md").partition("| key | where |")[2]
    written = {name for first, _ in _ROW.findall(table) for name in _NAME.findall(first)}
    assert written == known


def test_the_defaults_are_those_of_the_code() -> None:
    timeouts, attempts, edge = Timeouts(), Attempts(), EdgeOptions()
    restart = RestartPolicy()
    of_system = inspect.signature(headrace.System).parameters
    expected: dict[str, object] = {
        "buffer_size": edge.buffer_size,
        "when_full": edge.when_full,
        "copy": str(edge.copy).lower(),
        "fan_out": OutputOptions().fan_out,
        "replicas": inspect.signature(headrace.System.add).parameters["replicas"].default,
        "attempts": attempts.attempts,
        "on_error": attempts.on_error,
        "backoff": attempts.backoff,
        "concurrency": attempts.concurrency,
        "ordered": str(attempts.ordered).lower(),
        "fuse": str(attempts.fuse).lower(),
        "run_in": attempts.run_in,
        "setup_timeout": f"{timeouts.setup:g}",
        "cleanup_timeout": f"{timeouts.cleanup:g}",
        "shutdown_timeout": f"{timeouts.shutdown:g}",
        "source_grace": f"{timeouts.source_grace:g}",
        "restart": NEVER.when,
        "max_restarts": restart.max_restarts,
        "within": f"{restart.within:g}",
        "first": restart.backoff.first,
        "longest": f"{restart.backoff.longest:g}",
        "jitter": restart.backoff.jitter,
        "strategy": of_system["strategy"].default,
        "dead_letter_limit": of_system["dead_letter_limit"].default,
        "stall_after": f"{Watching().stall_after:g}",
        "blocked_after": f"{Watching().blocked_after:g}",
    }
    found = {key.strip("`"): value for key, value in rows("defaults.md").items() if key.startswith("`")}
    assert found == {key: str(value) for key, value in expected.items()}


def test_the_system_and_the_options_agree_on_their_defaults() -> None:
    of_system = inspect.signature(headrace.System).parameters
    of_component = inspect.signature(headrace.component).parameters
    for name in ("setup", "cleanup", "shutdown"):
        assert of_system[f"{name}_timeout"].default == getattr(Timeouts(), name)
    assert of_system["source_grace"].default == Timeouts().source_grace
    assert of_system["fuse"].default is Attempts().fuse
    for name in ("stall_after", "blocked_after"):
        assert of_system[name].default == getattr(Watching(), name)
    for name in ("attempts", "on_error", "backoff", "concurrency", "ordered", "fuse"):
        assert of_component[name].default == getattr(Attempts(), name)


def report(**changes: Any) -> ShutdownReport:
    """Return a report of a good end, with changes."""
    books = SystemLedger((), {}, Totals(0, 0, 0, 0, 0))
    good: dict[str, Any] = {"outcome": "finished", "signal": None, "failures": (), "overruns": ()}
    good |= {"ledger": books, "dead_letters": (), "system": "s", "seconds": 0.0, "drain_seconds": 0.0}
    return ShutdownReport(**(good | changes))


def test_the_exit_codes_are_those_of_a_report() -> None:
    left = SystemLedger((EdgeLedger("a.out -> b.in", accepted=1, buffered=1),), {}, Totals(1, 0, 0, 0, 1))
    letter = DeadLetter(1, "a", "", None, ValueError(), "", 1, 0.0)
    codes = {
        0: report(),
        1: report(failures=(Failure("a", "process", ValueError()),)),
        3: report(ledger=left),
        4: report(dead_letters=(letter,)),
        5: report(overruns=(Overrun("a", "process", 1.0, "x"),)),
        130: report(signal=2),
        143: report(signal=15),
    }
    assert {code: one.exit_code() for code, one in codes.items()} == {code: code for code in codes}
    assert report(dead_letters=(letter,)).exit_code(allow_dead=True) == 0
    documented = {int(key) for key in rows("exit-codes.md") if key.isdigit()}
    assert documented == {*codes, 2, 141}


def test_the_exit_code_that_wins_is_the_one_the_page_says() -> None:
    everything = {
        "failures": (Failure("a", "process", ValueError()),),
        "signal": 2,
        "overruns": (Overrun("a", "process", 1.0, "x"),),
        "ledger": SystemLedger((EdgeLedger("e", accepted=1),), {}, Totals(1, 0, 0, 0, 0)),
        "dead_letters": (DeadLetter(1, "a", "", None, ValueError(), "", 1, 0.0),),
    }
    order = "a failure comes first, then a signal, then an overrun, then the ledger, then dead letters"
    assert order in page("exit-codes.md")
    for code in (1, 130, 5, 3, 4):
        assert report(**everything).exit_code() == code
        everything.pop(next(iter(everything)))
    assert report(**everything).exit_code() == 0
