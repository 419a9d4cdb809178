"""The files of a new system, as texts; ``@name@`` in them stands for its name.

They are what an engineer would write: small enough to be read in a minute, and every part is in use.
"""

from __future__ import annotations

from collections.abc import Mapping

BLUEPRINT = """\
# yaml-language-server: $schema=./@name@.schema.json
# The system: what there is, and what connects it. 'headrace check' tells mistakes, 'headrace graph' draws it.
system: @name@

components:
  readings:
    type: csv_source
    config:
      path: "${DATA:-.}/readings.csv"
      types: {celsius: float}
      null_values: [""]
  measured: {type: "@name@:measured"}
  smooth:
    type: "@name@:Smooth"
    config: {window: 3}
  show:
    type: console_sink
    config: {format: table}

connections:
  - readings -> measured -> smooth -> show

tests:
  drops_what_was_not_measured:
    component: measured
    send: [{sensor: roof, celsius: 21.0}, {sensor: roof, celsius: null}]
    expect: [{sensor: roof, celsius: 21.0}]
  smooths_each_sensor_by_itself:
    component: smooth
    config: {window: 2}
    send: [{sensor: roof, celsius: 20.0}, {sensor: yard, celsius: 5.0}, {sensor: roof, celsius: 22.0}]
    expect: [{sensor: roof, celsius: 20.0}, {sensor: yard, celsius: 5.0}, {sensor: roof, celsius: 21.0}]
"""

COMPONENTS = '''\
"""The components of @name@."""

from __future__ import annotations

from collections import deque
from statistics import fmean
from typing import Annotated, Any

import msgspec
from headrace import HarnessComponent, In, Out, component

Row = dict[str, Any]


@component
def measured(row: Row) -> Row | None:
    """Pass on what was measured; None lets a row go."""
    return None if row["celsius"] is None else row


class Smooth(HarnessComponent):
    """Sends the mean of the last values of each sensor, with each of its rows."""

    in_: In[Row]
    out: Out[Row]

    class Config(msgspec.Struct, forbid_unknown_fields=True):
        """What the blueprint says under `config`; `window` is how many values make a mean."""

        window: Annotated[int, msgspec.Meta(ge=1)] = 3

    config: Config

    async def process(self) -> None:
        last: dict[str, deque[float]] = {}
        async for row in self.in_:
            values = last.setdefault(row["sensor"], deque(maxlen=self.config.window))
            values.append(row["celsius"])
            await self.out.send({**row, "celsius": fmean(values)})
'''

TESTS = '''\
"""Tests of @name@, for pytest; those in @name@.yaml are run by `headrace test`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from @name@ import Smooth, measured

HERE = Path(__file__).parent


def test_a_row_without_a_value_is_dropped() -> None:
    assert measured({"sensor": "roof", "celsius": None}) is None


async def test_each_sensor_has_a_mean_of_its_own(probe: Any) -> None:
    async with probe(Smooth, window=2) as smooth:
        for sensor, celsius in [("roof", 20.0), ("yard", 5.0), ("roof", 22.0)]:
            await smooth.feed({"sensor": sensor, "celsius": celsius})
        sent = (await smooth.finish())["out"]
    assert [row["celsius"] for row in sent] == [20.0, 5.0, 21.0]


async def test_all_but_the_missing_value_reach_the_end(run_system: Any) -> None:
    system = await run_system(HERE / "@name@.yaml", replace={"show": None}, env={"DATA": str(HERE)})
    report = await system.finish()
    assert len(system.received("show.in")) == 7
    assert report.ledger.totals.lost == 0
'''

DATA = """\
time,sensor,celsius
08:00,roof,18.5
08:00,yard,12.0
08:10,roof,19.5
08:10,yard,
08:20,roof,20.0
08:20,yard,13.0
08:30,roof,26.5
08:30,yard,14.0
"""

IGNORED = """\
__pycache__/
.pytest_cache/
.venv/
"""

README = """\
# @name@

A system made with `headrace new @name@`.

| | |
|---|---|
| `@name@.yaml` | the system: its components, what connects them, and tests |
| `@name@.py` | its components |
| `test_@name@.py` | tests for pytest |
| `readings.csv` | something to read; `DATA` names another folder |
| `@name@.schema.json` | what an editor knows of blueprints |

```sh
headrace check    # all mistakes at once
headrace graph    # what is connected to what
headrace test     # the tests in the blueprint
headrace run      # until it ends, or Ctrl-C drains it
pytest            # the tests in Python: pip install pytest
```

`headrace schema @name@.yaml --output @name@.schema.json` brings the schema up to date with new components.
"""

FILES: Mapping[str, tuple[str, str]] = {
    "@name@.yaml": (BLUEPRINT, "the system: components, connections, tests"),
    "@name@.py": (COMPONENTS, "its components: a function and a class"),
    "test_@name@.py": (TESTS, "tests for pytest"),
    "readings.csv": (DATA, "something to read"),
    "README.md": (README, "what is what"),
    ".gitignore": (IGNORED, "what git leaves alone"),
}
"""The files by name, each with what is said of it."""


def files_for(name: str) -> dict[str, tuple[str, str]]:
    """Return the files of a new system by their names: the text of each, and what is said of it."""
    return {
        path.replace("@name@", name): (text.replace("@name@", name), about)
        for path, (text, about) in FILES.items()
    }


__all__ = ["files_for"]
