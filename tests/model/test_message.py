"""The message values: frozen, comparable, and typed."""

from __future__ import annotations

import pytest

from headrace.model.message import Envelope, Rejected


def test_an_envelope_has_no_headers_unless_given() -> None:
    envelope = Envelope({"a": 1}, "dict", "id-1", 12.5, 1)
    assert envelope.headers == {}
    assert envelope == Envelope({"a": 1}, "dict", "id-1", 12.5, 1, {})


def test_two_envelopes_do_not_share_their_headers() -> None:
    assert Envelope(1, "int", "a", 0.0, 1).headers is not Envelope(2, "int", "b", 0.0, 1).headers


def test_an_envelope_is_frozen() -> None:
    envelope = Envelope(1, "int", "id-1", 0.0, 1)
    with pytest.raises(AttributeError):
        envelope.message = 2  # type: ignore[misc]


def test_a_rejected_message_carries_its_reason_and_is_frozen() -> None:
    rejected: Rejected[bytes] = Rejected(b"x,y", "not a number")
    assert (rejected.message, rejected.reason) == (b"x,y", "not a number")
    with pytest.raises(AttributeError):
        rejected.reason = "other"  # type: ignore[misc]


def test_rejected_can_be_parametrised_for_a_port() -> None:
    assert Rejected[bytes].__origin__ is Rejected  # type: ignore[attr-defined]
