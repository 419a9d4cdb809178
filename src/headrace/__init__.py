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
    from headrace.authoring.handles import Accepts, Emits, FunctionHandle, SinkHandle, SourceHandle
    from headrace.authoring.harness_component import HarnessComponent
    from headrace.authoring.ports import In, Out
    from headrace.authoring.resource import Resource
    from headrace.exceptions import HeadraceError, InvalidStateTransition, SystemFailed
    from headrace.model.blueprint import field_key
    from headrace.model.component_status import ComponentState, ComponentStatus
    from headrace.model.message import Envelope, Meta, Rejected
    from headrace.model.options import Replicas
    from headrace.model.report import DeadLetter, ShutdownReport
    from headrace.model.restart_policy import Backoff, RestartPolicy
    from headrace.runtime.dead_letters import DeadLetters
    from headrace.runtime.health import SystemHealth
    from headrace.runtime.system_execution_harness import System, SystemExecutionHarness
    from headrace.runtime.wiring_warnings import find_warnings
    from headrace.streams.message_protocol import MessageProtocol
    from headrace.streams.stream_framework import BroadcastReport, StreamFramework, StreamFrameworkStatistics
    from headrace.streams.stream_manager import StreamInfo, StreamManager

__version__ = "0.1.0"

_HOMES = {
    "Accepts": "authoring.handles",
    "Backoff": "model.restart_policy",
    "BroadcastReport": "streams.stream_framework",
    "Component": "authoring.component",
    "ComponentLike": "authoring.component",
    "ComponentState": "model.component_status",
    "ComponentStatus": "model.component_status",
    "Context": "authoring.context",
    "DeadLetter": "model.report",
    "DeadLetters": "runtime.dead_letters",
    "Emits": "authoring.handles",
    "Envelope": "model.message",
    "FunctionHandle": "authoring.handles",
    "HarnessComponent": "authoring.harness_component",
    "HeadraceError": "exceptions",
    "In": "authoring.ports",
    "InvalidStateTransition": "exceptions",
    "MessageProtocol": "streams.message_protocol",
    "Meta": "model.message",
    "Out": "authoring.ports",
    "Rejected": "model.message",
    "Replicas": "model.options",
    "Resource": "authoring.resource",
    "RestartPolicy": "model.restart_policy",
    "ShutdownReport": "model.report",
    "SinkHandle": "authoring.handles",
    "SourceHandle": "authoring.handles",
    "StreamFramework": "streams.stream_framework",
    "StreamFrameworkStatistics": "streams.stream_framework",
    "StreamInfo": "streams.stream_manager",
    "StreamManager": "streams.stream_manager",
    "System": "runtime.system_execution_harness",
    "SystemExecutionHarness": "runtime.system_execution_harness",
    "SystemFailed": "exceptions",
    "SystemHealth": "runtime.health",
    "component": "authoring.function_component",
    "field_key": "model.blueprint",
    "find_warnings": "runtime.wiring_warnings",
}

__all__ = [
    "Accepts",
    "Backoff",
    "BroadcastReport",
    "Component",
    "ComponentLike",
    "ComponentState",
    "ComponentStatus",
    "Context",
    "DeadLetter",
    "DeadLetters",
    "Emits",
    "Envelope",
    "FunctionHandle",
    "HarnessComponent",
    "HeadraceError",
    "In",
    "InvalidStateTransition",
    "MessageProtocol",
    "Meta",
    "Out",
    "Rejected",
    "Replicas",
    "Resource",
    "RestartPolicy",
    "ShutdownReport",
    "SinkHandle",
    "SourceHandle",
    "StreamFramework",
    "StreamFrameworkStatistics",
    "StreamInfo",
    "StreamManager",
    "System",
    "SystemExecutionHarness",
    "SystemFailed",
    "SystemHealth",
    "component",
    "field_key",
    "find_warnings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    value = getattr(import_module(f"headrace.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
