"""Ports are values, and a table of them says where it comes from without being another for it."""

from __future__ import annotations

from typing import Any

from headrace.model.port import Port, PortTable


def test_a_port_accepts_anything_unless_it_says_otherwise() -> None:
    assert Port("in") == Port("in", Any, False, "")


def test_where_a_table_was_read_does_not_make_it_another() -> None:
    ports = {"in": Port("in", int)}
    assert PortTable(ports, where="a.py:1") == PortTable(ports, where="b.py:2")
    assert PortTable(ports) != PortTable(None)
