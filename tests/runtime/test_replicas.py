"""Replicas: several instances behind one name give the same as one, and each is a component of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from headrace import (
    HarnessComponent,
    In,
    Out,
    Replicas,
    System,
    SystemFailed,
    component,
    field_key,
    find_warnings,
)
from headrace.cli.drawing import draw_dot, draw_json, draw_mermaid
from headrace.cli.drawing_text import draw_text
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import (
    BlueprintError,
    ComponentAlreadyRegistered,
    ConfigError,
    NotSerializableSystemError,
    PortTypeError,
    UnconnectedPortError,
    WiringError,
)
from headrace.model.graph_svg import draw_svg
from headrace.runtime.picture import picture_of
from headrace.testing import run_system

COUNT = 60
Reading = dict[str, int]


class Work(HarnessComponent):
    """Numbers what it gets of each sensor: its own state."""

    in_: In[Reading]
    out: Out[tuple[str, int, int]]

    async def process(self) -> None:
        self.seen: dict[int, int] = defaultdict(int)
        async for reading in self.in_:
            self.seen[reading["sensor"]] += 1
            await self.out.send((self.name, reading["sensor"], reading["n"]))


class Sink(HarnessComponent):
    """Keeps what it gets."""

    in_: In[Any]

    async def process(self) -> None:
        self.got: list[Any] = []
        async for message in self.in_:
            self.got.append(message)


@component
def readings(*, count: int = COUNT) -> Iterator[Reading]:
    for n in range(count):
        yield {"sensor": n % 7, "n": n}


@component(attempts=2, backoff=0)
def picky(reading: Reading) -> int:
    if reading["n"] % 5 == 0:
        raise ValueError("five")
    return reading["n"]


def workshop(work: Any, replicas: int | Replicas, **edge: Any) -> System:
    system = System("workshop")
    system.add("src", readings)
    system.add("work", work, replicas=replicas)
    system.add("sink", Sink)
    system.connect("src", "work", **edge)
    system.connect("work.out", "sink", **edge)
    return system


def got(system: System) -> list[Any]:
    found: list[Any] = system.components["sink"].got
    return found


# --- the same as one -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "replicas", [1, 2, 5, Replicas(1, field_key("sensor")), Replicas(3, field_key("sensor"))]
)
@pytest.mark.parametrize("size", [1, 2, 100])
async def test_one_and_several_replicas_give_the_same(replicas: int | Replicas, size: int) -> None:
    system = workshop(Work, replicas, buffer_size=size)
    report = await system.run()
    assert sorted(n for _, _, n in got(system)) == list(range(COUNT))
    assert report.ledger.closes
    assert (report.ledger.totals.taken_in, report.ledger.totals.given_out) == (COUNT, COUNT)


@pytest.mark.parametrize("replicas", [1, 3, Replicas(3, field_key("sensor"))])
async def test_failing_messages_fail_once_whoever_gets_them(replicas: int | Replicas) -> None:
    system = workshop(picky, replicas)
    report = await system.run()
    assert Counter(got(system)) == Counter(n for n in range(COUNT) if n % 5)
    assert sorted(letter.message["n"] for letter in report.dead_letters) == list(range(0, COUNT, 5))
    assert report.ledger.closes
    several = replicas if isinstance(replicas, int) else replicas.count
    assert {letter.component.partition("[")[0] for letter in report.dead_letters} == {"work"}
    assert all(("[" in letter.component) == (several > 1) for letter in report.dead_letters)


async def test_with_a_key_each_sensor_has_one_replica_and_keeps_its_order() -> None:
    system = workshop(Work, Replicas(3, field_key("sensor")), buffer_size=2)
    await system.run()
    of_sensor: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for name, sensor, n in got(system):
        of_sensor[sensor].append((name, n))
    for pairs in of_sensor.values():
        assert len({name for name, _ in pairs}) == 1
        assert [n for _, n in pairs] == sorted(n for _, n in pairs)
    assert len({name for name, _, _ in got(system)}) > 1


async def test_several_senders_agree_on_the_replica_of_a_key() -> None:
    system = workshop(Work, Replicas(3, field_key("sensor")))
    system.add("more", readings)
    system.connect("more", "work")
    await system.run()
    names: dict[int, set[str]] = defaultdict(set)
    for name, sensor, _ in got(system):
        names[sensor].add(name)
    assert len(got(system)) == 2 * COUNT
    assert all(len(some) == 1 for some in names.values())


async def test_without_a_key_the_replicas_take_turns() -> None:
    system = workshop(Work, 3)
    await system.run()
    assert Counter(name for name, _, _ in got(system)) == {f"work[{n}]": COUNT // 3 for n in range(3)}


async def test_each_replica_has_its_own_state_and_a_member_of_its_own() -> None:
    system = workshop(Work, 2)
    handle_components = system.add("other", Work, replicas=2).component
    assert [one.name for one in handle_components] == ["other[0]", "other[1]"]
    system.connect("src", "other")
    system.connect("other", "sink")
    await system.run()
    seen = [system.components[f"work[{n}]"].seen for n in range(2)]
    assert seen[0] is not seen[1]
    assert sum(sum(one.values()) for one in seen) == COUNT


async def test_one_output_goes_to_replicas_and_to_others_alike() -> None:
    system = workshop(Work, 3, buffer_size=2)
    audit = system.add("audit", Sink)
    system.connect("src", audit)
    await system.run()
    assert [reading["n"] for reading in audit.component.got] == list(range(COUNT))
    assert sorted(n for _, _, n in got(system)) == list(range(COUNT))


async def test_replicas_feed_replicas() -> None:
    system = System("two")
    system.add("src", readings)
    system.add("first", Forward, replicas=2)
    system.add("second", Forward, replicas=3)
    system.add("sink", Sink)
    for pair in (("src", "first"), ("first", "second"), ("second", "sink")):
        system.connect(*pair)
    report = await system.run()
    assert sorted(reading["n"] for reading in got(system)) == list(range(COUNT))
    assert len(report.ledger.edges) == 2 + 6 + 3


class Forward(HarnessComponent):
    """Sends on."""

    in_: In[Any]
    out: Out[Any]

    async def process(self) -> None:
        async for message in self.in_:
            await self.out.send(message)


async def test_replicas_of_a_source_each_make_their_own_messages() -> None:
    system = System("sources")
    system.add("src", readings, replicas=3)
    system.add("sink", Sink)
    system.connect("src", "sink")
    report = await system.run()
    assert len(got(system)) == report.ledger.totals.taken_in == 3 * COUNT


async def test_a_cycle_through_replicas_ends_by_itself() -> None:
    class Halve(HarnessComponent):
        in_: In[int]
        again: Out[int]
        out: Out[int]

        async def process(self) -> None:
            async for n in self.in_:
                await (self.again.send(n // 2) if n > 1 else self.out.send(n))

    system = System("cycle")
    system.add("src", numbers)
    system.add("halve", Halve, replicas=2)
    system.add("sink", Sink)
    system.connect("src", "halve")
    system.connect("halve.again", "halve", when_full="block", buffer_size=100)
    system.connect("halve.out", "sink")
    await system.run()
    assert got(system) == [1] * 20
    assert [problem.code for problem in find_warnings(system)] == ["W302"]


@component
def numbers() -> Iterator[int]:
    yield from range(1, 21)


# --- a slow one, a crashing one, and the end -----------------------------------------------------------


async def test_a_replica_that_is_stuck_holds_up_no_more_than_its_own_edge() -> None:
    release = anyio.Event()

    class Sticky(Work):
        async def process(self) -> None:
            if self.name == "work[0]":
                await release.wait()
            await super().process()

    system = workshop(Sticky, 2, buffer_size=2)
    async with system:
        await anyio.wait_all_tasks_blocked()
        assert len(got(system)) == COUNT - 2  # all but what fits on the edge of the one that is stuck
        release.set()
        await system.wait()
    assert sorted(n for _, _, n in got(system)) == list(range(COUNT))


async def test_a_stop_drains_what_replicas_have_before_them() -> None:
    @component
    async def endless() -> AsyncIterator[Reading]:
        n = 0
        while True:
            yield {"sensor": n % 7, "n": n}
            n += 1

    system = workshop(Work, 3, buffer_size=5)
    system.replace("src", endless)
    async with system:
        await system.collect("work.out", 100)
        report = await system.stop()
    assert report is not None
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0
    assert report.ledger.totals.given_out == report.ledger.totals.taken_in == len(got(system)) >= 100


async def test_a_replica_that_crashes_fails_the_system_by_its_own_name() -> None:
    class Crashing(Work):
        async def process(self) -> None:
            if self.name == "work[1]":
                raise ValueError("broken")
            await super().process()

    system = workshop(Crashing, 3)
    with pytest.raises(SystemFailed, match=r"work\[1\].*broken") as failed:
        await system.run()
    assert [failure.component for failure in failed.value.report.failures] == ["work[1]"]
    assert failed.value.report.ledger.closes
    errors = {name: one.error_count for name, one in system.statistics().components.items()}
    assert errors == {"src": 0, "work[0]": 0, "work[1]": 1, "work[2]": 0, "sink": 0}


async def test_it_runs_twice() -> None:
    system = workshop(Work, 3)
    for _ in range(2):
        report = await system.run()
        assert len(got(system)) == COUNT
        assert report.ledger.closes


async def test_a_dead_letter_goes_back_to_the_replica_that_gave_it_up() -> None:
    broken = True

    def work(reading: Reading) -> int:
        if broken and reading["n"] == 3:
            raise ValueError
        return reading["n"]

    system = workshop(component(attempts=1)(work), 2)
    report = await system.run()
    (letter,) = report.dead_letters
    assert letter.edge == f"src.out -> {letter.component}.in"
    broken = False
    assert await system.redrive() == 1
    assert got(system) == [3]


# --- names -------------------------------------------------------------------------------------------


def test_statistics_show_each_replica_and_who_belongs_together() -> None:
    statistics = workshop(Work, 2).statistics()
    assert set(statistics.components) == {"src", "work[0]", "work[1]", "sink"}
    assert statistics.replicas == {"work": ("work[0]", "work[1]")}
    assert set(statistics.edges) == {
        "src.out -> work[0].in",
        "src.out -> work[1].in",
        "work[0].out -> sink.in",
        "work[1].out -> sink.in",
    }


def test_a_finished_component_cannot_have_replicas() -> None:
    with pytest.raises(ConfigError, match="cannot have replicas: Work is one object") as wrong:
        System().add("work", Work("work"), replicas=2)
    assert "the class, or the function" in wrong.value.hint
    System().add("work", Work("work"), replicas=1)


@pytest.mark.parametrize("replicas", [0, -1, True, "two", 1.5])
def test_a_number_of_replicas_that_is_none_is_refused(replicas: Any) -> None:
    with pytest.raises(ConfigError, match="replicas must be a whole number of at least 1"):
        System().add("work", Work, replicas=replicas)


def test_a_key_that_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="key must be a function"):
        Replicas(2, "sensor")  # type: ignore[arg-type]


def test_the_name_of_a_replica_is_taken_and_its_name_alone_is_not_connected() -> None:
    system = workshop(Work, 2)
    with pytest.raises(ComponentAlreadyRegistered, match=r"work\[1\]"):
        system.add("work[1]", Work)
    with pytest.raises(ComponentAlreadyRegistered, match="work"):
        system.add("work", Work)
    system.add("late[1]", Work)
    with pytest.raises(
        ComponentAlreadyRegistered, match=r"'late\[1\]' is registered already, as a replica of"
    ):
        system.add("late", Work, replicas=2)
    for one in (lambda: system.connect("src", "work[0]"), lambda: system.connect("work[0].out", "late[1]")):
        with pytest.raises(WiringError, match="one of the replicas of 'work'") as wrong:
            one()
        assert "write 'work'" in wrong.value.hint
    with pytest.raises(WiringError, match="one of the replicas"):
        system.spread("work[0].out", "balance")
    with pytest.raises(WiringError, match="one of the replicas"):
        system.replace("work[0]", Work)


async def test_an_input_that_nobody_connected_is_told_once_by_the_shared_name() -> None:
    system = System()
    system.add("work", Work, replicas=3)
    problems = system.wiring.problems()
    assert [str(problem) for problem in problems] == [str(problems[0])]
    assert isinstance(problems[0], UnconnectedPortError)
    assert "'work.in'" in problems[0].message


def test_warnings_name_what_was_registered() -> None:
    system = System("warned")
    system.add("src", readings)
    system.add("work", Work, replicas=3)
    system.connect("src", "work")
    assert [problem.message for problem in find_warnings(system)] == [
        "output 'work.out' is not connected: its messages are counted and discarded"
    ]


async def test_the_summary_counts_all_replicas() -> None:
    system = workshop(Work, 3)
    system.summarize(taken_in="work.out", given_out="work.in")
    report = await system.run()
    assert report.summary().startswith(f"in {COUNT} out {COUNT} rejected 0 lost 0")


async def test_the_output_of_each_replica_spreads_as_was_said() -> None:
    system = workshop(Work, 2)
    extra = system.add("extra", Sink)
    system.connect("work.out", extra)
    system.spread("work.out", "balance")
    await system.run()
    assert len(got(system)) + len(extra.component.got) == COUNT
    assert got(system)
    assert extra.component.got


# --- replace, and tests --------------------------------------------------------------------------------


async def test_a_class_replaces_all_replicas_by_as_many() -> None:
    system = workshop(picky, 3)
    system.replace("work", Work)
    assert [name for name in system.components if name.startswith("work")] == [
        "work[0]",
        "work[1]",
        "work[2]",
    ]
    await system.run()
    assert len(got(system)) == COUNT


async def test_a_finished_component_replaces_all_replicas_alone() -> None:
    system = workshop(Work, 3)
    system.replace("work", Forward("work"))
    assert list(system.components) == ["src", "work", "sink"]
    assert set(system.streams) == {"src.out -> work.in", "work.out -> sink.in"}
    report = await system.run()
    assert len(report.ledger.edges) == 2
    assert len(got(system)) == COUNT


async def test_what_does_not_fit_replaces_nothing() -> None:
    system = workshop(Work, 2)
    before = dict(system.components)

    def other(text: str) -> str:
        return text

    with pytest.raises(PortTypeError):
        system.replace("work", other)
    assert system.components == before
    await system.run()
    assert len(got(system)) == COUNT


async def test_a_test_sends_and_looks_by_the_shared_name_and_by_that_of_one() -> None:
    system = workshop(Work, Replicas(2, field_key("sensor")))
    async with run_system(system, replace={"src": None}) as live:
        for n in range(4):
            await live.send("work.in", {"sensor": 1, "n": n})
        assert [(await live.next("work.out"))[2] for _ in range(4)] == [0, 1, 2, 3]
        await live.send("src.out", {"sensor": 1, "n": 4})
        name, _, n = await live.next("work.out")
        assert n == 4
        assert (
            len(live.received("work.in"))
            == len(live.sent(f"{name}.out"))
            == len(live.received("sink.in"))
            == 5
        )


async def test_a_test_stands_in_for_all_replicas_and_gives_them_back() -> None:
    system = workshop(Work, 2)
    names = list(system.components)
    async with run_system(system, replace={"work": None}) as live:
        await live.send("work.out", ("me", 1, 1))
        assert await live.next("sink.in") == ("me", 1, 1)
    assert list(system.components) == names
    await system.run()
    assert len(got(system)) == COUNT


async def test_collect_sees_all_replicas() -> None:
    looked_for = anyio.Event()

    @component
    async def late() -> AsyncIterator[Reading]:
        await looked_for.wait()
        for n in range(COUNT):
            yield {"sensor": n % 7, "n": n}

    found: list[Any] = []

    async def collect() -> None:
        found.extend(await system.collect("work.out", COUNT))

    system = workshop(Work, 3)
    system.replace("src", late)
    async with system, anyio.create_task_group() as group:
        group.start_soon(collect)
        await anyio.wait_all_tasks_blocked()
        looked_for.set()
    assert sorted(n for _, _, n in found) == list(range(COUNT))


# --- drawn, and written down -----------------------------------------------------------------------------


def test_it_is_drawn_as_one_box() -> None:
    picture = picture_of(workshop(Work, 4))
    assert draw_text(picture).splitlines()[-1] == "src -[balance]-> work x4 -> sink"
    assert '["work x4"]' in draw_mermaid(picture)
    assert 'label="work x4"' in draw_dot(picture)
    assert "work x4" in draw_svg(picture)
    drawn = yaml.safe_load(draw_json(picture))
    (work,) = [one for one in drawn["components"] if one["name"] == "work"]
    assert (work["replicas"], work["inputs"][0]["fan_out"]) == (4, "balance")
    assert "-[by_key]-> work x4" in draw_text(picture_of(workshop(Work, Replicas(4, field_key("sensor")))))


BLUEPRINT = """\
system: written
components:
  src: {type: "tests.runtime.test_replicas:readings"}
  work: {type: "tests.runtime.test_replicas:picky", replicas: REPLICAS}
  sink: {type: "tests.runtime.test_replicas:Sink"}
connections: [src -> work -> sink]
summary: {out: work.in}
"""


def write(folder: Path, replicas: str, blueprint: str = BLUEPRINT) -> Path:
    file = folder / "written.yaml"
    file.write_text(blueprint.replace("REPLICAS", replicas))
    return file


@pytest.mark.parametrize("replicas", ["1", "3", "{count: 3, key: sensor}", "{count: 2, key: [sensor, n]}"])
async def test_a_blueprint_has_replicas(tmp_path: Path, replicas: str) -> None:
    system = load_system(write(tmp_path, replicas), allow=["tests"]).harness
    report = await system.run()
    assert len(report.dead_letters) == COUNT // 5
    assert report.ledger.totals.given_out == COUNT - COUNT // 5


@pytest.mark.parametrize(
    ("replicas", "code", "text"),
    [
        ("0", "E111", "replicas must be at least 1"),
        ("many", "E104", "replicas must be a whole number"),
        ("[1]", "E104", "replicas must be a whole number"),
        ("{key: sensor}", "E103", "replicas needs the key 'count'"),
        ("{count: 2, keys: sensor}", "E102", "unknown key 'keys'"),
        ("{count: 2, key: {}}", "E104", "key must name a field"),
    ],
)
def test_a_blueprint_with_wrong_replicas_is_told_where(
    tmp_path: Path, replicas: str, code: str, text: str
) -> None:
    with pytest.raises(BlueprintError) as wrong:
        load_system(write(tmp_path, replicas), allow=["tests"])
    (problem,) = wrong.value.problems
    assert (problem.code, problem.position.line) == (code, 4)
    assert text in problem.message


def test_a_blueprint_in_a_blueprint_cannot_have_replicas(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(
        'system: i\ncomponents: {a: {type: "tests.runtime.test_replicas:readings"}}\nports: {out: a.out}\n'
    )
    with pytest.raises(BlueprintError) as wrong:
        load_system(
            write(tmp_path, "2", BLUEPRINT.replace("tests.runtime.test_replicas:picky", "inner.yaml")),
            allow=["tests"],
        )
    assert "'replicas' does not go with a blueprint" in [one.message for one in wrong.value.problems]


@pytest.mark.parametrize(
    "replicas", [2, Replicas(3, field_key("sensor")), Replicas(3, field_key("sensor", "n"))]
)
def test_what_is_written_is_read_as_the_same(replicas: int | Replicas, tmp_path: Path) -> None:
    system = workshop(picky, replicas)
    text = system.to_yaml()
    file = tmp_path / "again.yaml"
    file.write_text(text)
    again = load_system(file, allow=["tests"]).harness
    assert again.wiring.replicas["work"].options == system.wiring.replicas["work"].options
    assert again.to_yaml() == text


def test_a_key_without_a_name_cannot_be_written() -> None:
    with pytest.raises(NotSerializableSystemError, match=r"component 'work'.*field_key\('NAME'\)"):
        workshop(picky, Replicas(2, lambda reading: reading["n"])).to_yaml()


# --- one input after the other ---------------------------------------------------------------------------


class Pair(HarnessComponent):
    """Keeps what comes to each of its inputs."""

    left: In[Any]
    right: In[Any]

    async def process(self) -> None:
        self.got: dict[str, list[Any]] = {"left": [], "right": []}
        async with anyio.create_task_group() as group:
            for side in self.got:
                group.start_soon(self._take, side)

    async def _take(self, side: str) -> None:
        async for message in self.receive_streams[side]:
            self.got[side].append(message)


def pairs(*, early: bool = True) -> System:
    """Return a system whose replicas share the messages of one input, and all get those of the other."""
    system = System("pairs")
    system.add("one", readings)
    system.add("two", readings)
    pair = system.add("pair", Pair, replicas=3)
    if early:
        system.spread(pair.right, "broadcast")
    system.connect("one", pair.left)
    system.connect("two", pair.right)
    if not early:
        system.spread("pair.right", "broadcast")
    return system


@pytest.mark.parametrize("early", [True, False], ids=["before it is connected", "after that"])
async def test_an_input_can_go_to_all_replicas(early: bool) -> None:
    system = pairs(early=early)
    for _ in range(2):
        report = await system.run()
        halves = [system.components[f"pair[{n}]"].got for n in range(3)]
        assert sorted(r["n"] for half in halves for r in half["left"]) == list(range(COUNT))
        assert all([r["n"] for r in half["right"]] == list(range(COUNT)) for half in halves)
        assert report.ledger.closes
    assert "two -[broadcast]-> pair.right x3" in draw_text(picture_of(system))


def test_how_an_input_is_spread_is_written_and_read(tmp_path: Path) -> None:
    system = pairs()
    system.spread("pair.left", "by_key", key=field_key("sensor"))
    text = system.to_yaml()
    assert yaml.safe_load(text)["components"]["pair"] == {
        "type": "tests.runtime.test_replicas:Pair",
        "replicas": 3,
        "inputs": {"right": {"fan_out": "broadcast"}, "left": {"fan_out": "by_key", "key": "sensor"}},
    }
    file = tmp_path / "pairs.yaml"
    file.write_text(text)
    assert load_system(file, allow=["tests"]).harness.to_yaml() == text


def test_an_input_without_replicas_is_not_spread(tmp_path: Path) -> None:
    system = workshop(Work, 1)
    with pytest.raises(WiringError, match=r"'sink.in' is an input of one component") as wrong:
        system.spread("sink.in", "broadcast")
    assert "replicas=N" in wrong.value.hint
    blueprint = BLUEPRINT.replace("replicas: REPLICAS", "inputs: {in: {fan_out: balance}}")
    with pytest.raises(BlueprintError) as told:
        load_system(write(tmp_path, "", blueprint), allow=["tests"])
    assert [problem.position.line for problem in told.value.problems] == [4]
