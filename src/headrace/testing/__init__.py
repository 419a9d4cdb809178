"""What users test with: conformance suites for every seam."""

from __future__ import annotations

from .object_stream_checks import OBJECT_STREAM_FACTS, ObjectStreamCheckError, check_object_stream

__all__ = ["OBJECT_STREAM_FACTS", "ObjectStreamCheckError", "check_object_stream"]
