"""The shared resources of a system while it runs: opened before set-up, closed after all clean-up.

Each is kept open by a task of its own, so that one which holds a task group or a cancel scope nests as it
must, and a deadline can end one without the others.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self, get_args, get_origin

import anyio
from anyio import CancelScope, Event, current_time
from anyio.abc import TaskGroup

from headrace.authoring.annotations import hints_of_function
from headrace.authoring.resource import ResourceNeed
from headrace.exceptions import (
    ConfigError,
    ResourceError,
    ResourceTypeError,
    UnknownResourceError,
    WiringError,
)
from headrace.model.endpoint import did_you_mean
from headrace.model.port import fits, type_name
from headrace.model.report import Failure, Overrun, Phase, describe
from headrace.model.trouble import SlowStep

from .driven import Driven, Work, leaves, without_cancellation

_GIVERS = (
    AsyncGenerator,
    AsyncIterator,
    AsyncIterable,
    Generator,
    Iterator,
    Iterable,
    AbstractAsyncContextManager,
    AbstractContextManager,
)


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A resource as registered.

    Attributes:
        name: Its name in the system.
        factory: Called with the settings; gives a context manager.
        config: The settings.
        where: File and line of whoever registered it.
    """

    name: str
    factory: Callable[..., Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    where: tuple[str, int] = ("", 0)

    def manager(self) -> Any:
        """Call the factory; a generator function is taken as the context manager that it would make.

        Raises:
            ResourceError: What it gives is no context manager.
        """
        made = self.factory(**self.config)
        if inspect.isasyncgen(made):
            return asynccontextmanager(lambda: made)()
        if inspect.isgenerator(made):
            return contextmanager(lambda: made)()
        if hasattr(made, "__aenter__") or hasattr(made, "__enter__"):
            return made
        if inspect.iscoroutine(made):
            made.close()
        raise ResourceError(
            f"resource '{self.name}': {_title(self.factory)} gives {type(made).__name__}, no context manager; "
            "write an (async) generator that yields once, or a class with __aenter__ and __aexit__"
        )


def check_resource(spec: ResourceSpec) -> None:
    """Check what can be known of a resource before it is opened.

    Raises:
        ConfigError: It cannot be called with its settings.
    """
    if not callable(spec.factory):
        raise ConfigError(
            f"resource '{spec.name}': {spec.factory!r} is no factory",
            hint="give a function or class that makes an (async) context manager",
        )
    try:
        inspect.signature(spec.factory).bind(**spec.config)
    except TypeError as error:
        raise ConfigError(
            f"resource '{spec.name}': {_title(spec.factory)}: {error}",
            hint="name its settings as it takes them",
        ) from None
    except ValueError:  # a class implemented in C shows no signature
        return


def given_type(factory: Any) -> Any:
    """Return the type of what a resource's factory gives, as far as it says; else ``Any``."""
    if isinstance(factory, type):
        enter = getattr(factory, "__aenter__", None) or getattr(factory, "__enter__", None)
        entered = hints_of_function(enter).get("return", Any) if inspect.isfunction(enter) else Any
        return factory if entered is Self else entered
    returned = hints_of_function(inspect.unwrap(factory)).get("return", Any)
    if (get_origin(returned) or returned) in _GIVERS and get_args(returned):
        return get_args(returned)[0]
    return Any


def resource_problem(
    specs: Mapping[str, ResourceSpec], component: str, need: ResourceNeed
) -> WiringError | None:
    """Return what is wrong with a component's wish for a resource, or None."""
    spec = specs.get(need.name)
    if spec is not None:
        given = given_type(spec.factory)
        if fits(given, need.type):
            return None
        return ResourceTypeError(
            f"resource '{need.name}': {type_name(given)} -> {component}: {type_name(need.type)}",
            hint="what the resource is does not fit what is asked for",
            component=component,
            resource=need.name,
        )
    if need.optional:
        return None
    near = did_you_mean(need.name, specs)
    return UnknownResourceError(
        f"component '{component}' asks for the resource '{need.name}', which is not registered",
        hint=near if near.startswith("did") else f"register it: system.resource('{need.name}', factory)",
        component=component,
        resource=need.name,
    )


class _Kept:
    """One open resource, and the task that keeps it open."""

    def __init__(self, spec: ResourceSpec, system: object) -> None:
        self.spec = spec
        self.began = current_time()
        self.value: Any = None
        self.error: BaseException | None = None
        self.opened = Event()  # or failed to
        self.release = Event()
        self.closed = Event()
        self.is_open = False
        self.scope = CancelScope(shield=True)
        self.driven = Driven(self._keep, work=Work(system, self.name, "open"))

    @property
    def name(self) -> str:
        """What it is called where components are named too."""
        return f"resource {self.spec.name}"

    def slow_step(self, setup: float, cleanup: float) -> SlowStep | None:
        """Return its opening or closing, where that has been under way for so many seconds."""
        phase: Phase = "close" if self.release.is_set() else "open"
        is_at_it = not self.closed.is_set() and (phase == "close" or not self.opened.is_set())
        seconds = current_time() - self.began
        if not is_at_it or seconds < (setup if phase == "open" else cleanup):
            return None
        return SlowStep(self.name, phase, seconds, self.driven.awaiting)

    def let_go(self) -> None:
        """Begin to close it."""
        self.began = current_time()
        if self.driven.work is not None:
            self.driven.work = self.driven.work._replace(phase="close")
        self.release.set()

    async def run(self) -> None:
        """Open it, keep it until it is released, close it."""
        try:
            with self.scope:
                await self.driven
        except BaseException as error:
            self.error = without_cancellation(error)
            if self.error is None and not self.driven.abandoned:
                raise
        finally:
            self.is_open = False
            self.opened.set()
            self.closed.set()

    async def _keep(self) -> None:
        manager = self.spec.manager()
        if hasattr(manager, "__aenter__"):
            async with manager as self.value:
                await self._until_released()
        else:
            with manager as self.value:
                await self._until_released()

    async def _until_released(self) -> None:
        self.is_open = True
        self.opened.set()
        await self.release.wait()

    def give_up(self) -> str:
        """Cancel it, and return where it waits."""
        awaiting = self.driven.awaiting
        self.driven.insist = True
        self.scope.cancel()
        return awaiting


class Resources:
    """Opens and closes the resources of one run.

    Args:
        specs: The resources, in the order in which they are opened.
        logger: For what happens.
        on_failure: Called when one fails while it is in use.
        system: What the work of this system is known by.

    Attributes:
        values: The opened resources by name; a view that fills as they open.
        failures: What went wrong.
        overruns: Who did not close in time.
    """

    def __init__(
        self,
        specs: Iterable[ResourceSpec],
        logger: Any,
        on_failure: Callable[[], None],
        system: object = None,
    ) -> None:
        self._system = system
        self._specs = tuple(specs)
        self._logger = logger
        self._on_failure = on_failure
        self._kept: list[_Kept] = []
        self._values: dict[str, Any] = {}
        self.values: Mapping[str, Any] = MappingProxyType(self._values)
        self.failures: list[Failure] = []
        self.overruns: list[Overrun] = []

    async def open(self, group: TaskGroup, timeout: float) -> bool:
        """Open all, one after the other; stops at the first that fails.

        Args:
            group: Where the tasks live that keep them open.
            timeout: Seconds that each may take.

        Returns:
            Whether all are open.
        """
        for spec in self._specs:
            kept = _Kept(spec, self._system)
            self._kept.append(kept)
            group.start_soon(self._watch, kept, name=f"resource {spec.name}")
            with anyio.move_on_after(timeout):
                await kept.opened.wait()
            if not kept.opened.is_set():
                awaiting = kept.give_up()
                self._fail(
                    kept,
                    "open",
                    ResourceError(
                        f"opening resource '{spec.name}' took over {timeout:g} s, awaiting {awaiting}; "
                        "make it quicker or raise setup_timeout"
                    ),
                )
            if not kept.is_open:
                return False
            self._values[spec.name] = kept.value
        return True

    async def _watch(self, kept: _Kept) -> None:
        await kept.run()
        failed_in_use = kept.spec.name in self._values and not kept.release.is_set()
        if kept.error is not None:
            self._fail(kept, self._phase_of(kept), kept.error)
        elif failed_in_use:
            self._fail(
                kept, "process", ResourceError(f"resource '{kept.spec.name}' closed while it was in use")
            )
        if failed_in_use:
            self._on_failure()

    async def close(self, timeout: float) -> None:
        """Close all that were opened, in reverse; what does not close in time is named and cancelled."""
        for kept in reversed(self._kept):
            if not kept.is_open and not kept.closed.is_set():
                kept.give_up()  # still opening
            kept.let_go()
            began = current_time()
            with anyio.move_on_after(timeout):
                await kept.closed.wait()
            if not kept.closed.is_set():
                awaiting = kept.give_up()
                late = Overrun(f"resource {kept.spec.name}", "close", current_time() - began, awaiting)
                self.overruns.append(late)
                self._logger.error("closing overran", resource=kept.spec.name, awaiting=awaiting)
                await kept.closed.wait()

    def slow_steps(self, setup: float, cleanup: float) -> Iterator[SlowStep]:
        """Yield the openings and closings that have been under way for so many seconds."""
        for kept in self._kept:
            step = kept.slow_step(setup, cleanup)
            if step is not None:
                yield step

    def _phase_of(self, kept: _Kept) -> Phase:
        if kept.spec.name not in self._values:
            return "open"
        return "close" if kept.release.is_set() else "process"

    def _fail(self, kept: _Kept, phase: Phase, error: BaseException) -> None:
        name = f"resource {kept.spec.name}"
        if any(failure.component == name for failure in self.failures):
            return
        self.failures.append(Failure(name, phase, error))
        for leaf in leaves(error):
            trace = (type(leaf), leaf, leaf.__traceback__)
            self._logger.error(
                f"{phase} failed", resource=kept.spec.name, error=describe(leaf), exc_info=trace
            )


def _title(factory: Any) -> str:
    return getattr(factory, "__qualname__", None) or repr(factory)


__all__ = ["ResourceSpec", "Resources", "check_resource", "given_type", "resource_problem"]
