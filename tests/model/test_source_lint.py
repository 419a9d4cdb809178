from __future__ import annotations

import ast
import importlib
import inspect
import os
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.source_facts import ASYNCIO_ONLY, BLOCKING, CANCELLATIONS, COROUTINES, DETACHING
from headrace.model.source_lint import SourceLint

HEAD = """
import anyio, asyncio, contextlib, httpx, os, queue, requests, socket, sqlite3, subprocess, sys, threading, time
import urllib.request
from anyio import to_thread
from headrace import HarnessComponent, In, Out, component
"""


def lines_of(text: str, name: str) -> list[int]:
    """Return the first lines of the methods of a class."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            methods = [m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)]
            return [min([m.lineno, *(d.lineno for d in m.decorator_list)]) for m in methods]
    raise AssertionError(name)


def of_class(text: str, name: str = "C") -> list[str]:
    """Return what is found in a class, as ``line code message``, lines counted after the imports."""
    whole = HEAD + textwrap.dedent(text)
    shift = HEAD.count("\n")
    found = SourceLint(whole).lint_class(lines_of(whole, name))
    return [f"{one.line - shift} {one.code} {one.message}" for one in found]


def of_process(body: str, before: str = "") -> list[str]:
    """Return the codes found in a process with this body."""
    text = before + "\nclass C(HarnessComponent):\n    in_: In[int]\n    out: Out[int] | None\n"
    text += (
        "    async def process(self):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8) + "\n"
    )
    return [one.split()[1] for one in of_class(text)]


def of_function(text: str, name: str = "f") -> list[str]:
    """Return what is found in a function, as ``code message, hint``."""
    whole = HEAD + textwrap.dedent(text)
    nodes = [n for n in ast.walk(ast.parse(whole)) if getattr(n, "name", "") == name]
    first = min([nodes[0].lineno, *(d.lineno for d in nodes[0].decorator_list)])  # type: ignore[attr-defined]
    return [f"{one.code} {one.message}, {one.hint}" for one in SourceLint(whole).lint_function(first)]


# --- W310: what blocks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(1)",
        "nap = time.sleep\nnap(1)",
        "from time import sleep as nap\nnap(1)",
        "import time as t\nt.sleep(1)",
        "requests.get('u')",
        "import requests as r\nr.post('u')",
        "with requests.Session() as s:\n    s.get('u')",
        "httpx.get('u')",
        "client = httpx.Client()\nclient.post('u')",
        "urllib.request.urlopen('u')",
        "from urllib import request\nrequest.urlopen('u')",
        "from urllib.request import urlopen\nurlopen('u')",
        "subprocess.run(['ls'])",
        "subprocess.Popen(['ls']).wait()",
        "os.system('ls')",
        "socket.create_connection(('h', 1))",
        "s = socket.socket()\ns.connect(('h', 1))",
        "sqlite3.connect('x.db')",
        "input()",
        "q = queue.Queue()\nq.get()",
        "q = queue.Queue()\nq.get(timeout=3)",
        "e: threading.Event = threading.Event()\ne.wait()",
        "lock = threading.Lock()\nlock.acquire()",
        "[time.sleep(n) for n in (1, 2)]",
        "if (n := time.sleep):\n    n(1)",
        "async for x in self.in_:\n    time.sleep(1)",
        "def now():\n    time.sleep(1)\nnow()",
        "await to_thread.run_sync(time.sleep(1))",
        "match self:\n    case other:\n        time.sleep(1)",
        "try:\n    pass\nexcept* ValueError as error:\n    time.sleep(1)",
    ],
)
def test_a_blocking_call_is_found_whatever_it_is_called(body: str) -> None:
    assert of_process(body) == ["W310"]


@pytest.mark.parametrize(
    "body",
    [
        "await anyio.sleep(1)",
        "await to_thread.run_sync(time.sleep, 1)",
        "await to_thread.run_sync(lambda: time.sleep(1))",
        "def slow():\n    time.sleep(1)\nawait to_thread.run_sync(slow)",
        "@in_thread\ndef slow():\n    time.sleep(1)\nslow()",
        "@threads[0]\ndef slow():\n    time.sleep(1)\nslow()",
        "time.sleep(0)",
        "open('x').read()",
        "time = Clock()\ntime.sleep(1)",
        "for time in clocks:\n    time.sleep(1)",
        "time, other = clocks\ntime.sleep(1)",
        "def time(): ...\ntime.sleep(1)",
        "class time: ...\ntime.sleep(1)",
        "import mytime as time\nimport time\ntime.sleep(1)",
        "from .clock import sleep\nsleep(1)",
        "match x:\n    case time:\n        time.sleep(1)",
        "try:\n    pass\nexcept E as time:\n    time.sleep(1)",
        "nap = time.sleep\nnap = other\nnap(1)",
        "q = queue.Queue()\nq.get(False)",
        "q = queue.Queue()\nq.get(block=False)",
        "q = queue.Queue()\nq.get(timeout=0)",
        "q = queue.Queue()\nq.get_nowait()",
        "q = anything()\nq.get()",
        "threading.Lock().acquire(blocking=False)",
        "sqlite3.connect(':memory:')",
        "await requests.get('u')",
        "input = self.reader\ninput()",
        "a = b\nb = a\na()",
        "x[0].sleep(1)",
        "(yield).sleep(1)",
    ],
)
def test_what_does_not_block_for_certain_is_passed_over(body: str) -> None:
    assert of_process(body) == []


def test_a_name_that_a_parameter_hides_is_not_the_module() -> None:
    assert of_class("class C:\n    async def process(self, time):\n        time.sleep(1)\n") == []


def test_an_attribute_is_what_all_its_assignments_make_it() -> None:
    text = """
    class C:
        def __init__(self):
            self.inbox = queue.Queue()
            self.other = queue.Queue()
            self.nap = time.sleep

        def change(self, other):
            self.other = other
            for self.nap in other:
                pass

        async def process(self):
            self.inbox.get()
            self.other.get()
            self.nap(1)
    """
    assert [one.split()[0] for one in of_class(text)] == ["14"]


def test_helpers_are_followed_where_they_are_called_and_not_where_they_go_to_a_thread() -> None:
    text = """
    def at_module():
        time.sleep(1)

    def again():
        at_module()
        again()

    class Base:
        def inherited(self):
            time.sleep(2)

    class C(Base):
        async def process(self):
            again()
            self.helper()
            self.inherited()
            await to_thread.run_sync(self.in_thread)
            self.context.spawn(self.later)
            self.missing()

        def helper(self):
            time.sleep(3)

        def in_thread(self):
            time.sleep(4)

        async def later(self):
            time.sleep(5)

        def never(self):
            time.sleep(6)
    """
    found = of_class(text)
    assert [one.split()[0] for one in found] == ["3", "11", "23", "29"]
    assert "(at_module() is called from process())" in found[0]
    assert "called from" not in found[3]


def test_a_port_may_be_declared_by_its_full_name() -> None:
    text = "class C:\n    sent: headrace.Out[int]\n    async def process(self):\n        self.sent.send(1)\n"
    assert [one.split()[:2] for one in of_class(text)] == [["4", "W311"]]


def test_a_class_inside_a_class_has_a_self_of_its_own() -> None:
    text = """
    class C:
        class Clock:
            async def sleep(self):
                time.sleep(1)

        async def process(self):
            self.sleep()
    """
    assert of_class(text) == []
    assert [one.split()[:2] for one in of_class(text, "Clock")] == [["5", "W310"]]


def test_a_diamond_of_bases_is_walked_once() -> None:
    text = """
    class A:
        def slow(self):
            time.sleep(1)

    class B(A): ...
    class D(A): ...

    class C(B, D):
        async def process(self):
            self.slow()
            self.nothing()
    """
    assert [one.split()[:2] for one in of_class(text)] == [["4", "W310"]]


def test_a_helper_is_to_be_called_in_a_thread() -> None:
    found = of_function("async def f(x):\n    g()\n\ndef g():\n    time.sleep(1)\n")
    assert found == [
        "W310 time.sleep(...) blocks the event loop (g() is called from f()): all components stand still, "
        "call g() in a thread: 'await anyio.to_thread.run_sync(...)'"
    ]


def test_a_plain_function_component_holds_the_loop_as_well() -> None:
    assert of_function("@component\ndef f(x):\n    time.sleep(1)\n") == [
        "W310 time.sleep(...) in a plain function holds the event loop: all components stand still, "
        "make f() an 'async def', and write 'await anyio.sleep(...)'"
    ]


def test_an_alias_is_shown_with_its_full_name_and_a_long_call_short() -> None:
    assert (
        "nap(...), which is time.sleep, blocks"
        in of_function("from time import sleep as nap\nasync def f(x):\n    nap(1)\n")[0]
    )
    assert of_function(f"async def f(x):\n    subprocess.Popen([{'x' * 50}]).wait()\n")[0].startswith(
        "W310 subprocess.Popen.wait(...) blocks"
    )
    long = "x" * 50
    text = f"class C:\n    async def process(self):\n        self.{long}()\n    async def {long}(self): ...\n"
    assert "..." + "x" * 40 + "(...) is not awaited" in of_class(text)[0]


def test_set_up_and_clean_up_are_looked_at_and_the_constructor_may_block() -> None:
    text = """
    class C:
        def __init__(self):
            time.sleep(1)
            self.queue = asyncio.Queue()

        async def setup(self, context=None):
            time.sleep(2)
    """
    assert [one.split()[:2] for one in of_class(text)] == [["5", "W312"], ["8", "W310"]]


# --- W311: forgotten awaits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "self.out.send(1)",
        "self.in_.receive()",
        "self.out.aclose()",
        "self.send_streams['x'].send(1)",
        "self.send_streams.get('x').send(1)",
        "out = self.out\nout.send(1)",
        "send = self.out.send\nsend(1)",
        "out = self.out.clone()\nout.send(1)",
        "async with self.out as out:\n    out.send(1)",
        "for out in self.send_streams.values():\n    out.send(1)",
        "for name, out in self.send_streams.items():\n    out.send(1)",
        "anyio.sleep(1)",
        "from anyio import sleep\nsleep(1)",
        "from anyio.lowlevel import checkpoint\ncheckpoint()",
        "to_thread.run_sync(print)",
        "async def inner(): ...\ninner()",
        "async def inner(out: Out[int]):\n    out.send(1)\nawait inner(self.out)",
        "async def inner(out: 'headrace.Out[int]'):\n    out.send(1)\nawait inner(self.out)",
        "async def inner(out: Optional[Out[int]]):\n    out.send(1)\nawait inner(self.out)",
        "async def inner(out: Annotated[Out[int], 1]):\n    out.send(1)\nawait inner(self.out)",
        "async def inner(out: MemoryObjectSendStream):\n    out.send(1)\nawait inner(self.out)",
    ],
)
def test_a_forgotten_await_is_found(body: str) -> None:
    assert of_process(body) == ["W311"]


@pytest.mark.parametrize(
    "body",
    [
        "await self.out.send(1)",
        "self.out.send_nowait(1)",
        "self.out.close()",
        "sending = self.out.send(1)\nawait sending",
        "self.other.send(1)",
        "socket.send(1)",
        "async with anyio.create_task_group() as group:\n    group.start_soon(self.out.send, 1)",
        "def plain(): ...\nplain()",
        "async def items():\n    yield 1\nitems()",
        "@traced\nasync def inner(): ...\ninner()",
        "async def inner(out: Sender):\n    out.send(1)\nawait inner(self.out)",
        "async def inner(out: f()[1]):\n    out.send(1)\nawait inner(self.out)",
        "async def inner(*args: Out, **kwargs: Out):\n    args[0].send(1)\nawait inner(self.out)",
        "for name in self.send_streams.keys():\n    name.send(1)",
        "for name in self.tables.values():\n    name.send(1)",
        "for name in sorted(self.send_streams.values()):\n    name.send(1)",
        "'a string'",
        "lambda: self.out.send(1)",
        "super().setup()",
    ],
)
def test_what_is_awaited_or_may_be_no_coroutine_is_passed_over(body: str) -> None:
    assert of_process(body) == []


def test_the_contract_of_the_base_class_is_awaited_too() -> None:
    text = """
    class C(HarnessComponent):
        async def setup(self, context=None):
            super().setup(context)
            self.later()

        async def later(self): ...

        async def cleanup(self):
            await super().cleanup()
    """
    assert of_class(text) == [
        "4 W311 super().setup(...) is not awaited, so it does nothing",
        "5 W311 self.later(...) is not awaited, so it does nothing",
    ]


def test_a_plain_helper_that_sends_is_to_become_a_coroutine() -> None:
    (found,) = of_function("async def f(x):\n    g()\n\ndef g():\n    anyio.sleep(1)\n")
    assert found.endswith("make g() an 'async def', and write 'await anyio.sleep(...)'")


def test_ports_that_a_base_elsewhere_declares_are_known_by_name() -> None:
    text = HEAD + "class C(Base):\n    async def process(self):\n        self.sent.send(1)\n"
    lint = SourceLint(text)
    assert lint.lint_class(lines_of(text, "C")) == []
    assert [one.code for one in lint.lint_class(lines_of(text, "C"), ports=["sent"])] == ["W311"]


# --- W312: asyncio -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("asyncio.create_task(f())", "starts a task"),
        ("task = asyncio.ensure_future(f())", "starts a task"),
        ("loop = asyncio.get_running_loop()\nloop.create_task(f())", "starts a task"),
        ("from asyncio import create_task as go\ngo(f())", "starts a task"),
        ("await asyncio.sleep(1)", "works on asyncio only"),
        ("q = asyncio.Queue()", "works on asyncio only"),
        ("await asyncio.get_running_loop().run_in_executor(None, f)", "works on asyncio only"),
    ],
)
def test_asyncio_in_a_component_is_found(body: str, text: str) -> None:
    (found,) = of_class(f"class C:\n    async def process(self):\n{textwrap.indent(body, ' ' * 8)}\n")
    assert found.split()[1] == "W312"
    assert text in found


@pytest.mark.parametrize(
    "body", ["self.context.spawn(f)", "x: asyncio.Queue[int]", "isinstance(1, asyncio.Task)"]
)
def test_spawn_and_the_mere_names_of_asyncio_are_fine(body: str) -> None:
    assert of_process(body) == []


# --- W313: swallowed cancellation ----------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    await f()\nexcept:\n    pass",
        "try:\n    await f()\nexcept BaseException as error:\n    print(error)",
        "try:\n    await f()\nexcept anyio.get_cancelled_exc_class():\n    return",
        "cancelled = anyio.get_cancelled_exc_class()\ntry:\n    await f()\nexcept cancelled:\n    pass",
        "try:\n    await f()\nexcept (ValueError, asyncio.CancelledError):\n    pass",
        "try:\n    async for x in y:\n        pass\nexcept ValueError:\n    raise\nexcept BaseException:\n    pass",
        "try:\n    async with f():\n        pass\nexcept* BaseException:\n    pass",
        "try:\n    await f()\nexcept BaseException:\n    def g():\n        raise",
        "def log(e): ...\ntry:\n    await f()\nexcept BaseException as error:\n    log(error)",
        "with contextlib.suppress(BaseException):\n    await f()",
        "from contextlib import suppress\nwith suppress(asyncio.CancelledError):\n    await f()",
    ],
)
def test_a_handler_that_swallows_cancellation_is_found(body: str) -> None:
    assert of_process(body) == ["W313"]


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    await f()\nexcept Exception:\n    pass",
        "try:\n    await f()\nexcept BaseException:\n    print()\n    raise",
        "try:\n    await f()\nexcept BaseException as error:\n    raise RuntimeError from error",
        "try:\n    await f()\nexcept BaseException as error:\n    kept = error",
        "try:\n    await f()\nexcept BaseException as error:\n    return error",
        "try:\n    await f()\nexcept BaseException as error:\n    future.set_exception(error)",
        "try:\n    await f()\nexcept BaseException:\n    sys.exit(1)",
        "def no(e):\n    raise e\ntry:\n    await f()\nexcept BaseException as error:\n    no(error)",
        "try:\n    await f()\nexcept anyio.get_cancelled_exc_class():\n    raise\nexcept BaseException:\n    pass",
        "try:\n    f()\nexcept BaseException:\n    pass",
        "try:\n    def g():\n        return lambda: 1\nexcept BaseException:\n    pass",
        "task.cancel()\ntry:\n    await task\nexcept asyncio.CancelledError:\n    pass",
        "with contextlib.suppress(ValueError):\n    await f()",
        "with contextlib.suppress(BaseException):\n    f()",
        "with f(), g() as x:\n    await f()",
        "with scope:\n    await f()",
        "try:\n    await f()\nfinally:\n    pass",
    ],
)
def test_what_raises_hands_on_or_cannot_be_cancelled_is_passed_over(body: str) -> None:
    assert of_process(body) == []


# --- W314: unused ports --------------------------------------------------------------------------


def unused(text: str, name: str = "C") -> list[str]:
    """Return the messages on the unused ports of a class."""
    whole = HEAD + textwrap.dedent(text)
    lint, lines = SourceLint(whole), lines_of(whole, name)
    use = lint.use_of_ports(name, lines)
    assert use is not None
    return (
        [one.message for one in lint.unused_ports(use.names, name, lines)] if use.is_certain else ["unsure"]
    )


def ports_and(body: str) -> str:
    """Return a class with two ports and a process of this body."""
    head = "class C(HarnessComponent):\n    in_: In[int]\n    out: Out[int]\n    async def process(self):\n"
    return head + textwrap.indent(body, " " * 8) + "\n"


def test_a_port_that_is_never_used_is_told() -> None:
    assert unused(ports_and("self.x = 1")) == [
        "port 'in' of C is declared, but never read",
        "port 'out' of C is declared, but never used",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "async for x in self.in_:\n    await self.out.send(x)",
        "x = self.receive_streams['in']\ny = self.send_streams.get('out')",
    ],
)
def test_a_port_that_is_used_by_attribute_or_by_name_is_not(body: str) -> None:
    assert unused(ports_and(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        "getattr(self, 'out')",
        "helper(self)",
        "self.__dict__['out']",
        "self.send_streams.values()",
        "self.send_streams[self.name]",
        "self.send_streams.get()",
        "vars()",
        "...",
        "'''Not written yet.'''",
        "pass",
    ],
)
def test_where_a_port_may_be_used_in_another_way_nothing_is_said(body: str) -> None:
    assert unused(ports_and(body)) == ["unsure"]


def test_a_class_that_is_not_there_or_there_twice_is_not_judged() -> None:
    lint = SourceLint("class C:\n    x: In[int]\nclass C:\n    x: In[int]\n")
    assert lint.use_of_ports("C") is None
    assert lint.unused_ports((), "C") == []
    assert lint.use_of_ports("D") is None
    assert lint.lint_function(7) == []
    assert lint.lint_class([7]) == []


def test_a_class_without_methods_is_found_by_its_name() -> None:
    lint = SourceLint("class C:\n    x: In[int]\n    y: Other\n    z = 1\n")
    assert [one.message for one in lint.unused_ports((), "C")] == [
        "port 'x' of C is declared, but never read"
    ]
    use = lint.use_of_ports("C")
    assert use is not None
    assert not use.has_streams


# --- places, silence, robustness -----------------------------------------------------------------


def test_a_place_is_in_characters() -> None:
    (found,) = SourceLint("import time\nasync def f(x):\n    'äöü'; time.sleep(1)\n").lint_function(2)
    assert (found.line, found.column) == (3, 12)


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: W310",
        "# NOQA:E501,W310",
        "# headrace: ignore",
        "# headrace: ignore[W310]",
        "# type: ignore # headrace: ignore[W311, w310]",
    ],
)
def test_a_comment_on_the_line_silences(comment: str) -> None:
    assert of_process(f"time.sleep(1)  {comment}") == []


@pytest.mark.parametrize("comment", ["# noqa: E501", "# headrace: ignore[W311]", "# type: ignore", "# W310"])
def test_another_comment_does_not_silence(comment: str) -> None:
    assert of_process(f"time.sleep(1)  {comment}") == ["W310"]


@pytest.mark.parametrize("text", ["def f(:", "x = '\0'", "(" * 500 + ")" * 500, "-" * 100_000 + "1"])
def test_what_is_no_python_is_a_syntax_error(text: str) -> None:
    with pytest.raises(SyntaxError):
        SourceLint(text)


def look_at_everything(text: str) -> None:
    """Look at every function and class of a source."""
    try:
        lint = SourceLint(text)
    except SyntaxError:
        return
    lines = text.count("\n") + text.count("\r") + 1
    classes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ClassDef)]
    for line in range(1, lines + 1):
        for one in [*lint.lint_function(line), *lint.lint_class([line])]:
            assert 1 <= one.line <= lines
            assert one.column >= 1
    for cls in classes:
        lint.use_of_ports(cls.name)
        lint.unused_ports((), cls.name)


STDLIB = sorted(Path(os.__file__).parent.glob("*.py")) + sorted(Path(os.__file__).parent.glob("asyncio/*.py"))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STDLIB))
def test_no_real_module_breaks_it(path: Path) -> None:
    look_at_everything(path.read_text(encoding="utf-8", errors="replace"))


PIECES = [
    *(
        "self",
        "self.out",
        "time",
        "time.sleep",
        "x",
        "x.send",
        "()",
        "(1)",
        "[0]",
        ".get",
        "=",
        ":=",
        ",",
        "\n",
    ),
    *("async ", "await ", "def f", "(self):", "class C:", "lambda:", "try:", "except:", "except*", "\n    "),
    *(
        "\n        ",
        "for x in ",
        "with ",
        " as ",
        "import time",
        "from a import ",
        "global x",
        "match x:",
        "case ",
    ),
    *(": Out[int]", "| None", "''", "yield", "return", "@x\n", "*", "**x", "é", "\t", "# noqa", ";"),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_text_breaks_it(text: str) -> None:
    look_at_everything("import time\nclass A:\n    async def process(self):\n        " + text)


# --- the tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted({*BLOCKING, *COROUTINES, *DETACHING, *ASYNCIO_ONLY, *CANCELLATIONS}))
def test_what_the_tables_name_exists(path: str) -> None:
    """Of what is installed here; ``x().y`` is looked up as an attribute of the class ``x`` where it is one."""
    names = path.split(".")
    for count in range(len(names) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(names[:count]).replace("()", ""))
            break
        except ImportError:
            continue
    else:
        return
    for name in names[count:]:
        if not hasattr(found, name.removesuffix("()")):
            if name in ("sleep_until", "open_file", "run_process", "sleep_forever", "checkpoint"):
                return  # the same names in several libraries, of which not each has each
            raise AssertionError(path)
        found = getattr(found, name.removesuffix("()"))
        if name.endswith("()") and not inspect.isclass(found):
            return
