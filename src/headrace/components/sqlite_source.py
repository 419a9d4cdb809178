"""``sqlite_source``: the rows of a query to an SQLite database, once, again and again, or as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.exceptions import ConfigError

from .connection import Connection
from .query_source import Query, QuerySource
from .times import Duration


class SqliteSource(QuerySource):
    """Sends each row of a query as a ``dict``.

    With ``growing_column`` it sends the rows whose value there is above the last one; with ``poll_every`` it asks
    again and again, and never ends by itself. A database that is locked for too long makes the component not
    ready, and is tried again.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an SQLite source.

        Attributes:
            path: The database; it is not written.
            query: The query; ``:name`` stands for a parameter.
            parameters: The parameters by name.
            growing_column: The column of the result that only grows: a number, a text or a time.
            poll_every: After how long the query is asked again, in seconds or as ``5s``; never where not given.
            position_file: Keeps the value of ``growing_column`` up to which everything was acknowledged; the next
                run goes on there.
            batch_size: How many rows are read at once.
            busy_timeout: Seconds to wait while another connection keeps readers out.
        """

        path: str
        query: str
        parameters: dict[str, Any] = {}
        growing_column: str = ""
        poll_every: Duration | None = None
        position_file: str = ""
        batch_size: int = 1000
        busy_timeout: float = 30.0

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if not self.config.path:
            raise ConfigError("path is empty", hint="name the database", field="path")

    def _make_query(self) -> tuple[Query, Connection]:
        from headrace.edges.sqlite_queries import SqliteQuery

        settings = self.config
        query = SqliteQuery(
            settings.path,
            settings.query,
            settings.parameters,
            settings.growing_column,
            busy_timeout=settings.busy_timeout,
        )
        return query, Connection(query.what)


__all__ = ["SqliteSource"]
