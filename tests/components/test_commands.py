"""``command_source``, ``command_transform``, ``command_sink``, with real programs."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvloop

from headrace import HarnessComponent, In, System
from headrace.components import CommandSink, CommandSource, CommandTransform
from headrace.exceptions import ComponentError, ConfigError, ProgramError, SystemFailed
from headrace.model.restart_policy import Backoff, RestartPolicy

pytestmark = pytest.mark.anyio

IGNORING = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
ECHO = "import sys\nfor line in sys.stdin: print(line.rstrip('\\n').upper(), flush=True)\n"


def python(code: str, *arguments: str) -> list[str]:
    """Return a command that runs some Python."""
    return [sys.executable, "-c", code, *arguments]


async def gone(pid: int) -> None:
    """Wait until a process that may not be ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(10):
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def is_there(pid: str) -> bool:
    """Return whether there is a process of this number, be it a zombie."""
    return Path(f"/proc/{pid}").exists()


def lines_of(seen: Any, port: str = "out") -> list[str]:
    """Return the lines that came out."""
    return [row["line"] for row in seen.ports[port]]


def numbers(count: int) -> list[dict[str, str]]:
    """Return rows with a line each."""
    return [{"line": str(number)} for number in range(count)]


async def failure(running: Any) -> ProgramError:
    """Return the error of the program that a run fails with."""
    with pytest.raises(SystemFailed) as caught:
        await running
    error = caught.value.__cause__
    assert isinstance(error, ProgramError)
    return error


class Hear(HarnessComponent):
    """Keeps what it gets, and can be waited for."""

    in_: In[Any]

    async def process(self) -> None:
        self.rows: list[Any] = []
        self.first = anyio.Event()
        async for row in self.in_:
            self.rows.append(row)
            self.first.set()


@asynccontextmanager
async def first_line(command: list[str], **config: Any) -> AsyncIterator[tuple[System, str, Any]]:
    """Run a program as a source, up to its first line."""
    system = System("test")
    source: Any = system.add("it", CommandSource, command=command, **config)
    hear: Any = system.add("hear", Hear)
    system.connect("it.out", "hear")
    with anyio.fail_after(20):
        async with system:
            await hear.component.first.wait()
            yield system, hear.component.rows[0]["line"], hear.component
    assert source.component._program._process is None


# --- a source ------------------------------------------------------------------------------------------


async def test_the_lines_of_a_program_come_in_order_the_last_without_an_end_too(run_through: Any) -> None:
    seen = await run_through(
        CommandSource, {"command": python("print('\\n'.join(map(str, range(5000))), end='')")}
    )
    assert lines_of(seen) == list(map(str, range(5000)))
    assert seen.report.outcome == "finished"


async def test_a_shell_is_not_between_and_env_and_cwd_are_the_programs(
    run_through: Any, tmp_path: Path
) -> None:
    code = "import os, sys; print(sys.argv[1], os.environ['WHO'], os.getcwd(), os.environ['PATH'], sep='\\n')"
    config = {"command": python(code, "$HOME; echo *"), "env": {"WHO": "me"}, "cwd": str(tmp_path)}
    seen = await run_through(CommandSource, config)
    assert lines_of(seen) == ["$HOME; echo *", "me", str(tmp_path), os.environ["PATH"]]


async def test_objects_come_by_json_and_what_is_none_is_rejected(run_through: Any) -> None:
    code = """print('{"a": 1}\\n\\n[2]\\nnothing\\n{"a": 3}')"""
    seen = await run_through(CommandSource, {"command": python(code), "format": "json"})
    assert seen.out == [{"a": 1}, {"a": 3}]
    assert [rejected.message for rejected in seen.rejected] == ["[2]", "nothing"]


async def test_a_line_that_is_no_text_or_too_long_is_rejected(run_through: Any) -> None:
    code = "import sys; sys.stdout.buffer.write(b'a\\n\\xff\\n' + b'x' * 5_000_000 + b'\\nb\\n')"
    seen = await run_through(CommandSource, {"command": python(code), "max_line": 1000})
    assert lines_of(seen) == ["a", "b"]
    assert "not utf-8" in seen.reasons[0]
    assert "5,000,001 bytes" in seen.reasons[1]
    assert len(seen.rejected[1].message) < 100


async def test_an_exit_code_is_an_error_with_the_last_words_after_all_lines_have_come(
    run_through: Any,
) -> None:
    code = "import sys; print('a line'); print('no such table', file=sys.stderr); sys.exit(3)"
    error = await failure(run_through(CommandSource, {"command": python(code)}))
    assert error.exit_code == 3
    assert "failed: exit code 3; it said: no such table" in str(error)
    assert error.program == os.path.basename(sys.executable)


async def test_an_exit_code_may_be_no_error(run_through: Any) -> None:
    seen = await run_through(CommandSource, {"command": python("raise SystemExit(1)"), "exit_codes": [0, 1]})
    assert seen.report.outcome == "finished"


async def test_a_signal_is_named(run_through: Any) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    error = await failure(run_through(CommandSource, {"command": python(code)}))
    assert "killed by SIGSEGV" in str(error)
    assert error.exit_code == -11


async def test_a_failed_program_is_started_again_by_supervision(tmp_path: Path, collect: Any) -> None:
    code = "import os, sys; os.mkdir('seen'); sys.exit(1)"
    system = System("test")
    once = f"import os, sys\nprint('here', flush=True)\nif not os.path.exists('seen'): {code}"
    restart = RestartPolicy(backoff=Backoff(first=0.001))
    system.add("it", CommandSource, {"command": python(once), "cwd": str(tmp_path)}, restart=restart)
    kept = collect("kept")
    system.add("kept", kept)
    system.connect("it.out", "kept")
    report = await system.run()
    assert [row["line"] for row in kept.messages] == ["here", "here"]
    assert report.outcome == "finished"


async def test_the_lines_of_stderr_go_to_the_log_to_a_port_or_nowhere(
    run_through: Any, caplog: pytest.LogCaptureFixture
) -> None:
    command = python("import sys; print('one\\ntwo', file=sys.stderr)")
    caplog.set_level("INFO")
    await run_through(CommandSource, {"command": command, "stderr": "discard"})
    assert "one" not in caplog.text
    seen = await run_through(CommandSource, {"command": command, "stderr": "port"})
    assert lines_of(seen, "stderr") == ["one", "two"]
    assert "one" not in caplog.text
    await run_through(CommandSource, {"command": command})
    assert "one" in caplog.text


async def test_a_program_that_is_not_there_is_an_error_of_the_set_up_that_names_it_and_path(
    run_through: Any,
) -> None:
    config = {"command": ["no-such-program", "-x"], "env": {"PATH": "/nowhere:/else"}}
    with pytest.raises(SystemFailed, match="there is no program 'no-such-program' in PATH, /nowhere:/else"):
        await run_through(CommandSource, config)


@pytest.mark.parametrize("made", [False, True])
async def test_a_file_that_is_missing_or_may_not_be_executed_is_named(
    run_through: Any, tmp_path: Path, made: bool
) -> None:
    path = tmp_path / "tool"
    if made:
        path.write_text("#!/bin/sh\n")
    said = "may not be executed" if made else "there is no program"
    with pytest.raises(SystemFailed, match=said):
        await run_through(CommandSource, {"command": ["./tool"], "cwd": str(tmp_path)})


async def test_a_folder_that_is_missing_and_a_file_that_is_no_program_are_errors(
    run_through: Any, tmp_path: Path
) -> None:
    with pytest.raises(SystemFailed, match="there is no folder"):
        await run_through(CommandSource, {"command": ["true"], "cwd": str(tmp_path / "gone")})
    path = tmp_path / "tool"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    with pytest.raises(SystemFailed, match="cannot be started: No such file") as caught:
        await run_through(CommandSource, {"command": [str(path)]})
    assert isinstance(caught.value.__cause__, ComponentError)


async def test_a_stop_asks_the_program_to_end_and_takes_its_last_line() -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), os._exit(0)))\n"  # no print
        "print(os.getpid(), flush=True)\n"
        "signal.pause()\n"
    )
    async with first_line(python(code)) as (_, pid, hear):
        pass
    assert [row["line"] for row in hear.rows] == [pid, "bye"]
    assert not is_there(pid)  # nor a zombie


async def test_what_does_not_end_is_killed_with_all_that_it_has_started() -> None:
    child = python(IGNORING + "import os; print(os.getpid(), flush=True); signal.pause()")
    code = (
        f"{IGNORING}import os, subprocess, sys\n"
        f"child = subprocess.Popen({child!r}, stdout=subprocess.PIPE, text=True)\n"
        "print(os.getpid(), child.stdout.readline().strip(), flush=True)\n"
        "while True: signal.pause()\n"
    )
    async with first_line(python(code), end_within="100ms") as (_, pids, _hear):
        pass
    parent, grandchild = pids.split()
    assert not is_there(parent)
    await gone(int(grandchild))


async def test_a_run_that_is_cancelled_leaves_no_program() -> None:
    code = IGNORING + "import os; print(os.getpid(), flush=True)\nwhile True: signal.pause()"
    system = System("test")
    system.add("it", CommandSource, command=python(code), end_within="100ms")
    hear: Any = system.add("hear", Hear)
    system.connect("it.out", "hear")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await hear.component.first.wait()
            group.cancel_scope.cancel()
    assert not is_there(hear.component.rows[0]["line"])


async def test_what_a_program_leaves_behind_is_ended_and_not_waited_for(run_through: Any) -> None:
    child = python(IGNORING + "signal.pause()")
    code = f"import subprocess; print(subprocess.Popen({child!r}).pid, flush=True)"
    with anyio.fail_after(20):
        seen = await run_through(CommandSource, {"command": python(code)})
    await gone(int(lines_of(seen)[0]))


async def test_who_has_left_the_group_and_holds_the_output_is_not_waited_for(run_through: Any) -> None:
    child = python("import sys; sys.stdin.read()")
    reading, writing = os.pipe()  # the child ends when this ends
    try:
        code = (
            "import os, subprocess, sys\n"
            f"child = subprocess.Popen({child!r}, stdin=os.open('/proc/{os.getpid()}/fd/{reading}', os.O_RDONLY),"
            " start_new_session=True)\n"
            "print(child.pid, flush=True)\n"
        )
        with anyio.fail_after(20):
            seen = await run_through(CommandSource, {"command": python(code)})
    finally:
        os.close(writing)
        os.close(reading)
    assert seen.report.outcome == "finished"
    await gone(int(lines_of(seen)[0]))


async def test_a_program_that_closes_its_output_and_goes_on_is_an_error(run_through: Any) -> None:
    code = "import os, signal; print(os.getpid(), flush=True); os.close(1); os.close(2); signal.pause()"
    config = {"command": python(code), "end_within": "100ms"}
    error = await failure(run_through(CommandSource, config))
    assert "has closed its output, and goes on" in str(error)
    assert error.exit_code is None


async def test_a_program_that_nobody_reads_has_to_wait() -> None:
    code = (
        "import select, sys, os\n"
        "written = 0\n"
        "while select.select([], [1], [], 0.3)[1]: written += os.write(1, b'x' * 4095 + b'\\n')\n"
        "print(written, file=sys.stderr, flush=True)\n"
    )
    system = System("test", buffer_size=2)
    go_on = anyio.Event()

    class Wait(HarnessComponent):
        in_: In[Any]

        async def process(self) -> None:
            await go_on.wait()
            async for _ in self.in_:
                pass

    system.add("it", CommandSource, command=python(code), stderr="port")
    hear: Any = system.add("hear", Hear)
    system.add("wait", Wait)
    system.connect("it.stderr", "hear")
    system.connect("it.out", "wait")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await hear.component.first.wait()
            assert int(hear.component.rows[0]["line"]) < 1_000_000
            go_on.set()


# --- a transform ---------------------------------------------------------------------------------------


async def test_each_line_is_answered_by_a_line_in_order(run_through: Any) -> None:
    rows = [{"line": f"line {number}"} for number in range(3000)]
    seen = await run_through(CommandTransform, {"command": python(ECHO)}, in_=rows)
    assert lines_of(seen) == [f"LINE {number}" for number in range(3000)]
    edge = next(edge for edge in seen.report.ledger.edges if edge.edge.endswith("it.in"))
    assert edge.acknowledged == 3000


async def test_a_message_that_cannot_be_written_and_an_answer_that_is_no_text_are_rejected(
    run_through: Any,
) -> None:
    code = (
        "import sys\n"
        "for line in sys.stdin.buffer:\n"
        "    sys.stdout.buffer.write(line.replace(b'?', b'\\xff'))\n"
        "    sys.stdout.flush()\n"
    )
    messages = ["a", {"line": "b?"}, {"other": 1}, "two\nlines", {"line": 5}, "c"]
    seen = await run_through(CommandTransform, {"command": python(code)}, in_=messages)
    assert lines_of(seen) == ["a", "c"]
    assert len(seen.rejected) == 4
    assert any("no field 'line'" in reason for reason in seen.reasons)
    assert any("line end within" in reason for reason in seen.reasons)
    assert any("not utf-8" in reason for reason in seen.reasons)


async def test_an_empty_answer_in_json_lets_a_message_go(run_through: Any) -> None:
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    n = json.loads(line)['n']\n"
        "    print(json.dumps({'n': n}) if n % 2 else '', flush=True)\n"
    )
    rows = [{"n": number} for number in range(10)]
    seen = await run_through(CommandTransform, {"command": python(code), "format": "json"}, in_=rows)
    assert seen.out == [{"n": number} for number in (1, 3, 5, 7, 9)]


async def test_a_program_that_dies_of_a_message_gets_it_again_and_then_it_is_a_dead_letter(
    feed: Any, collect: Any
) -> None:
    code = (
        "import sys\n"
        "for line in sys.stdin:\n"
        "    if line == '7\\n': print('cannot bear 7', file=sys.stderr); sys.exit(9)\n"
        "    print('ok', line, end='', flush=True)\n"
    )
    system = System("test")
    restart = RestartPolicy(max_restarts=10, backoff=Backoff(first=0.001))
    config = {"command": python(code), "in_flight": 4}
    system.add("it", CommandTransform, config, restart=restart, attempts=2)
    system.add("feed", feed("feed", numbers(12)))
    kept = collect("kept")
    system.add("kept", kept)
    system.connect("feed.out", "it.in")
    system.connect("it.out", "kept")
    with anyio.fail_after(30):
        report = await system.run()
    assert {row["line"] for row in kept.messages} == {f"ok {number}" for number in range(12) if number != 7}
    [letter] = report.dead_letters
    assert letter.message == {"line": "7"}
    assert letter.attempts == 2
    assert "exit code 9" in str(letter.error)
    assert "cannot bear 7" in str(letter.error)


async def test_more_lines_than_messages_are_an_error_that_knows_of_the_filter(run_through: Any) -> None:
    code = "import sys\nfor line in sys.stdin: print(line, line, flush=True)"
    error = await failure(run_through(CommandTransform, {"command": python(code)}, in_=numbers(3)))
    assert "more lines than it was given; is it for `mode: filter`?" in str(error)


@pytest.mark.parametrize(
    ("code", "in_flight", "said"),
    [
        ("import sys; print(sys.stdin.readline(), end='', flush=True)", 2, "before its input"),
        ("import sys; sys.stdin.read()", 5, "5 unanswered"),
        ("import os, sys; os.close(1); sys.stdin.read(); sys.exit(4)", 5, "exit code 4"),
    ],
)
async def test_a_program_that_ends_too_early_or_does_not_answer_is_an_error(
    run_through: Any, code: str, in_flight: int, said: str
) -> None:
    config = {"command": python(code), "in_flight": in_flight, "end_within": "500ms"}
    error = await failure(run_through(CommandTransform, config, in_=numbers(5)))
    assert said in str(error)


async def test_a_filter_writes_as_many_lines_as_it_wants(run_through: Any) -> None:
    code = "import sys; rows = sorted(sys.stdin)\nfor row in rows: print(row * 2, end='')"
    config = {"command": python(code), "mode": "filter"}
    seen = await run_through(CommandTransform, config, in_=["b", "c", "a"])
    assert lines_of(seen) == ["a", "a", "b", "b", "c", "c"]
    assert seen.component.accumulates


async def test_much_goes_both_ways_through_small_buffers(run_through: Any) -> None:
    rows = [{"line": f"{number} " + "x" * 20_000} for number in range(500)]
    config = {"command": ["cat"], "in_flight": 500}
    with anyio.fail_after(30):
        seen = await run_through(CommandTransform, config, in_=rows)
    assert seen.out == rows


# --- a sink --------------------------------------------------------------------------------------------


async def test_a_program_gets_all_lines_and_its_end_is_waited_for(run_through: Any, tmp_path: Path) -> None:
    code = "import sys; text = sys.stdin.read(); open('all', 'w').write(text); print('written')"
    config = {"command": python(code), "cwd": str(tmp_path), "stderr": "port"}
    seen = await run_through(CommandSink, config, in_=numbers(2000))
    assert (tmp_path / "all").read_text().split() == list(map(str, range(2000)))
    assert lines_of(seen, "stderr") == ["written"]


async def test_a_sink_writes_json_and_turns_away_what_is_none(run_through: Any, tmp_path: Path) -> None:
    code = "import sys; open('all', 'w').write(sys.stdin.read())"
    config = {"command": python(code), "cwd": str(tmp_path), "format": "json"}
    seen = await run_through(CommandSink, config, in_=[{"a": 1}, {"a": object()}, [2]])
    assert (tmp_path / "all").read_text() == '{"a":1}\n[2]\n'
    assert len(seen.rejected) == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.stdin.read(); sys.exit(5)", "failed: exit code 5"),
        ("import sys; sys.stdin.readline()", "before its input"),
        ("import os, signal; os.close(0); signal.pause()", "has closed its input, and goes on"),
    ],
)
async def test_a_program_that_fails_or_takes_no_more_is_an_error(
    run_through: Any, code: str, said: str
) -> None:
    def endless() -> Iterator[dict[str, str]]:
        for _ in range(200_000 if "read()" not in code else 5):
            yield {"line": "x" * 50}

    config = {"command": python(code), "end_within": "200ms"}
    error = await failure(run_through(CommandSink, config, in_=endless()))
    assert said in str(error)


async def test_a_batch_whose_run_fails_comes_again_and_nothing_is_lost(
    feed: Any, collect: Any, tmp_path: Path
) -> None:
    code = (
        "import os, sys\n"
        "rows = sys.stdin.read()\n"
        "if '5\\n' in rows and not os.path.exists('failed'): os.mkdir('failed'); sys.exit(2)\n"
        "open('all', 'a').write(rows)\n"
    )
    system = System("test")
    config = {"command": python(code), "cwd": str(tmp_path), "batch": 4, "within": "10s"}
    restart = RestartPolicy(backoff=Backoff(first=0.001))
    system.add("it", CommandSink, config, restart=restart)
    system.add("feed", feed("feed", numbers(10)))
    system.connect("feed.out", "it.in")
    with anyio.fail_after(30):
        report = await system.run()
    assert sorted(map(int, (tmp_path / "all").read_text().split())) == list(range(10))
    assert report.outcome == "finished"


async def test_a_batch_of_what_a_program_needs_not_is_done_when_it_ends_well(run_through: Any) -> None:
    rows = [{"line": "x" * 1000}] * 1000
    seen = await run_through(CommandSink, {"command": python("pass"), "batch": 500}, in_=rows)
    assert seen.report.outcome == "finished"


@pytest.mark.parametrize("cls", [CommandTransform, CommandSink])
async def test_a_program_that_does_not_end_with_its_input_is_killed_once_the_drain_is_over(
    feed: Any, cls: Any
) -> None:
    code = (
        IGNORING + "import os, sys\n"
        "print(os.getpid(), file=sys.stderr, flush=True)\n"
        "for line in sys.stdin: print(line, end='', flush=True)\n"
        "while True: signal.pause()\n"
    )
    system = System("test", shutdown_timeout=0.3)
    system.add("it", cls, command=python(code), stderr="port", end_within="100ms")
    system.add("feed", feed("feed", numbers(3)))
    hear: Any = system.add("hear", Hear)
    system.connect("feed.out", "it.in")
    system.connect("it.stderr", "hear")
    with anyio.fail_after(20):
        await system.start()
        await hear.component.first.wait()
        report = await system.stop()
    assert report is not None
    assert report.overruns[0].component == "it"
    assert not is_there(hear.component.rows[0]["line"])


def test_a_program_works_on_uvloop_too() -> None:
    async def main() -> list[Any]:
        system = System("test")
        system.add("count", CommandSource, command=["seq", "1000"])
        system.add("same", CommandTransform, command=["cat"])
        hear: Any = system.add("hear", Hear)
        system.connect("count.out", "same.in")
        system.connect("same.out", "hear")
        await system.run()
        return list(hear.component.rows)

    rows = anyio.run(main, backend_options={"loop_factory": uvloop.new_event_loop})
    assert [row["line"] for row in rows] == [str(number) for number in range(1, 1001)]


# --- all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "config", "field"),
    [
        (CommandSource, {"command": []}, "command"),
        (CommandSource, {"command": ["a\0b"]}, "command"),
        (CommandSource, {"command": "ls -l"}, "command"),
        (CommandSource, {"command": ["ls"], "max_line": 0}, "max_line"),
        (CommandSource, {"command": ["ls"], "end_within": 0}, "end_within"),
        (CommandTransform, {"command": ["ls"], "in_flight": 0}, "in_flight"),
        (CommandSink, {"command": ["ls"], "batch": 0}, "batch"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(cls: Any, config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        cls("it", config)


async def test_variables_are_not_shown(run_through: Any) -> None:
    source = CommandSource("it", {"command": ["ls"], "env": {"TOKEN": "hush"}})
    assert "hush" not in repr(source.config)
