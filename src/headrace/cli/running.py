"""One run from the command line: the loop, what is seen of it, its end, and the exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import anyio
from anyio import create_task_group, get_cancelled_exc_class
from anyio.abc import TaskStatus

from headrace.exceptions import HarnessError, SystemFailed
from headrace.model.blueprint import Problem
from headrace.model.component_status import ComponentState
from headrace.model.report import ShutdownReport
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .ending import failure_card, report_lines, unfinished_lines
from .guard import MARGIN, Guard, lingering, stuck_threads, who_is_stuck
from .logs import LogFormat, configure_logs
from .main import BROKEN_PIPE
from .problems import plural
from .progress import Progress
from .report_json import report_json, unfinished_json
from .screen import Screen, wants_colour
from .web import served

OVERRAN = 5


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of ``headrace run``."""

    backend: str = "asyncio"
    log_format: LogFormat = "console"
    log_level: str | None = None
    allow_dead: bool = False
    debug: bool = False
    quiet: bool = False
    form: Literal["text", "json"] = "text"
    warnings: tuple[Problem, ...] = ()
    hide: Callable[[str], str] = str
    web: str | None = None

    @property
    def shows_progress(self) -> bool:
        """Whether there is anything to see of the run but failures and its end."""
        return not self.quiet and self.form == "text"

    @property
    def level(self) -> str:
        """The least level of logs that is shown."""
        return self.log_level or ("debug" if self.debug else "error" if self.quiet else "info")


def run_system(
    harness: SystemExecutionHarness, options: RunOptions, exit_hard: Callable[[int], object]
) -> int:
    """Run a system with everything that is seen of it.

    Args:
        harness: The system; it is known to have no mistakes.
        options: How to run it.
        exit_hard: Ends the process at once.

    Returns:
        The exit code.
    """
    is_json = options.log_format == "json"
    live = options.shows_progress and not is_json
    with Screen(live=live, on_broken=harness.request_stop, hide=options.hide) as screen:
        colours = not is_json and wants_colour(screen.err.real)
        configure_logs(options.log_format, options.level, screen.err, colours=colours)
        return _Session(harness, options, screen, exit_hard).run()


class _Session:
    def __init__(
        self,
        harness: SystemExecutionHarness,
        options: RunOptions,
        screen: Screen,
        exit_hard: Callable[[int], object],
    ) -> None:
        self.harness = harness
        self.options = options
        self.screen = screen
        self.exit_hard = exit_hard
        self.began = time.monotonic()
        self.error: BaseException | None = None
        self.refusal = ""
        self.has_late_signal = False
        self.is_plain = options.log_format == "console"
        self.progress = Progress(
            harness,
            screen,
            is_silent=not self.is_plain,
            quiet=not options.shows_progress,
            debug=options.debug,
        )
        self.guard = Guard(harness, self._give_up, self.progress.heard)

    def run(self) -> int:
        self.guard.start()
        self.progress.start()
        try:
            anyio.run(self._main, backend=self.options.backend)
        except KeyboardInterrupt as error:  # between two handlers of the signal
            self.error = self.error or error
        finally:
            self.guard.stop()
            self.progress.stop()
        has_stuck_threads = self._see_threads_off()
        code = self._tell()
        if has_stuck_threads:
            self.screen.flush()
            self.exit_hard(code or OVERRAN)
        return code

    async def _main(self) -> None:
        """Run the system; what it raises is kept, because the report tells it better."""
        async with create_task_group() as group:
            group.start_soon(self.guard.listen)
            try:
                async with served(self.harness, self.options.web, self._tell_web):
                    await self._run_within()
            except HarnessError as error:
                if self.error is None and self.harness.report is None:
                    self.refusal = str(error)
                else:
                    raise
            group.cancel_scope.cancel()

    async def _run_within(self) -> None:
        try:
            await self.harness.run(handle_signals=True, task_status=_Announcement(self._announce))
        except get_cancelled_exc_class():
            raise
        except BaseException as error:
            self.error = error
        self.guard.returned()
        self._take_signals()

    def _tell_web(self, lines: list[str]) -> None:
        """Tell where the page is; logs as JSON are kept by others, who must not have the token."""
        if self.is_plain:
            self.screen.notice(lines)
            return
        import logging

        for line in lines:
            logging.getLogger("headrace.cli").info(line.partition("?token=")[0])

    def _take_signals(self) -> None:
        """Let one more signal pass while the run is wound up, so that its results are not lost to impatience."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._on_late_signal)

    def _on_late_signal(self, number: int, _frame: object) -> None:
        if self.has_late_signal:
            self.exit_hard(128 + number)
        self.has_late_signal = True

    def _announce(self) -> None:
        if not (self.options.shows_progress and self.is_plain):
            return
        wiring = self.harness.wiring
        size = (
            f"{plural(len(wiring.registered), 'component')}, {plural(len(wiring.connections), 'connection')}"
        )
        self.screen.notice([f"running {self.harness.name}: {size}, {self.options.backend}"])

    # --- an orderly end ----------------------------------------------------------------------------

    def _tell(self) -> int:
        report = self.harness.report
        if self.refusal:
            self._notice([f"Error: {self.refusal}"])
            return 2
        if report is None or not (
            self.error is None or isinstance(self.error, SystemFailed) or report.failures
        ):
            return self._tell_unexpected(report)
        code = report.exit_code(allow_dead=self.options.allow_dead)
        self._tell_report(report, code)
        return BROKEN_PIPE if code == 0 and self.screen.is_broken else code

    def _tell_report(self, report: ShutdownReport, code: int) -> None:
        if self.options.form == "json":
            line = report_json(report, code, self.options.warnings, hide=self.options.hide)
            self.screen.results([line], is_clean=True)
        else:
            self.screen.results(report_lines(report, quiet=self.options.quiet))

    def _tell_unexpected(self, report: ShutdownReport | None) -> int:
        """Tell an error that is neither the system's nor the user's."""
        assert self.error is not None
        if isinstance(self.error, KeyboardInterrupt):
            code = (report.exit_code() if report is not None else 0) or 130
        else:
            self.screen.notice(failure_card(self.harness.name, "run", self.error, debug=True), "red")
            code = 1
        if report is not None:
            self._tell_report(report, code)
        return code

    def _see_threads_off(self) -> bool:
        """Wait for threads that are still at work, for a while: the interpreter would wait for ever.

        Returns:
            Whether some are stuck.
        """
        deadline = time.monotonic() + max(MARGIN, self.harness.timeouts.cleanup)
        while (left := lingering()) and time.monotonic() < deadline:
            left[0].join(deadline - time.monotonic())
        if left:
            names = ", ".join(f"'{thread.name}'" for thread in left)
            self._notice([*stuck_threads(), f"still at work: {names}; ending the process"])
            self._dump()
        return bool(left)

    # --- the other one -----------------------------------------------------------------------------

    def _give_up(self) -> None:
        """End the process; runs in the guard's thread, and waits for nobody."""
        teller = threading.Thread(target=self._tell_last, name="headrace last words", daemon=True)
        teller.start()
        teller.join(1.0)
        self.exit_hard(self._hard_code())

    def _hard_code(self) -> int:
        report = self.harness.report
        if self.guard.signal is not None:
            return 128 + self.guard.signal
        if report is not None and not self.harness.running:
            return report.exit_code(allow_dead=self.options.allow_dead) or OVERRAN
        parts = self.harness.statistics().components.values()
        return 1 if any(one.failed or one.state is ComponentState.ERROR for one in parts) else OVERRAN

    def _tell_last(self) -> None:
        stuck = who_is_stuck(self.harness)
        self.screen.clear()
        self._notice([*stuck, "it cannot be stopped in an orderly way; ending the process"])
        self._dump()
        report = self.harness.report
        if report is not None and not self.harness.running:
            self._tell_report(report, self._hard_code())
            return
        seconds = time.monotonic() - self.began
        if self.options.form == "json":
            line = unfinished_json(self.harness.name, self.harness.ledger(), seconds, self._hard_code())
            self.screen.results([line], is_clean=True)
            return
        self.screen.results(unfinished_lines(self.harness.ledger(), seconds, quiet=self.options.quiet))

    def _notice(self, lines: list[str]) -> None:
        if self.is_plain:
            self.screen.notice(lines, "red")
            return
        import logging

        for line in lines:
            logging.getLogger("headrace.cli").error(line)

    def _dump(self) -> None:
        if self.options.debug:
            with contextlib.suppress(OSError, ValueError):
                faulthandler.dump_traceback(file=self.screen.err.real, all_threads=True)


class _Announcement(TaskStatus[None]):
    """Calls a function when all components run."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def started(self, value: None = None) -> None:
        self._call()


__all__ = ["RunOptions", "run_system"]
