"""PostgreSQL through psycopg: a connection that is told from a broken one, a table, a query. Everything blocks."""

from .connection import PostgresConnection
from .query import PostgresQuery
from .table import PostgresTable, type_of

__all__ = ["PostgresConnection", "PostgresQuery", "PostgresTable", "type_of"]
