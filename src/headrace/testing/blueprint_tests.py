"""Runs the tests that a blueprint holds, each on a system of its own.

The whole graph runs without its own sources and sinks, so that no test reads or writes the real world; one
component runs under a probe.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anyio

from headrace.edges.yaml_blueprint import read_blueprint
from headrace.exceptions import BlueprintError
from headrace.model.blueprint import Blueprint, Complaints, ComponentSpec, Position, Problem, ResourceSpec
from headrace.model.blueprint_tests import Replacement, TestSpec
from headrace.model.endpoint import did_you_mean
from headrace.runtime.assembly import assemble

from ._blueprint_case import Case
from ._comparing import Mismatch
from .live_system import LONGEST_WAIT

_UNSET = re.compile(r"variable '([^']+)' is not set")
_ANYTHING = "1"  # stands for a variable that only a test sets: a text, a number and a duration


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one test of a blueprint went.

    Attributes:
        name: Its name.
        position: Where it stands.
        seconds: How long it took.
        mismatches: What was not as expected.
        problems: Why it could not be run.
        error: What its system has failed with.
    """

    name: str
    position: Position
    seconds: float = 0.0
    mismatches: tuple[Mismatch, ...] = ()
    problems: tuple[Problem, ...] = ()
    error: BaseException | None = None

    @property
    def outcome(self) -> str:
        """``passed``, ``failed``, or ``error`` where it could not be run."""
        return "error" if self.problems else "failed" if self.mismatches else "passed"


@dataclass(frozen=True, slots=True)
class BlueprintCases:
    """The tests of one blueprint.

    Args:
        files: The file of the blueprint, and those that change it.
        allow: Packages whose modules it may use, besides those beside it.
        timeout: Seconds after which a test that says nothing else is cut off.
        backend: ``asyncio`` or ``trio``.
    """

    files: Sequence[str | os.PathLike[str]]
    allow: Sequence[str] = ()
    timeout: float = LONGEST_WAIT
    backend: str = "asyncio"

    def read(self) -> Blueprint:
        """Return the blueprint with its tests; a variable that is not set may be one that its tests set.

        Raises:
            BlueprintError: It has other mistakes.
        """
        env: dict[str, str] = {}
        while True:
            try:
                return self._blueprint(env)
            except BlueprintError as error:
                found = [_UNSET.search(p.message) for p in error.problems if p.severity == "error"]
                names = {match[1] for match in found if match is not None} - env.keys()
                if not names or None in found:
                    raise
                env.update(dict.fromkeys(names, _ANYTHING))

    def run(self, spec: TestSpec) -> CaseResult:
        """Run one test, in an event loop of its own."""
        began = time.perf_counter()
        try:
            blueprint = self._blueprint(spec.env)
            spec = next(test for test in blueprint.tests if test.name == spec.name)
            harness = assemble(changed(blueprint, spec), allow=self.allow).harness
            complaints = Complaints(sources=blueprint.sources)
            case = Case(spec, harness, complaints, spec.timeout or self.timeout)
            if complaints.has_errors:
                raise BlueprintError(complaints.problems)
        except BlueprintError as error:
            problems = tuple(problem for problem in error.problems if problem.severity == "error")
            return CaseResult(spec.name, spec.position, time.perf_counter() - began, problems=problems)
        anyio.run(case.run, backend=self.backend)
        seconds = time.perf_counter() - began
        return CaseResult(spec.name, spec.position, seconds, tuple(case.mismatches), error=case.error)

    def _blueprint(self, env: Mapping[str, str]) -> Blueprint:
        return read_blueprint(*self.files, env={**os.environ, **env})


def changed(blueprint: Blueprint, spec: TestSpec) -> Blueprint:
    """Return a blueprint as a test wants it: with its settings and replacements.

    Raises:
        BlueprintError: The test names a component or a resource that there is not.
    """
    complaints = Complaints(sources=blueprint.sources)
    names = [component.name for component in blueprint.components]
    known = [*names, *(resource.name for resource in blueprint.resources)]
    for other in spec.replace:
        if other.name.text not in known:
            hint = did_you_mean(other.name.text, known)
            message = f"there is no component or resource '{other.name}' to replace"
            complaints.error(other.name.position, "E221", message, hint)
    settings = spec.config
    if spec.component is not None and spec.config:
        settings = {spec.component.text: spec.config}
    for name, config in settings.items():
        if name not in names:
            hint = did_you_mean(name, names)
            complaints.error(spec.place("config"), "E221", f"no component is named '{name}'", hint)
        elif not isinstance(config, Mapping):
            hint = "write 'config: {COMPONENT: {setting: value}}'"
            complaints.error(spec.place("config"), "E104", f"config of '{name}' must be a table", hint)
    if complaints.has_errors:
        raise BlueprintError(complaints.problems)
    others = {other.name.text: other for other in spec.replace}
    return replace(
        blueprint,
        tests=(),
        components=tuple(
            _component(c, others.get(c.name), settings.get(c.name, {}), spec.place("config"))
            for c in blueprint.components
        ),
        resources=tuple(_resource(r, others.get(r.name)) for r in blueprint.resources),
    )


def _component(
    spec: ComponentSpec, other: Replacement | None, settings: Mapping[str, object], at: Position
) -> ComponentSpec:
    if other is not None and other.type is not None:
        places = {"type": other.name.position}
        spec = replace(spec, type=other.type, config=other.config, places=places, inner=None)
    if not settings:
        return spec
    places = {**spec.places, **{f"config.{name}": at for name in settings}}
    return replace(spec, config={**spec.config, **settings}, places=places)


def _resource(spec: ResourceSpec, other: Replacement | None) -> ResourceSpec:
    if other is None or other.type is None:
        return spec
    places = {"type": other.name.position}
    return replace(spec, type=other.type, config=other.config, places=places)


__all__ = ["BlueprintCases", "CaseResult", "changed"]
