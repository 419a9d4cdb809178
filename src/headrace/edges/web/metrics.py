"""``/metrics``: the snapshot as Prometheus reads it, from a registry of its own.

Counters only grow during a run, whatever restarts, redrives and crashes there are; a new run begins at 0, which
Prometheus takes for a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import anyio
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from headrace.model.component_status import ComponentState
from headrace.runtime.statistics import EdgeStatistics, SystemStatistics
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .site import Route, Site

BOUNDS = tuple(2.0**exponent for exponent in range(-20, 8, 2))
"""The bounds of the buckets of latencies, in seconds: each four times the one before, from a microsecond."""
_TROUBLES = ("blocked", "slow", "dead_letters", "paused", "restarting", "deadlock", "loop", "slow_step")


class SystemCollector(Collector):
    """Gives the figures of a system, for a registry of Prometheus' library.

    Args:
        harness: The system.
        now: Its figures; where None, those of the moment when it is asked.
    """

    def __init__(self, harness: SystemExecutionHarness, now: SystemStatistics | None = None) -> None:
        self._harness = harness
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering it takes no snapshot."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        now = self._now or self._harness.statistics()
        yield from _of_system(now)
        yield from _of_components(now)
        yield from _of_edges(now)


def _gauge(name: str, about: str, labels: Iterable[str], values: Iterable[tuple[list[str], float]]) -> Metric:
    made = GaugeMetricFamily(f"headrace_{name}", about, labels=["system", *labels])
    for key, value in values:
        made.add_metric(key, value)
    return made


def _counter(
    name: str, about: str, labels: Iterable[str], values: Iterable[tuple[list[str], float]]
) -> Metric:
    made = CounterMetricFamily(f"headrace_{name}", about, labels=["system", *labels])
    for key, value in values:
        made.add_metric(key, value)
    return made


def _of_system(now: SystemStatistics) -> Iterator[Metric]:
    name, health = now.name, now.health
    assert health is not None  # taken of a harness
    kinds = [*("deadlock" for _ in now.deadlocks), *(getattr(one, "kind", "slow_step") for one in now.stalls)]
    kinds += [] if now.loop_blocked is None else ["loop"]
    totals = {"in": now.totals.taken_in, "out": now.totals.given_out, "rejected": now.totals.rejected}
    yield _gauge("up", "Whether the system runs.", [], [([name], float(now.running))])
    yield _gauge("ready", "Whether all components do their work.", [], [([name], float(health.ready))])
    yield _gauge("live", "Whether the system can go on.", [], [([name], float(health.live))])
    yield _gauge("start_time_seconds", "When the run began, since the epoch.", [], [([name], now.started_at)])
    yield _counter(
        "messages",
        "Messages that came in, went out and were rejected.",
        ["way"],
        [([name, way], number) for way, number in totals.items()],
    )
    yield _gauge("dead_letters_kept", "Dead letters that are kept.", [], [([name], now.dead_letters)])
    yield _gauge(
        "dead_letters_limit", "How many dead letters may be kept.", [], [([name], now.dead_letter_limit)]
    )
    yield _gauge(
        "troubles",
        "What is wrong now, by its kind.",
        ["kind"],
        [([name, kind], kinds.count(kind)) for kind in _TROUBLES],
    )


def _of_components(now: SystemStatistics) -> Iterator[Metric]:
    name, parts = now.name, now.components.values()
    yield _gauge(
        "component_state",
        "The state of a component: 1 for the one that it is in.",
        ["component", "state"],
        [
            ([name, one.name, state.value], float(one.state is state))
            for one in parts
            for state in ComponentState
        ],
    )
    yield _gauge(
        "component_paused",
        "Whether a component is paused.",
        ["component"],
        [([name, one.name], float(one.paused)) for one in parts],
    )
    for key, about in (
        ("acknowledged", "Messages that a component is done with."),
        ("sent", "Messages that a component has sent, each once."),
        ("rejected", "Messages that a component has rejected."),
        ("redelivered", "Messages that a component was given once more after a crash."),
    ):
        yield _counter(
            f"component_messages_{key}",
            about,
            ["component"],
            [([name, one.name], getattr(one, key)) for one in parts],
        )
    yield _counter(
        "component_restarts",
        "How often a component was restarted.",
        ["component"],
        [([name, one.name], one.restarts) for one in parts],
    )
    yield _counter(
        "component_errors",
        "How often a component has failed, by the kind of error.",
        ["component", "kind"],
        [([name, one.name, kind], number) for one in parts for kind, number in one.errors.items()],
    )
    yield _counter(
        "component_dead_letters",
        "Messages that a component has failed on for good, by the kind of error.",
        ["component", "kind"],
        [([name, one.name, kind], number) for one in parts for kind, number in one.dead.items()],
    )


def _of_edges(now: SystemStatistics) -> Iterator[Metric]:
    name, edges = now.name, now.edges
    for key, about in (
        ("accepted", "Messages that an edge has taken from its sender."),
        ("acknowledged", "Messages of an edge that its reader is done with."),
    ):
        yield _counter(
            f"edge_messages_{key}",
            about,
            ["edge"],
            [([name, edge], getattr(one.ledger, key)) for edge, one in edges.items()],
        )
    yield _counter(
        "edge_messages_dropped",
        "Messages of an edge that were dropped, by the reason.",
        ["edge", "reason"],
        [([name, edge, why], n) for edge, one in edges.items() for why, n in one.ledger.dropped.items()],
    )
    for key, about, read in (
        ("buffered", "Messages that lie on an edge.", _buffered),
        ("capacity", "How many messages may lie on an edge.", _capacity),
        ("in_hand", "Messages of an edge that its reader has in hand.", _in_hand),
    ):
        yield _gauge(
            f"edge_messages_{key}",
            about,
            ["edge"],
            [([name, edge], read(one)) for edge, one in edges.items()],
        )
    yield _gauge(
        "edge_waiting_senders",
        "Tasks that wait for room on an edge.",
        ["edge"],
        [([name, edge], one.waiting_senders) for edge, one in edges.items()],
    )
    waits = HistogramMetricFamily(
        "headrace_edge_wait_seconds",
        "How long messages lay on an edge, of a few that were followed.",
        labels=["system", "edge"],
    )
    for edge, one in edges.items():
        waits.add_metric([name, edge], *_buckets(one.latencies))
    yield waits


def _buffered(one: EdgeStatistics) -> int:
    return one.buffered


def _capacity(one: EdgeStatistics) -> int:
    return one.capacity


def _in_hand(one: EdgeStatistics) -> int:
    return one.ledger.in_hand


def _buckets(latencies: tuple[tuple[float, int], ...]) -> tuple[list[tuple[str, float]], float]:
    """Return cumulated counts up to each bound, and about how many seconds that are in all."""
    made = [(f"{bound:g}", float(sum(n for le, n in latencies if le <= bound))) for bound in BOUNDS]
    made.append(("+Inf", float(sum(number for _, number in latencies))))
    return made, sum(le * number for le, number in latencies)


async def metrics(site: Site, request: Request) -> Response:
    """Answer with the metrics, in the format that is asked for.

    They are written by a thread: it takes 60 ms for a hundred components, in which the event loop goes on.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SystemCollector(site.harness, site.harness.statistics()))
    encode, media = choose_encoder(request.headers.get("accept", ""))
    text = await anyio.to_thread.run_sync(encode, registry)
    return Response(text, headers={"content-type": media})


ROUTES = (Route("GET", "/metrics", metrics, str, "The figures for Prometheus.", media="text/plain"),)

__all__ = ["BOUNDS", "ROUTES", "SystemCollector"]
