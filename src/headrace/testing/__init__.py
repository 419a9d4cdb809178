"""What users test with: a probe around one component, whole systems, conformance suites for every seam.

The names are loaded when they are first used, so that the pytest plug-in costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._fixtures import RunSystem
    from .component_probe import Fed, Probe, feed_all, probe
    from .edge_store_checks import EDGE_STORE_FACTS, EdgeStoreCheckError, check_edge_store
    from .live_system import LiveSystem
    from .object_stream_checks import OBJECT_STREAM_FACTS, ObjectStreamCheckError, check_object_stream
    from .system_opening import run_system

_HOMES = {
    "EDGE_STORE_FACTS": "edge_store_checks",
    "EdgeStoreCheckError": "edge_store_checks",
    "check_edge_store": "edge_store_checks",
    "OBJECT_STREAM_FACTS": "object_stream_checks",
    "Fed": "component_probe",
    "LiveSystem": "live_system",
    "ObjectStreamCheckError": "object_stream_checks",
    "Probe": "component_probe",
    "RunSystem": "_fixtures",
    "check_object_stream": "object_stream_checks",
    "feed_all": "component_probe",
    "probe": "component_probe",
    "run_system": "system_opening",
}

__all__ = [
    "EDGE_STORE_FACTS",
    "OBJECT_STREAM_FACTS",
    "EdgeStoreCheckError",
    "Fed",
    "LiveSystem",
    "ObjectStreamCheckError",
    "Probe",
    "RunSystem",
    "check_edge_store",
    "check_object_stream",
    "feed_all",
    "probe",
    "run_system",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headrace.testing' has no attribute {name!r}")
    value = getattr(import_module(f"headrace.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
