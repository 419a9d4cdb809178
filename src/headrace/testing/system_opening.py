"""``run_system``: a whole system in a test, as it is but for what the test replaces."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace as changed
from typing import Any

from headrace.authoring.function_component import FunctionComponent
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import WiringError
from headrace.model.endpoint import did_you_mean
from headrace.model.options import Attempts, Timeouts
from headrace.runtime.resources import ResourceSpec
from headrace.runtime.roster import Registered
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from ._stand_ins import StandIn
from .live_system import LONGEST_WAIT, LiveSystem, hosting

SystemLike = SystemExecutionHarness | Callable[[], SystemExecutionHarness] | str | os.PathLike[str]

_SOURCE_GRACE = 0.01  # seconds; a test is not to wait for a source that does nothing any more


def run_system(
    system: SystemLike,
    *,
    replace: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = LONGEST_WAIT,
) -> AbstractAsyncContextManager[LiveSystem]:
    """Run a system around a block; it is drained at the block's end.

    Attempts of function components follow each other without a pause, and sources that do not end at once are
    cancelled at the end. A ``System`` object is given back as it was.

    Args:
        system: A system, a function that makes one, ``module:name`` of either, or the path of a blueprint.
        replace: Components and resources by name, and what takes their place: a class, a function or a finished
            component; for a resource a factory, or the value itself. ``None`` leaves a component out: the test
            sends at its outputs, and what comes to its inputs is only recorded.
        env: For a blueprint: what ``${NAME}`` stands for, before what the process's environment says.
        timeout: Seconds that a call waits while something is still at work.

    Returns:
        A context manager that gives the ``LiveSystem``.

    Raises:
        BlueprintError: The blueprint has mistakes.
        WiringError: What replaces does not fit, or nothing of that name is there to be replaced.
        SystemFailed: The system has failed, and the test did not look at it.
    """
    return alone(Opened(system, replace, env, timeout))


class Opened:
    """A system with its replacements; what was changed in an object of the user's is changed back."""

    def __init__(
        self,
        system: SystemLike,
        replace: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = LONGEST_WAIT,
        drain: float = math.inf,
    ) -> None:
        self.harness = load(system, env)
        self._drain = drain
        self.timeout = timeout
        self._timeouts: Timeouts = self.harness.timeouts
        self._replaced: list[Registered] = []
        self._resources: dict[str, ResourceSpec] = {}
        self._attempts: dict[str, Attempts] = {}
        try:
            for name, other in (replace or {}).items():
                self._replace(name, other)
        except BaseException:
            self.give_back()
            raise
        self._hurry()

    def _replace(self, name: str, other: Any) -> None:
        wiring = self.harness.wiring
        old = wiring.get(name)
        if old is not None:
            self.harness.replace(name, StandIn(name, old.ports) if other is None else other)
            self._replaced.append(old)
        elif name in wiring.resources:
            self._resources[name] = wiring.resources[name]
            self.harness.replace(name, as_resource(other))
        else:
            hint = did_you_mean(name, [*wiring.registered, *wiring.resources])
            raise WiringError(f"there is no component or resource '{name}' to replace", hint=hint)

    def _hurry(self) -> None:
        grace = min(_SOURCE_GRACE, self._timeouts.source_grace)
        shutdown = min(self._drain, self._timeouts.shutdown)
        self.harness.timeouts = changed(self._timeouts, source_grace=grace, shutdown=shutdown)
        for name, component in self.harness.components.items():
            if isinstance(component, FunctionComponent):
                self._attempts[name] = component.attempts
                component.attempts = changed(component.attempts, backoff=0.0)

    def give_back(self) -> None:
        """Undo what was changed."""
        wiring = self.harness.wiring
        self.harness.timeouts = self._timeouts
        for name, attempts in self._attempts.items():
            wiring.components[name].attempts = attempts
        for old in reversed(self._replaced):
            wiring.put_back(old)
        wiring.resources.update(self._resources)
        if self._replaced:
            wiring.open()  # so that the next run joins the streams anew, to those that are back


@asynccontextmanager
async def alone(opened: Opened) -> AsyncIterator[LiveSystem]:
    """Run it around a block; what goes wrong in either is raised as it is, not in a group."""
    live = LiveSystem(opened.harness, timeout=opened.timeout)
    try:
        async with hosting(live):
            yield live
    finally:
        opened.give_back()


# --- from what users name to a system --------------------------------------------------------------


def load(system: SystemLike, env: Mapping[str, str] | None = None) -> SystemExecutionHarness:
    """Return the system that is meant.

    Raises:
        BlueprintError: The blueprint has mistakes.
        TypeError: It is none.
    """
    found: Any = system
    if isinstance(system, (str, os.PathLike)):
        path = os.fspath(system)
        module, colon, attribute = path.partition(":")
        if not (colon and all(part.isidentifier() for part in f"{module}.{attribute}".split("."))):
            variables = None if env is None else {**os.environ, **env}
            return load_system(path, env=variables).harness
        found = _attribute(module, attribute)
    if callable(found) and not isinstance(found, SystemExecutionHarness):
        found = found()
    if not isinstance(found, SystemExecutionHarness):
        raise TypeError(
            f"{system!r} is no system; give a System, a function that makes one, 'module:name', or a blueprint"
        )
    return found


def _attribute(module: str, attribute: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as the command line does
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def as_resource(value: Any) -> Callable[..., Any]:
    """Return a resource's factory: of what a class or function makes, or else of the value as it is."""

    def factory() -> Any:
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            return nullcontext(value)
        made = value()
        is_manager = hasattr(made, "__aenter__") or hasattr(made, "__enter__")
        is_generator = inspect.isasyncgen(made) or inspect.isgenerator(made) or inspect.iscoroutine(made)
        return made if is_manager or is_generator else nullcontext(made)

    return factory


__all__ = ["Opened", "SystemLike", "alone", "as_resource", "load", "run_system"]
