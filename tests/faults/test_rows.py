"""Each fault of the matrix, in a real process by the command line: what happens, and what the user sees of it.

``docs/faults.md`` is written from the marks: run ``python docs/make_faults.py`` after a change.
"""

from __future__ import annotations

from collections.abc import Callable
from signal import SIGTERM

import pytest

Shows = Callable[..., str]
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


# --- set-up, work, clean-up ------------------------------------------------------------------------


@BACKENDS
@pytest.mark.fault(
    1,
    "Nothing starts. What was set up is cleaned up in reverse; the component and the line are named; exit "
    "code 1.",
    sees=[
        "x setupofpassraises failed in set-up: OSError no disk at systems.py:...",
        'systems.py:... in setup: raise OSError("no disk")',
        "cleaned up setupofpassraises",
        "cleaned up cleanedup",
        "failed: setupofpassraises failed in set-up: OSError no disk at systems.py:...",
        "in 0 out 0 rejected 0 lost 0 in ... s",
    ],
)
def test_a_set_up_that_raises(backend: str, shows: Shows) -> None:
    text = shows("setup_raises", backend, code=1)
    assert text.index("cleaned up setupofpassraises") < text.index("cleaned up cleanedup")


@BACKENDS
@pytest.mark.fault(
    2,
    "Past `setup_timeout` it is cancelled, and named with the line where it waits; nothing starts; exit "
    "code 1.",
    sees=[
        "x setuphangs failed in set-up: set-up of 'setuphangs' took over 0.2 s, awaiting setup() at "
        "systems.py:...; make it quicker or raise setup_timeout",
    ],
)
def test_a_set_up_that_hangs(backend: str, shows: Shows) -> None:
    shows("setup_hangs", backend, code=1)


@BACKENDS
@pytest.mark.fault(
    3,
    "With a restart policy it is made anew after a pause, and the message it failed on is delivered again; "
    "nothing is lost. Without one (the default) the system drains and fails, with exit code 1.",
    sees=[
        "x raisesonce crashed (restart 1/3 in 0.01 s): ValueError not that one at systems.py:...; "
        "its 1 message in hand will come again",
        "...component restarted component=raisesonce restarts=1",
        "got 3",
        "restarted: raisesonce 1 time, 1 message delivered again, last error: ValueError not that one",
        "in 10 out 10 rejected 0 lost 0 in ... s",
    ],
)
def test_a_process_that_raises_is_restarted(backend: str, shows: Shows) -> None:
    text = shows("process_raises", backend, code=0)
    assert text.count("got 3") == 1


@BACKENDS
@pytest.mark.fault(
    4,
    "One restart more than `max_restarts` within `within` seconds: it is given up, the system drains and "
    "fails. The first error of those in a row comes first; exit code 1.",
    sees=[
        "x raisesalways crashed (given up after 3 restarts): ConnectionError no connection, try 4 at "
        "systems.py:...",
        "failed: raisesalways crashed after 3 restarts within 60 s: ConnectionError no connection, try 1 at "
        "systems.py:...",
        "failed: raisesalways crashed: ConnectionError no connection, try 4 at systems.py:...",
        "lost on ten.out -> raisesalways.in: 10 dropped (reader_ended)",
    ],
)
def test_a_restart_storm_escalates(backend: str, shows: Shows) -> None:
    text = shows("storm", backend, code=1)
    assert text.index("failed: raisesalways crashed after 3 restarts within 60 s") < text.index(
        "failed: raisesalways crashed: ConnectionError no connection, try 4"
    )


@BACKENDS
@pytest.mark.fault(
    5,
    "The other clean-ups run; an error of before stays first; exit code 1.",
    sees=[
        "x cleanupraises failed in clean-up: OSError cannot close at systems.py:...",
        "cleaned up cleanedup",
        "failed: cleanupraises failed in clean-up: OSError cannot close at systems.py:...",
        "in 10 out 10 rejected 0 lost 0 in ... s",
    ],
)
def test_a_clean_up_that_raises(backend: str, shows: Shows) -> None:
    shows("cleanup_raises", backend, code=1)


@BACKENDS
@pytest.mark.fault(
    6,
    "Past `cleanup_timeout` it is cancelled and named with its line; the other clean-ups run; exit code 5.",
    sees=[
        "x cleanuphangs failed in clean-up: cleanuphangs overran its cleanup after 0.2... s, awaiting "
        "cleanup() at systems.py:...",
        "cleaned up cleanedup",
        "overran: cleanuphangs overran its cleanup after 0.2... s, awaiting cleanup() at systems.py:...",
    ],
)
def test_a_clean_up_that_hangs(backend: str, shows: Shows) -> None:
    shows("cleanup_hangs", backend, code=5)


# --- what cannot be stopped --------------------------------------------------------------------------


@BACKENDS
@pytest.mark.fault(
    7,
    "At the deadline it is named with its line, and made to end; a library call returns. What cannot even "
    "be made to end (asyncio, in a cancel scope of its own) is left behind there; only the command line "
    "ends the process hard.",
    sees=[
        "overran: swallows overran its process after 0.3... s, awaiting take() at systems.py:..., which "
        "swallows cancellation",
        "lost on one.out -> swallows.in: 1 left",
        "in 1 out 0 rejected 0 lost 1 in ... s",
    ],
)
def test_who_swallows_cancellation(backend: str, shows: Shows) -> None:
    shows("swallows", backend, code=143, signals={"at work": SIGTERM})


# --- errors that are no usual ones -------------------------------------------------------------------


@BACKENDS
@pytest.mark.fault(
    11,
    "The same report and the same exit code on both backends: 1, with the line; `run()` raises it as it is.",
    sees=[
        "x interrupts crashed: KeyboardInterrupt at systems.py:...",
        "failed: interrupts crashed: KeyboardInterrupt at systems.py:...",
        "in 10 out 0 rejected 0 lost 9 dead 1 in ... s",
    ],
)
def test_a_keyboard_interrupt_in_a_component(backend: str, shows: Shows) -> None:
    shows("interrupts", backend, code=1)


@BACKENDS
@pytest.mark.fault(
    11,
    "`sys.exit(3)` in a component does not choose the exit code of the system.",
    sees=["failed: exits crashed: SystemExit 3 at systems.py:..."],
)
def test_a_system_exit_in_a_component(backend: str, shows: Shows) -> None:
    shows("exits", backend, code=1)


@BACKENDS
@pytest.mark.fault(
    12,
    "Every error in it is shown, each with its own line.",
    sees=[
        "x group crashed: ValueError first at systems.py:...",
        "x group crashed: KeyError 'second' at systems.py:...",
        "failed: group crashed: ValueError first at systems.py:...",
        "failed: group crashed: KeyError 'second' at systems.py:...",
    ],
)
def test_an_exception_group(backend: str, shows: Shows) -> None:
    shows("group", backend, code=1)


@BACKENDS
@pytest.mark.fault(
    13,
    "It is never swallowed nor restarted; the system drains, and `run()` raises it as it is.",
    sees=[
        "x raisesown crashed: Own mine at systems.py:...",
        "failed: raisesown crashed: Own mine at systems.py:...",
    ],
)
def test_a_base_exception_of_ones_own(backend: str, shows: Shows) -> None:
    shows("own", backend, code=1)


# --- messages ----------------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.fault(
    14,
    "No more than `buffer_size` messages lie on an edge, and one is in hand: the sender waits.",
    sees=["draining... slow 2... left (5 s); again to force", "in ... out ... rejected 0 lost 0 in ... s"],
)
def test_a_flood(backend: str, shows: Shows) -> None:
    text = shows("drains", backend, code=143, signals={"at work": SIGTERM})
    left = text.partition("draining... slow ")[2].split()[0]
    assert int(left) <= 21


@BACKENDS
@pytest.mark.fault(
    16,
    "`check` and `run` warn where a cycle can block. Within 2 s of standing still it is named as a "
    "deadlock, with the full edges and the lines; at the drain's deadline the report names all of them, and "
    "what was left on which edge.",
    sees=[
        "systems.py:...: warning W302 the cycle of ping, pass can block: it stands still when all its edges "
        "are full, ...",
        "... [error] deadlock: ping.out -> pass.in (100/100) and pass.out -> ping.in (100/100) wait for "
        "each other: ping in process() at systems.py:..., pass in take() at systems.py:... ...",
        "overran: ping overran its process after 0.3... s, awaiting process() at systems.py:...",
        "overran: pass overran its process after 0.3... s, awaiting take() at systems.py:...",
        "lost on ping.out -> pass.in: ... left",
    ],
)
def test_a_cycle_of_full_buffers(backend: str, shows: Shows) -> None:
    shows("deadlock", backend, code=143, signals={"deadlock": SIGTERM})


@BACKENDS
@pytest.mark.fault(
    17,
    "It is tried `attempts` times, a restart between each, then it is a dead letter and acknowledged; the "
    "system goes on; exit code 4.",
    sees=[
        "x poisoned crashed (restart 2/3 in 0.01 s): ValueError poison at systems.py:...; message "
        "saved as dead letter 1",
        "dead letters: 1",
        "1 in poisoned: ValueError poison at systems.py:...",
        "got 9",
        "in 10 out 9 rejected 0 lost 0 dead 1 in ... s",
    ],
)
def test_a_poison_message(backend: str, shows: Shows) -> None:
    text = shows("poison", backend, code=4)
    assert text.count("x poisoned crashed") == 2
    assert "got 3" not in text


@BACKENDS
@pytest.mark.fault(
    18,
    "Who fails waits: nothing is dropped. At the drain's deadline it is named with what it waits for.",
    sees=[
        "overran: never overran its process after 0.3... s, awaiting room among the dead letters (limit 5)",
        "lost on numbers.out -> never.in: ... left",
        "dead letters: 5",
    ],
)
def test_a_full_store_of_dead_letters(backend: str, shows: Shows) -> None:
    shows("full_of_letters", backend, code=143, signals={"at work": SIGTERM})


@BACKENDS
@pytest.mark.fault(
    20,
    "A sender's end lets the reader have what is buffered. A reader's end drops it, counted and named.",
    sees=[
        "lost on ten.out -> takesthree.in: 7 dropped (reader_ended)",
        "in 10 out 3 rejected 0 lost 7 in ... s",
    ],
)
def test_a_reader_that_ends_with_messages_buffered(backend: str, shows: Shows) -> None:
    shows("ends_early", backend, code=0)


@BACKENDS
@pytest.mark.fault(
    44,
    "It is retried by the restart policy, then given up; nothing is acknowledged that was not written.",
    sees=[
        "x toafulldisk crashed (restart 1/2 in 0.01 s): OSError [Errno 28] No space left on device "
        "at systems.py:...; its 1 message in hand will come again",
        "...component restarted component=toafulldisk restarts=2",
        "ten.out -> toafulldisk.in        10             0 ...",
        "failed: toafulldisk crashed after 2 restarts within 60 s: OSError [Errno 28] No space left on "
        "device at systems.py:...",
    ],
)
def test_a_target_that_takes_nothing_any_more(backend: str, shows: Shows) -> None:
    shows("full_disk", backend, code=1)


# --- programs and their mistakes ---------------------------------------------------------------------


@BACKENDS
@pytest.mark.fault(
    "unconnected output",
    "A warning with the line; messages are counted and discarded.",
    sees=[
        "systems.py:...: warning W301 output 'ten.out' is not connected: its messages are counted and "
        "discarded, ...",
        "discarded: 10 from ten.out, which is not connected",
    ],
)
def test_an_unconnected_output(backend: str, shows: Shows) -> None:
    shows("alone", backend, code=0)


@BACKENDS
@pytest.mark.fault(
    "synchronous sleep",
    "A warning with the line.",
    sees=[
        "systems.py:...: warning W310 time.sleep(...) blocks the event loop: all components stand still, "
        "write 'await anyio.sleep(...)'"
    ],
)
def test_a_synchronous_sleep(backend: str, shows: Shows) -> None:
    shows("sleeps", backend, code=0)


@BACKENDS
@pytest.mark.fault(
    "forgotten await",
    "A warning with the line.",
    sees=["systems.py:...: warning W3... ...send..."],
)
def test_a_forgotten_await(backend: str, shows: Shows) -> None:
    shows("forgets", backend, code=0)


@BACKENDS
@pytest.mark.fault(
    "function that cannot travel",
    "`check` and `run` refuse a lambda, a local function or class with `run_in: process`; exit code 2.",
    sees=["...run_in: process: ..."],
)
def test_a_local_function_in_a_process(backend: str, shows: Shows) -> None:
    shows("cannot_travel", backend, code=2)
