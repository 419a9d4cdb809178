"""headrace: a system of components, run as one structured program.

The public names; each is loaded when it is first used, so that ``headrace --help`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.authoring.component import Component, ComponentLike
    from headrace.authoring.context import Context
    from headrace.authoring.function_component import component
    from headrace.authoring.harness_component import HarnessComponent
    from headrace.authoring.ports import In, Out
    from headrace.exceptions import HeadraceError, InvalidStateTransition, SystemFailed
    from headrace.model.component_status import ComponentState, ComponentStatus
    from headrace.model.message import Envelope, Rejected
    from headrace.model.report import DeadLetter, ShutdownReport
    from headrace.runtime.system_execution_harness import System, SystemExecutionHarness
    from headrace.streams.message_protocol import MessageProtocol
    from headrace.streams.stream_framework import BroadcastReport, StreamFramework, StreamFrameworkStatistics
    from headrace.streams.stream_manager import StreamInfo, StreamManager

__version__ = "0.1.0"

_HOMES = {
    "BroadcastReport": "streams.stream_framework",
    "Component": "authoring.component",
    "ComponentLike": "authoring.component",
    "ComponentState": "model.component_status",
    "ComponentStatus": "model.component_status",
    "Context": "authoring.context",
    "DeadLetter": "model.report",
    "Envelope": "model.message",
    "HarnessComponent": "authoring.harness_component",
    "HeadraceError": "exceptions",
    "In": "authoring.ports",
    "InvalidStateTransition": "exceptions",
    "MessageProtocol": "streams.message_protocol",
    "Out": "authoring.ports",
    "Rejected": "model.message",
    "ShutdownReport": "model.report",
    "StreamFramework": "streams.stream_framework",
    "StreamFrameworkStatistics": "streams.stream_framework",
    "StreamInfo": "streams.stream_manager",
    "StreamManager": "streams.stream_manager",
    "System": "runtime.system_execution_harness",
    "SystemExecutionHarness": "runtime.system_execution_harness",
    "SystemFailed": "exceptions",
    "component": "authoring.function_component",
}

__all__ = [
    "BroadcastReport",
    "Component",
    "ComponentLike",
    "ComponentState",
    "ComponentStatus",
    "Context",
    "DeadLetter",
    "Envelope",
    "HarnessComponent",
    "HeadraceError",
    "In",
    "InvalidStateTransition",
    "MessageProtocol",
    "Out",
    "Rejected",
    "ShutdownReport",
    "StreamFramework",
    "StreamFrameworkStatistics",
    "StreamInfo",
    "StreamManager",
    "System",
    "SystemExecutionHarness",
    "SystemFailed",
    "component",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    value = getattr(import_module(f"headrace.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
