"""Every error headrace raises, in one tree, so that one ``except HeadraceError`` catches them all.

::

    HeadraceError
    ├── ComponentError                    one component, named
    │   ├── InvalidStateTransition        a move the state machine does not have
    │   ├── SetupFailed                   its set-up raised or overran
    │   ├── CleanupFailed                 its clean-up raised or overran
    │   ├── UnavailableError              what it needs is gone; none of its messages is to blame
    │   ├── ProgramError                  the program that it runs failed, or ended too early
    │   └── WorkerError                   its worker: ``run_in: thread`` or ``process``
    │       ├── WorkerStartFailed         a worker process cannot get ready
    │       ├── WorkerDied                a worker process ended at work
    │       ├── WorkerAbandoned           given up while it worked
    │       ├── WorkerNotOpen             used before it was opened or after it was closed
    │       └── WorkerCodeError           stands for an error that cannot leave the worker process
    ├── WiringError                       the graph is wrong; raised before anything runs
    │   ├── ComponentAlreadyRegistered
    │   ├── NotAComponentError
    │   ├── InvalidEndpointError          not "component.port"
    │   ├── UnknownComponentError
    │   ├── UnknownPortError
    │   │   └── UnknownPortAttributeError (AttributeError) an attribute of a handle that is no port
    │   ├── PortTypeError                 what is sent does not fit what is accepted
    │   ├── DuplicateConnectionError
    │   ├── UnconnectedPortError          a required port with no stream
    │   ├── ResourceAlreadyRegistered
    │   ├── UnknownResourceError          a component asks for a resource that nobody registered
    │   ├── ResourceTypeError             what a resource is does not fit what is asked for
    │   ├── ComponentTypeError            a component type that cannot be found or imported
    │   └── ConfigError                   a component's or an edge's settings
    ├── HarnessError
    │   ├── HarnessAlreadyRunning
    │   ├── HarnessNotRunning
    │   ├── ComponentEndedError           pause() of a component that has ended
    │   ├── HarnessForkedError            started before a fork, used in the child
    │   ├── ResourceError                 a resource does not open, stay open or close
    │   └── SystemFailed                  what run() raises; the first error is its __cause__
    ├── StreamError
    │   ├── EdgeFullError                 (anyio.WouldBlock) when_full: error
    │   ├── InputEndedError               (anyio.EndOfStream) every sender has ended
    │   ├── NotInHandError                (ValueError) an ack or nack of a message that is not in hand
    │   ├── NackedError                   the error of a dead letter that was given back once too often
    │   └── ReaderEndedError              (anyio.BrokenResourceError) every reader has ended
    ├── MessageError                      the wire
    │   ├── SerializationError            names the place in the message
    │   │   ├── CyclicMessageError
    │   │   ├── MessageTooDeepError
    │   │   ├── NotPicklableError         cannot go to a worker process, or come back
    │   │   ├── UnregisteredTypeError
    │   │   └── InvalidMessageError       a registered type refuses its own value
    │   ├── DeserializationError          names the place in the message
    │   │   ├── MalformedMessageError     not what ``serialize`` writes
    │   │   │   ├── NotJsonError
    │   │   │   └── NotAnEnvelopeError    JSON, but not our envelope
    │   │   ├── TruncatedMessageError
    │   │   ├── PayloadTooDeepError
    │   │   ├── InvalidPayloadError       a registered type refuses what was received
    │   │   ├── UnknownTypeError          names a type that is not registered here
    │   │   └── SchemaVersionError
    │   ├── MessageTooLargeError
    │   ├── CannotRegisterError           a type that needs ``encode=`` and ``decode=``
    │   │   └── TypeAlreadyRegistered
    │   ├── UnknownGroupError             no such group, or no such member of it
    │   ├── GroupConflictError            the name of a group or a member is taken
    │   ├── RequestFailedError            the other side's handler raised
    │   ├── RequestRefusedError           a gateway takes no more requests, now or at all
    │   └── RequestTimeoutError           no reply came in time
    ├── ProbeError                        (AssertionError) a test of a system cannot go on
    │   ├── NoMessageError                none came, and none will
    │   ├── PortEndedError                nothing can go through a port any more
    │   └── UnsettledError                something is still at work after the time-out
    ├── RowError                          one bad record of an input; goes to ``rejected``
    ├── InputFileError                    an input file that cannot be read on, with its place
    ├── MissingExtraError                 an optional dependency is not installed
    ├── NotSerializableSystemError        a system that cannot be written as a blueprint
    └── BlueprintError                    all problems of a blueprint at once
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from headrace.model.blueprint import Problem
    from headrace.model.report import ShutdownReport


class HeadraceError(Exception):
    """The base of every error of this library."""


# --- components ------------------------------------------------------------------------------


class ComponentError(HeadraceError):
    """Something is wrong with one component; ``component`` names it where the name is known."""

    def __init__(self, message: str, *, component: str = "") -> None:
        super().__init__(message)
        self.component = component


class InvalidStateTransition(ComponentError):
    """Raised by ``ComponentStatus.transition_to`` for a move the table does not have.

    Do one of the moves in ``legal`` instead; the state has not changed.
    """

    def __init__(self, current: str, requested: str, legal: Iterable[str], *, component: str = "") -> None:
        self.current = current
        self.requested = requested
        self.legal = tuple(legal)
        who = f"{component}: " if component else ""
        moves = ", ".join(self.legal) or "none"
        super().__init__(
            f"{who}cannot go from {current!r} to {requested!r}; legal from {current!r}: {moves}",
            component=component,
        )


class SetupFailed(ComponentError):
    """Raised (as the cause of ``SystemFailed``) when a component's set-up raised or overran its time-out."""


class CleanupFailed(ComponentError):
    """Recorded when a component's clean-up raised or overran its time-out; the other clean-ups still ran."""


class UnavailableError(ComponentError):
    """Raise it where what a component needs is gone: a disk, a database, a service; no message is to blame.

    After a restart the messages in hand come again without one more attempt, however often that happens, until the
    restarts are used up.
    """


class ProgramError(ComponentError):
    """Raised when a program that a component runs fails, ends before its time, or breaks the agreed order of lines.

    The message has what the program said last on stderr. ``program`` names it; ``exit_code`` is its exit code (-9
    for signal 9), None where it had not ended by itself.
    """

    def __init__(
        self, message: str, *, component: str = "", program: str = "", exit_code: int | None = None
    ) -> None:
        super().__init__(message, component=component)
        self.program = program
        self.exit_code = exit_code


class WorkerError(ComponentError):
    """Something about the thread or the process that a component's function runs in."""


class WorkerStartFailed(WorkerError):
    """Raised when a worker process cannot get ready: it cannot import the function, or it ends before that.

    The message holds what the process said; what is printed while it imports is on stderr.
    """


class WorkerDied(WorkerError):
    """Raised for a batch whose worker process ended: killed, crashed, out of memory, or ``sys.exit``.

    Nothing of the batch came back, so nothing of it is done. Close the workers and open them anew.

    ``pid`` and ``exit_code`` (-9 for signal 9, None where it is unknown) are those of the process; ``index`` is
    the place in the batch of ``message``, on which it worked, None where it had not begun with the batch.
    ``__cause__`` is the ``SystemExit`` or ``KeyboardInterrupt`` that the function raised.
    """

    def __init__(
        self,
        message: str,
        *,
        component: str = "",
        pid: int = 0,
        exit_code: int | None = None,
        index: int | None = None,
        in_hand: object = None,
    ) -> None:
        super().__init__(message, component=component)
        self.pid = pid
        self.exit_code = exit_code
        self.index = index
        self.message = in_hand


class WorkerAbandoned(WorkerError):
    """Raised for a batch whose worker was given up by ``abandon()``; a thread may still be at it."""


class WorkerNotOpen(WorkerError):
    """Raised for a batch given to workers before ``open()`` or after ``close()``, or under way at ``close()``."""


class WorkerCodeError(WorkerError):
    """Stands for what the function raised in a worker process where that error itself cannot be pickled.

    ``error_type`` is the name of its class and ``reason`` its text; its traceback is the ``__cause__``.
    """

    def __init__(self, error_type: str, reason: str) -> None:
        super().__init__(f"{error_type}: {reason}")
        self.error_type = error_type
        self.reason = reason


# --- wiring ----------------------------------------------------------------------------------


class WiringError(HeadraceError):
    """The graph is wrong. Raised while wiring or at the start of ``run()``, before any set-up.

    ``code`` is the stable number that ``headrace check`` prints; ``file`` and ``line`` are those of the call in
    a Python program.
    """

    code = "E200"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.file = ""
        self.line = 0

    def at(self, where: tuple[str, int]) -> WiringError:
        """Note the file and line of the call that is wrong, where they are known and not noted yet."""
        file, line = where
        if file and not self.file:
            self.file, self.line = file, line
            self.args = (f"{self.args[0]} ({os.path.basename(file)}:{line})",)
        return self


class ComponentAlreadyRegistered(WiringError):
    """Raised when a name is registered twice; take another name."""

    code = "E210"


class NotAComponentError(WiringError):
    """Raised when what is registered has no setup, process or cleanup; add the missing method."""

    code = "E211"


class InvalidEndpointError(WiringError):
    """Raised for an endpoint that is not ``component.port``, or one whose port cannot be guessed."""

    code = "E220"


class UnknownComponentError(WiringError):
    """Raised for an endpoint whose component is not registered; the hint names the nearest one."""

    code = "E221"


class UnknownPortError(WiringError):
    """Raised where ports are declared and the named one is not among them; the hint names the nearest."""

    code = "E222"


class UnknownPortAttributeError(UnknownPortError, AttributeError):
    """Raised for an attribute of a handle that is neither a port nor an attribute of its component."""


class PortTypeError(WiringError):
    """Raised where both ports declare a type and what is sent does not fit what is accepted."""

    code = "E201"


class DuplicateConnectionError(WiringError):
    """Raised when the same output is connected to the same input twice; delete one of the two."""

    code = "E223"


class UnconnectedPortError(WiringError):
    """Raised at load time for a required input port with no stream; connect it or declare it optional.

    ``component`` and ``port`` name it.
    """

    code = "E224"

    def __init__(self, message: str, *, hint: str = "", component: str = "", port: str = "") -> None:
        super().__init__(message, hint=hint)
        self.component = component
        self.port = port


class UnknownResourceError(WiringError):
    """Raised at load time for a resource that a component asks for and nobody registered.

    Register it with ``system.resource(name, factory)``. ``component`` and ``resource`` name it.
    """

    code = "E226"

    def __init__(self, message: str, *, hint: str = "", component: str = "", resource: str = "") -> None:
        super().__init__(message, hint=hint)
        self.component = component
        self.resource = resource


class ResourceTypeError(WiringError):
    """Raised where a factory says what it gives, and that does not fit what a component asks for.

    ``component`` and ``resource`` name them.
    """

    code = "E227"

    def __init__(self, message: str, *, hint: str = "", component: str = "", resource: str = "") -> None:
        super().__init__(message, hint=hint)
        self.component = component
        self.resource = resource


class ResourceAlreadyRegistered(WiringError):
    """Raised when a resource's name is registered twice; take another name."""

    code = "E225"


class ComponentTypeError(WiringError):
    """Raised for a component type that is unknown, that may not be imported, or whose import fails.

    ``code`` tells which: E240 unknown, E241 not allowed, E242 import failed, E243 no such name in the
    module, E244 the module's name is taken.
    """

    code = "E240"

    def __init__(self, message: str, *, hint: str = "", code: str = "E240") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ConfigError(WiringError):
    """Raised for a setting of a component or an edge that is missing, unknown or of the wrong type.

    ``field`` is the dotted name of the setting where it is known.
    """

    code = "E230"

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


# --- the harness -----------------------------------------------------------------------------


class HarnessError(HeadraceError):
    """The harness was used in a way its state does not allow."""


class HarnessAlreadyRunning(HarnessError):
    """Raised by ``run()`` while a run is under way; await ``stop()`` first, or make a second harness."""


class HarnessForkedError(HarnessError):
    """Raised in a forked process for a system that was started before the fork.

    Its tasks, threads and streams stayed behind in the parent: make and run a system of the child's own.
    """


class ResourceError(HarnessError):
    """Raised (as the cause of ``SystemFailed``) for a resource that cannot be opened, kept open or closed."""


class HarnessNotRunning(HarnessError):
    """Raised by calls that only make sense during a run, such as ``wait()``."""


class ComponentEndedError(HarnessError):
    """Raised by ``pause()`` for a component that has ended for good: there is nothing to hold any more."""

    def __init__(self, message: str, *, component: str = "") -> None:
        super().__init__(message)
        self.component = component


class SystemFailed(HarnessError):
    """Raised by ``run()`` when the system did not end well.

    The first error is ``__cause__`` and ``errors[0]``; later ones follow in ``errors``. ``report`` is the
    ``ShutdownReport`` of the run.
    """

    def __init__(self, message: str, *, errors: Sequence[BaseException], report: ShutdownReport) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.report = report


# --- streams ---------------------------------------------------------------------------------


class StreamError(HeadraceError):
    """Something about a stream or an edge."""


class EdgeFullError(StreamError, anyio.WouldBlock):
    """Raised by ``send`` on a full edge whose policy is ``when_full: error``; the message was not accepted."""


class InputEndedError(StreamError, anyio.EndOfStream):
    """Raised by ``receive`` when every sender has ended and nothing is buffered. A normal end."""


class NotInHandError(StreamError, ValueError):
    """Raised by ``ack`` and ``nack`` for a message that is not in hand: settled already, or never received here."""


class NackedError(StreamError):
    """The error of a dead letter that its component has given back by ``nack``, without an error of its own."""


class ReaderEndedError(StreamError, anyio.BrokenResourceError):
    """Raised by ``send`` when every reader of the output has ended for good. A normal end."""


# --- messages --------------------------------------------------------------------------------


class MessageError(HeadraceError):
    """Something about a message on the wire; ``place`` is a path such as ``$.rows[3].when`` where known."""

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(f"{message} at {place}" if place else message)
        self.place = place


class SerializationError(MessageError):
    """Raised by ``serialize`` and ``validate`` for a value that cannot go on the wire."""


class CyclicMessageError(SerializationError):
    """Raised for a value that contains itself; send a tree, or ids instead of references."""


class MessageTooDeepError(SerializationError):
    """Raised for a value nested deeper than the protocol's ``max_depth``."""


class NotPicklableError(SerializationError):
    """A message that cannot go to a worker process, or an output that cannot come back; names what it is."""


class UnregisteredTypeError(SerializationError):
    """Raised for a type that is neither built in nor registered; call ``protocol.register(type)``."""


class InvalidMessageError(SerializationError):
    """Raised when a registered type's own encoder or validation refuses the value."""


class DeserializationError(MessageError):
    """Raised by ``deserialize`` and ``decode`` for bytes that do not give a message."""


class MalformedMessageError(DeserializationError):
    """Raised for bytes that ``serialize`` did not write, or that changed on the way."""


class NotJsonError(MalformedMessageError):
    """Raised for bytes that are not JSON; check what writes to this stream."""


class NotAnEnvelopeError(MalformedMessageError):
    """Raised for JSON that lacks our envelope; send with ``serialize`` or ``StreamFramework``."""


class TruncatedMessageError(DeserializationError):
    """Raised for bytes that end before the message does."""


class PayloadTooDeepError(DeserializationError):
    """Raised for a payload nested deeper than the protocol's ``max_depth``."""


class InvalidPayloadError(DeserializationError):
    """Raised when a registered type refuses what was received, or changes it; its error is the cause."""


class UnknownTypeError(DeserializationError):
    """Raised for a message that names a type not registered here; register it on the receiving side."""


class SchemaVersionError(DeserializationError):
    """Raised for an envelope of a schema version this protocol does not read."""


class MessageTooLargeError(MessageError):
    """Raised for a payload above the protocol's ``max_size``; the message names both sizes in bytes."""


class CannotRegisterError(MessageError):
    """Raised by ``register`` for a type it cannot take apart; give it ``encode=`` and ``decode=``."""


class TypeAlreadyRegistered(CannotRegisterError):
    """Raised when a type or a wire name is registered twice with a different meaning."""


class UnknownGroupError(MessageError):
    """Raised for a group, or a member of one, that does not exist; the message names the nearest."""


class GroupConflictError(MessageError):
    """Raised when the name of a new group or of a new member is taken; take another name."""


class RequestFailedError(MessageError):
    """Raised at the requester when the other side's handler raised, or could not read or answer it.

    ``error_type`` is the name of the remote exception's class and ``reason`` its text.
    """

    def __init__(self, error_type: str, reason: str) -> None:
        super().__init__(f"the request failed on the other side: {error_type}: {reason}")
        self.error_type = error_type
        self.reason = reason


class RequestRefusedError(MessageError):
    """Raised at the caller of a gateway that has too many requests at work, or does not run (any more)."""


class RequestTimeoutError(MessageError, TimeoutError):
    """Raised when a request got no reply in time."""


# --- tests -------------------------------------------------------------------------------------


class ProbeError(HeadraceError, AssertionError):
    """A test of a component or a system cannot go on; so the test has failed."""


class NoMessageError(ProbeError):
    """Raised by ``next()`` when no message is there and none will come, and by ``send()`` when no room will."""


class PortEndedError(ProbeError):
    """Raised by ``send()`` and ``feed()`` when nothing can go through the port any more."""


class UnsettledError(ProbeError):
    """Raised when something is still at work after a test's time-out; the message says what it awaits."""


# --- inputs, extras, blueprints ----------------------------------------------------------------


class RowError(HeadraceError):
    """One record of an input does not parse: it goes to ``rejected`` and the good ones go on."""

    def __init__(self, reason: str, *, path: str = "", line: int = 0) -> None:
        where = f"{path}:{line}: " if path else ""
        super().__init__(f"{where}{reason}")
        self.reason = reason
        self.path = path
        self.line = line


class InputFileError(HeadraceError):
    """Raised when an input file is missing, unreadable, truncated or wrongly encoded; names file and place."""


class MissingExtraError(HeadraceError, ImportError):
    """Raised when a component needs an optional dependency; the message is the install command."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra that is not installed: pip install 'headrace[{extra}]'")
        self.extra = extra


class NotSerializableSystemError(HeadraceError):
    """Raised by ``to_yaml`` for a system in which something has no name to import it by, or is no plain value.

    ``problems`` holds all of it, each with its place and its mend.
    """

    def __init__(self, system: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([f"system '{system}' cannot be written as a blueprint:", *self.problems]))


class BlueprintError(HeadraceError):
    """Raised when a blueprint has errors; ``problems`` holds all of them, each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


__all__ = sorted(
    name for name, value in globals().items() if isinstance(value, type) and issubclass(value, HeadraceError)
)
