"""Makes the records of the API from a snapshot of the system, and takes secrets out of every text in them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from headrace.model.component_status import Transition
from headrace.model.plain import plain
from headrace.model.report import DeadLetter, describe
from headrace.model.trouble import Deadlock, LoopBlock, SlowStep, Stall
from headrace.runtime.statistics import ComponentStatistics, EdgeStatistics, SystemStatistics
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from . import answers, records
from .origin import registered_at, settings_of, source_of
from .rates import Rates, RatesAt

FAILURES = 5
"""How many failures of a component are shown with their tracebacks."""
_ENDED = ("created", "stopped")


class Recorder:
    """Makes records of a system.

    Args:
        harness: The system.
        hide: Takes secrets out of a text; what the system's journal does where None.
    """

    def __init__(self, harness: SystemExecutionHarness, hide: Callable[[str], str] | None = None) -> None:
        self._harness = harness
        self._hide = hide or (lambda text: harness.journal.hide(text))
        self._rates = Rates()

    def snapshot(self) -> records.Snapshot:
        """Return the system as it is now."""
        now = self._harness.statistics()
        rates = self._rates.at(now)
        return records.Snapshot(
            version=now.version,
            number=now.number,
            time=round(now.time, 3),
            monotonic=round(now.monotonic, 6),
            uptime=round(now.uptime, 3),
            system=self._system(now),
            components={name: self._component(one, now, rates) for name, one in now.components.items()},
            edges={key: self._edge(key, one, now, rates) for key, one in now.edges.items()},
            groups={name: list(names) for name, names in now.replicas.items()},
        )

    def component(self, name: str, *, with_settings: bool = False) -> records.ComponentDetail:
        """Return a component with its timeline and its failures.

        Args:
            name: Its name; that of one replica.
            with_settings: Whether whoever asks may see its settings.

        Raises:
            KeyError: There is none of that name.
        """
        now = self._harness.statistics()
        one = now.components[name]
        edges = {key: self._ends(key) for key in now.edges}
        member = self._harness.wiring.members[name]
        return records.ComponentDetail(
            **_fields(self._component(one, now, self._rates.at(now))),
            timeline=[self._change(move) for move in one.history],
            failures=[self._failure(move) for move in one.failures[-FAILURES:]],
            inputs=[key for key, (_, _, receiver, _) in edges.items() if receiver == name],
            outputs=[key for key, (sender, _, _, _) in edges.items() if sender == name],
            source=source_of(member),
            registered=registered_at(member),
            settings=settings_of(member, self._hide) if with_settings else None,
        )

    def edge(self, key: str) -> records.EdgeDetail:
        """Return an edge with the histogram of its latency.

        Raises:
            KeyError: There is none of that name.
        """
        now = self._harness.statistics()
        one, options = now.edges[key], self._harness.wiring.edges[key].options
        return records.EdgeDetail(
            **_fields(self._edge(key, one, now, self._rates.at(now))),
            histogram=[records.Bucket(le=le, count=count) for le, count in one.latencies],
            when_full=options.when_full,
            confirms=self._harness.wiring.edges[key].store.confirms,
        )

    def letter(self, one: DeadLetter) -> answers.Letter:
        """Return a dead letter."""
        return answers.Letter(**self._letter(one))

    def letter_detail(self, one: DeadLetter) -> answers.LetterDetail:
        """Return a dead letter with its traceback."""
        return answers.LetterDetail(**self._letter(one), traceback=self._hide(one.traceback), id=one.id)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        return self._hide(text)

    # --- parts ---------------------------------------------------------------------------------------

    def _system(self, now: SystemStatistics) -> records.System:
        health = now.health
        assert health is not None  # taken of a harness
        at_work = [one for one in now.components.values() if one.state not in _ENDED and not one.failed]
        return records.System(
            name=now.name,
            state=health.state,
            ready=health.ready,
            live=health.live,
            reason=self._hide(health.reason),
            paused=bool(at_work) and all(one.paused for one in at_work),
            started_at=round(now.started_at, 3),
            totals=records.TotalsRecord(
                taken_in=now.totals.taken_in,
                given_out=now.totals.given_out,
                rejected=now.totals.rejected,
                dead=now.totals.dead,
                lost=now.totals.lost,
            ),
            dead_letters=now.dead_letters,
            dead_letter_limit=now.dead_letter_limit,
            troubles=[self._trouble(one) for one in _troubles(now)],
            unhealthy={name: self._hide(why) for name, why in health.unhealthy.items()},
        )

    def _component(
        self, one: ComponentStatistics, now: SystemStatistics, rates: RatesAt
    ) -> records.Component:
        wait = one.waiting_for
        return records.Component(
            name=one.name,
            kind=one.kind,
            group=next((group for group, names in now.replicas.items() if one.name in names), one.name),
            state=one.state.value,
            condition=_condition(one),
            run_in=one.run_in,
            paused=one.paused,
            since=round(one.last_transition, 3),
            received=one.received,
            acknowledged=one.acknowledged,
            sent=one.sent,
            rejected=one.rejected,
            dead=dict(one.dead),
            error_count=one.error_count,
            errors=dict(one.errors),
            restarts=one.restarts,
            redelivered=one.redelivered,
            last_error=self._hide(one.last_error),
            next_restart_in=None if one.next_restart_in is None else round(one.next_restart_in, 1),
            waiting_for=None
            if wait is None
            else records.Waiting(
                kind=wait.kind, text=self._hide(wait.text), since=round(wait.since, 1), on=list(wait.on)
            ),
            in_rate=rates.finished.get(one.name),
            out_rate=rates.sent.get(one.name),
        )

    def _edge(self, key: str, one: EdgeStatistics, now: SystemStatistics, rates: RatesAt) -> records.Edge:
        sender, output, receiver, port = self._ends(key)
        book, rate = one.ledger, rates.edges.get(key)
        is_told = any(isinstance(stall, Stall) and stall.edge == key for stall in now.stalls)
        return records.Edge(
            name=key,
            link=self._harness.wiring.connection_of(key).key,
            sender=sender,
            output=output,
            receiver=receiver,
            input=port,
            buffered=one.buffered,
            capacity=one.capacity,
            in_hand=book.in_hand,
            accepted=book.accepted,
            delivered=one.delivered,
            acknowledged=book.acknowledged,
            dropped={reason: number for reason, number in book.dropped.items() if number},
            dead=book.dead_lettered,
            left=book.remaining,
            redelivered=one.redelivered,
            waiting_senders=one.waiting_senders,
            waiting_receivers=one.waiting_receivers,
            open=one.open,
            latency=records.Latency(
                samples=one.latency.samples,
                p50=one.latency.p50,
                p99=one.latency.p99,
                highest=one.latency.highest,
            ),
            pressure=pressure(one, rate, is_told=is_told),
            rate=rate,
        )

    def _ends(self, key: str) -> tuple[str, str, str, str]:
        edge = self._harness.wiring.edges[key]
        sender, _, output = edge.outlet.name.rpartition(".")
        receiver, _, port = edge.inlet.name.rpartition(".")
        return sender, output, receiver, port

    def _trouble(self, one: Stall | SlowStep | Deadlock | LoopBlock) -> records.TroubleRecord:
        text = self._hide(str(one))
        if isinstance(one, Deadlock):
            return records.TroubleRecord(
                kind="deadlock", text=text, components=list(one.components), blocked=list(one.blocked)
            )
        who = [one.component] if one.component else []
        if isinstance(one, Stall):
            return records.TroubleRecord(
                kind=one.kind, text=text, components=who, blocked=list(one.blocked), edge=one.edge
            )
        return records.TroubleRecord(
            kind="loop" if isinstance(one, LoopBlock) else "slow_step", text=text, components=who
        )

    def _change(self, move: Transition) -> records.Change:
        error = "" if move.error is None else self._hide(describe(move.error))
        return records.Change(state=move.target.value, at=round(move.at, 3), error=error)

    def _failure(self, move: Transition) -> records.FailureRecord:
        error = move.error
        assert error is not None
        return records.FailureRecord(
            at=round(move.at, 3),
            kind=type(error).__name__,
            error=self._hide(describe(error)),
            traceback=self._hide("".join(traceback.format_exception(error))),
        )

    def _letter(self, one: DeadLetter) -> dict[str, Any]:
        return {
            "number": one.number,
            "component": one.component,
            "edge": one.edge,
            "at": round(one.at, 3),
            "attempts": one.attempts,
            "kind": type(one.error).__name__,
            "error": self._hide(describe(one.error)),
            "message": plain(one.message),
        }


def pressure(edge: EdgeStatistics, rate: float | None, *, is_told: bool = False) -> records.Pressure:
    """Return how an edge is pressed, in a word.

    Args:
        edge: The edge.
        rate: Messages that are taken from it a second; None where that is not known.
        is_told: Whether its sender has waited so long that it is told.
    """
    if not edge.open and not edge.buffered:
        return "closed"
    if is_told or (edge.waiting_senders and not rate):
        return "blocked"
    if edge.waiting_senders or 2 * edge.buffered >= edge.capacity:
        return "filling"
    return "flowing" if rate or edge.buffered or edge.ledger.in_hand else "idle"


def _condition(one: ComponentStatistics) -> records.Condition:
    if one.failed:
        return "failed"
    wait = one.waiting_for
    if one.next_restart_in is not None or (wait is not None and wait.kind == "restart"):
        return "restarting"
    return "paused" if one.paused else one.state.value


def _troubles(now: SystemStatistics) -> list[Stall | SlowStep | Deadlock | LoopBlock]:
    blocked = [] if now.loop_blocked is None else [now.loop_blocked]
    return [*blocked, *now.deadlocks, *now.stalls]


def _fields(record: records.Record) -> dict[str, Any]:
    """Return the values of a record by name, for one that has more."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


__all__ = ["FAILURES", "Recorder", "pressure"]
