from __future__ import annotations

import functools
import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace.components
from headrace.authoring.factory import build_component
from headrace.authoring.function_component import ComponentFunction, FunctionComponent
from headrace.authoring.harness_component import HarnessComponent
from headrace.components import Map
from headrace.model.blueprint import Position
from headrace.runtime.source_warnings import SourceReader, line_at
from headrace.runtime.system_execution_harness import SystemExecutionHarness

Write = Callable[..., Any]

HEAD = """
import abc, functools, time
from typing import Generic, TypeVar
from headrace import HarnessComponent, In, Out, component
"""


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Return a function that writes a module and imports it."""
    names: list[str] = []

    def make(text: str, name: str = "made", head: str = HEAD) -> Any:
        path = tmp_path / f"{name}.py"
        path.write_text(head + textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield make
    for name in names:
        del sys.modules[name]


def found(factory: Any) -> list[str]:
    """Return file, line and code of the warnings of a component."""
    problems = SourceReader().warnings_of(build_component("c", factory))
    return [f"{Path(p.position.file).name}:{p.position.line} {p.code}" for p in problems]


def test_a_function_component_is_looked_at_however_it_was_made(write: Write) -> None:
    made = write(
        """
        def traced(fn):
            @functools.wraps(fn)
            async def call(x):
                return await fn(x)
            return call

        @component
        async def decorated(x: int):
            time.sleep(1)

        async def plain(x):
            time.sleep(2)

        async def with_setting(x, y):
            time.sleep(3)

        @component(attempts=2)
        @traced
        async def wrapped(x):
            time.sleep(4)

        class Callable:
            async def __call__(self, x):
                time.sleep(5)

            async def method(self, x):
                time.sleep(6)
        """
    )
    assert found(made.decorated) == ["made.py:14 W310"]
    assert found(made.plain) == ["made.py:17 W310"]
    assert found(functools.partial(made.with_setting, y=1)) == ["made.py:20 W310"]
    assert found(made.wrapped) == ["made.py:25 W310"]
    assert found(made.Callable()) == ["made.py:29 W310"]
    assert found(made.Callable().method) == ["made.py:32 W310"]


def test_a_class_is_looked_at_with_its_bases_in_other_modules(write: Write) -> None:
    write(
        """
        class Base(HarnessComponent):
            async def process(self):
                time.sleep(1)
                self.work()

            def work(self): ...
        """,
        "base",
    )
    made = write(
        """
        from base import Base

        class Derived(Base):
            sent: Out[int]

            async def extra(self):
                self.sent.send(1)

            @functools.cached_property
            def lazy(self): ...

            @property
            def eager(self): ...
        """
    )
    assert found(made.Derived) == ["made.py:12 W311", "base.py:8 W310"]


def test_ports_count_as_used_where_any_class_uses_them(write: Write) -> None:
    made = write(
        """
        T = TypeVar("T")

        class Base(HarnessComponent, Generic[T], abc.ABC):
            in_: In[int]
            out: Out[int]
            spare: Out[int]

            async def process(self):
                async for x in self.in_:
                    await self.use(x)

        class Derived(Base[int]):
            extra: Out[int]

            async def use(self, x):
                await self.out.send(x)

        class Dynamic(Base[int]):
            async def use(self, x):
                await getattr(self, "out").send(x)

        class Unfinished(HarnessComponent):
            out: Out[int]
        """
    )
    assert found(made.Derived) == ["made.py:18 W314", "made.py:11 W314"]
    assert found(made.Dynamic) == []
    assert found(made.Unfinished) == []


def test_what_has_no_source_or_is_not_the_users_own_has_no_warnings(write: Write) -> None:
    typed_in: dict[str, Any] = {"__name__": "typed_in"}
    exec(
        HEAD
        + "class C(HarnessComponent):\n    out: Out[int]\n    async def process(self):\n        time.sleep(1)\n"
        "async def f(x):\n    time.sleep(1)\n",
        typed_in,
    )
    assert found(typed_in["C"]) == []
    assert found(typed_in["f"]) == []
    assert found(Map(name="m", config={})) == []
    assert found("x".join) == []


def test_a_source_that_has_changed_since_is_not_guessed_at(write: Write) -> None:
    made = write("@component\nasync def f(x):\n    time.sleep(1)\n")
    Path(made.__file__).write_text("def f(:\n    this is no longer python\n")
    assert found(made.f) == []
    Path(made.__file__).unlink()
    assert found(made.f) == []


def test_a_function_that_wraps_itself_is_left_alone(write: Write) -> None:
    made = write(
        "async def f(x: int): ...\n\nclass C(HarnessComponent):\n    async def process(self): ...\n    g = f\n"
    )
    made.f.__wrapped__ = made.f
    assert found(made.C) == []


def test_each_class_and_each_file_is_read_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.runtime import source_warnings

    read: list[str] = []
    original = source_warnings.SourceLint
    monkeypatch.setattr(source_warnings, "SourceLint", lambda text: (read.append(text), original(text))[1])
    made = write("class A(HarnessComponent):\n    async def process(self): ...\n\nclass B(A): ...\n")
    reader = SourceReader()
    for factory in (made.A, made.B) * 20:
        assert reader.warnings_of(build_component("c", factory)) == ()
    assert len(read) == 1


def test_only_what_never_mentions_a_stream_needs_none(write: Write) -> None:
    made = write(
        """
        class Service(HarnessComponent):
            async def process(self):
                self.beats = 1

        class Streams(HarnessComponent):
            async def process(self):
                self.receive_streams["in"]

        class Passing(HarnessComponent):
            async def process(self):
                print(self)

        class Ports(HarnessComponent):
            in_: In[int]
        """
    )
    needs = {
        name: SourceReader().needs_streams(build_component("c", getattr(made, name)))
        for name in vars(made)
        if name in ("Service", "Streams", "Passing", "Ports")
    }
    assert needs == {"Service": False, "Streams": True, "Passing": True, "Ports": True}
    Path(made.__file__).unlink()
    assert SourceReader().needs_streams(build_component("c", made.Service))


def test_the_line_of_a_place_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("one\ntwo\n")
    assert line_at(Position(str(path), 2)) == "two"
    path.write_text("one\nother line\n")
    assert line_at(Position(str(path), 2)) == "other line"
    assert line_at(Position("nowhere.py", 2)) == ""


@pytest.mark.parametrize("name", sorted(headrace.components.__all__))
def test_our_own_components_have_no_warnings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.runtime.source_warnings.is_own", lambda file: True)
    cls = getattr(headrace.components, name)
    assert [str(problem) for problem in SourceReader().warnings_of(object.__new__(cls))] == []


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("examples/*/*.py")), ids=lambda p: p.name
)
def test_our_examples_have_no_warnings(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(path.parent))
    beside = {one.stem for one in path.parent.glob("*.py")}  # it may import them, for this test alone
    for name in beside:
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        module = importlib.import_module(path.stem)
    finally:
        for name in beside & set(sys.modules):
            del sys.modules[name]
    made: list[Any] = []
    for value in vars(module).values():
        if isinstance(value, SystemExecutionHarness):
            made += value.components.values()
        elif isinstance(value, ComponentFunction):
            made.append(object.__new__(FunctionComponent))
            made[-1].function, made[-1].attempts = value, value.attempts
        elif (
            isinstance(value, type) and value.__module__ == path.stem and issubclass(value, HarnessComponent)
        ):
            made.append(object.__new__(value))
    has_types_only = not made and "\nclass " in path.read_text()
    assert made or has_types_only or path.stem.endswith("_system")
    assert [str(problem) for one in made for problem in SourceReader().warnings_of(one)] == []


@pytest.mark.parametrize(("where", "codes"), [("loop", ["W310"]), ("thread", []), ("process", [])])
def test_what_works_away_from_the_event_loop_may_block(write: Write, where: Any, codes: list[str]) -> None:
    made = write(
        """
        @component
        def work(n: int) -> None:
            time.sleep(n)
        """
    )
    system = SystemExecutionHarness()
    system.add("work", made.work, run_in=where)
    found = SourceReader().warnings_of(system.components["work"])
    assert [one.code for one in found] == codes
