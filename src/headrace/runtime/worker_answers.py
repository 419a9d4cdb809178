"""How an outcome comes home from a worker process: outputs, or a copy of an error with its traceback as text."""

from __future__ import annotations

import pickle
import traceback

from headrace.exceptions import NotPicklableError, WorkerCodeError
from headrace.model.report import text_of

from .worker_frames import Part, pickled, unpickled
from .workers import Outcome


class WorkerTraceback(Exception):
    """The traceback of an error in its worker process, as the cause of the copy that came here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text}"


def encode(outcome: Outcome) -> bytes:
    """Return an outcome as bytes: the pickle of a list of outputs, or of a tuple that tells an error."""
    try:
        if outcome.error is None:
            return pickled(list(outcome.outputs), "an output")
    except NotPicklableError as error:
        return encode_error(error)
    return encode_error(outcome.error)


def encode_error(error: BaseException) -> bytes:
    """Return an error as bytes, its traceback as text with it; without itself where it cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    try:
        copy = pickle.dumps(error, protocol=5)
        if type(pickle.loads(copy)) is not type(error):
            copy = b""
    except Exception:
        copy = b""
    return pickle.dumps((copy, type(error).__name__, text_of(error), text), protocol=5)


def decode(part: Part) -> Outcome:
    """Return the outcome that ``encode`` was given."""
    try:
        value = unpickled(part, "an output")
    except NotPicklableError as error:
        return Outcome(error=error)
    if isinstance(value, list):
        return Outcome(value)
    copy = _copy_of(*value)
    return Outcome(error=copy if isinstance(copy, Exception) else WorkerCodeError(*value[1:3]))


def decode_error(part: Part) -> BaseException:
    """Return a copy of the error that ``encode_error`` was given; its cause is the traceback over there."""
    return _copy_of(*pickle.loads(part))


def _copy_of(copy: bytes, kind: str, reason: str, text: str) -> BaseException:
    error: BaseException
    try:
        error = pickle.loads(copy)
    except Exception:
        error = WorkerCodeError(kind, reason)
    error.__cause__ = WorkerTraceback(text)
    return error


__all__ = ["WorkerTraceback", "decode", "decode_error", "encode", "encode_error"]
