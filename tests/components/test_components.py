"""The package ``headrace.components``: its names, and what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import headrace.components as components
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import ports_of


def test_every_name_is_a_component_and_an_installed_type() -> None:
    installed = {point.load() for point in entry_points(group="headrace.components")}
    for name in components.__all__:
        cls = getattr(components, name)
        assert issubclass(cls, HarnessComponent)
        assert cls in installed
        assert name in dir(components)
        assert ports_of(cls).inputs is not None or ports_of(cls).outputs is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="CsvSink"):
        _ = components.CsvSink  # type: ignore[attr-defined]


def test_importing_the_package_and_the_sink_loads_no_database() -> None:
    code = (
        "import sys; from headrace.components import SqliteSink, ConsoleSink; "
        "sys.exit('sqlite3' in sys.modules or 'headrace.components.csv_source' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}  # it loads sqlite3
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, env=environment)
    assert done.returncode == 0
