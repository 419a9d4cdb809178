"""The standard components; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accumulate import Accumulate
    from .aggregate import Aggregate
    from .commands import CommandSink, CommandSource, CommandTransform
    from .console_sink import ConsoleSink
    from .csv_source import CsvSource
    from .dedupe import Dedupe
    from .file_sink import FileSink
    from .folder_source import FolderSource
    from .gateway import GatewayReplies, GatewayRequests
    from .http_poll import HttpPoll
    from .http_post import HttpPost
    from .http_webhook import HttpWebhook
    from .join import Join
    from .line_sources import JsonlSource, LinesSource
    from .merge import Merge
    from .mqtt import MqttSink, MqttSource
    from .nats import NatsSink, NatsSource
    from .pacing import Debounce, RateLimit, Sample, Throttle
    from .parquet_sink import ParquetSink
    from .parquet_source import ParquetSource
    from .parsing import Format, Parse
    from .postgres_sink import PostgresSink
    from .postgres_source import PostgresSource
    from .retry import Retry
    from .schedule import CronSource, TimerSource
    from .shaping import Batch, FlatMap, Route
    from .sqlite_sink import SqliteSink
    from .sqlite_source import SqliteSource
    from .system_metrics import SystemMetrics
    from .transforms import Filter, Map
    from .validate import Validate
    from .websocket_sink import WebSocketSink
    from .websocket_source import WebSocketSource
    from .window import Window
    from .window_join import WindowJoin

_HOMES = {
    "Accumulate": "accumulate",
    "Aggregate": "aggregate",
    "Batch": "shaping",
    "CommandSink": "commands",
    "CommandSource": "commands",
    "CommandTransform": "commands",
    "ConsoleSink": "console_sink",
    "CronSource": "schedule",
    "CsvSource": "csv_source",
    "Debounce": "pacing",
    "Dedupe": "dedupe",
    "FileSink": "file_sink",
    "Filter": "transforms",
    "FlatMap": "shaping",
    "FolderSource": "folder_source",
    "Format": "parsing",
    "GatewayReplies": "gateway",
    "GatewayRequests": "gateway",
    "HttpPoll": "http_poll",
    "HttpPost": "http_post",
    "HttpWebhook": "http_webhook",
    "Join": "join",
    "JsonlSource": "line_sources",
    "LinesSource": "line_sources",
    "Map": "transforms",
    "Merge": "merge",
    "MqttSink": "mqtt",
    "MqttSource": "mqtt",
    "NatsSink": "nats",
    "NatsSource": "nats",
    "ParquetSink": "parquet_sink",
    "ParquetSource": "parquet_source",
    "Parse": "parsing",
    "PostgresSink": "postgres_sink",
    "PostgresSource": "postgres_source",
    "RateLimit": "pacing",
    "Retry": "retry",
    "Route": "shaping",
    "Sample": "pacing",
    "SqliteSink": "sqlite_sink",
    "SqliteSource": "sqlite_source",
    "SystemMetrics": "system_metrics",
    "Throttle": "pacing",
    "TimerSource": "schedule",
    "Validate": "validate",
    "WebSocketSink": "websocket_sink",
    "WebSocketSource": "websocket_source",
    "Window": "window",
    "WindowJoin": "window_join",
}

__all__ = [
    "Accumulate",
    "Aggregate",
    "Batch",
    "CommandSink",
    "CommandSource",
    "CommandTransform",
    "ConsoleSink",
    "CronSource",
    "CsvSource",
    "Debounce",
    "Dedupe",
    "FileSink",
    "Filter",
    "FlatMap",
    "FolderSource",
    "Format",
    "GatewayReplies",
    "GatewayRequests",
    "HttpPoll",
    "HttpPost",
    "HttpWebhook",
    "Join",
    "JsonlSource",
    "LinesSource",
    "Map",
    "Merge",
    "MqttSink",
    "MqttSource",
    "NatsSink",
    "NatsSource",
    "ParquetSink",
    "ParquetSource",
    "Parse",
    "PostgresSink",
    "PostgresSource",
    "RateLimit",
    "Retry",
    "Route",
    "Sample",
    "SqliteSink",
    "SqliteSource",
    "SystemMetrics",
    "Throttle",
    "TimerSource",
    "Validate",
    "WebSocketSink",
    "WebSocketSource",
    "Window",
    "WindowJoin",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
