"""``postgres_source``: the rows of a query to PostgreSQL, once, again and again, or as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.secret import Secret

from .connection import Connection
from .query_source import Query, QuerySource
from .times import Duration


class PostgresSource(QuerySource):
    """Sends each row of a query as a ``dict``.

    With ``growing_column`` it sends the rows whose value there is above the last one; with ``poll_every`` it asks
    again and again, and never ends by itself. While the server is away the component is not ready, and tries
    again: along a growing column it goes on where it was, any other query begins anew.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package psycopg is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a PostgreSQL source.

        Attributes:
            url: ``postgresql://user@host:port/database``, or ``host=... dbname=...`` as libpq takes it; it is not
                shown, because it may have a password.
            password: The password; where it is empty libpq looks at ``PGPASSWORD`` and ``~/.pgpass``.
            query: The query; where there are parameters, ``%(name)s`` stands for one and ``%%`` for a per cent.
            parameters: The parameters by name.
            growing_column: The column of the result that only grows: a number, a text or a time.
            poll_every: After how long the query is asked again, in seconds or as ``5s``; never where not given.
            position_file: Keeps the value of ``growing_column`` up to which everything was acknowledged; the next
                run goes on there.
            batch_size: How many rows are read at once.
            connect_timeout: Seconds to connect in.
        """

        url: Secret
        password: Secret = Secret("")
        query: str
        parameters: dict[str, Any] = {}
        growing_column: str = ""
        poll_every: Duration | None = None
        position_file: str = ""
        batch_size: int = 1000
        connect_timeout: float = 5.0

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if not 0 < self.config.connect_timeout < float("inf"):
            raise ConfigError("connect_timeout must be positive", field="connect_timeout")

    def _make_query(self) -> tuple[Query, Connection]:
        try:
            from headrace.edges.postgres import PostgresConnection, PostgresQuery
        except ImportError:
            raise MissingExtraError("postgres_source", "postgres") from None
        settings = self.config
        connection = PostgresConnection(
            settings.url, settings.password, connect_timeout=settings.connect_timeout
        )
        query = PostgresQuery(connection, settings.query, settings.parameters, settings.growing_column)
        return query, Connection(connection.what)


__all__ = ["PostgresSource"]
