"""``headrace status``: whether running systems do their work, in a line each."""

from __future__ import annotations

import json
from typing import Any

import click

from .attaching import Attached, NotAttached, attach, path_of, running, system_argument, token_option
from .main import emit


@click.command("status")
@system_argument
@token_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(system: str | None, token: str | None, form: str) -> int:
    """Say whether running systems do their work.

    SYSTEM is the name of a system that runs here (or NAME-PID, its process, the path of its socket), or a URL;
    without one, all systems that run here. What is wrong stands below its system.

    Exit code 0 where all are ready, 1 where one is not, 2 where there is none, or it does not answer.
    """
    several = [] if system is not None else [Attached(place) for place in running()]
    asked = several or [attach(system, token)]
    codes = []
    for one in asked:
        try:
            snapshot = one.get(path_of("statistics"))
        except NotAttached as error:
            if len(asked) == 1:
                raise
            click.echo(error.format_message(), err=True)
            codes.append(2)
            continue
        _tell(one, snapshot, form)
        is_well = snapshot["system"]["ready"] and snapshot["system"]["live"]
        codes.append(0 if is_well else 1)
    return max(codes)


def _tell(one: Attached, snapshot: dict[str, Any], form: str) -> None:
    from .own_code import one_line
    from .top_table import summary, troubles

    if form == "json":
        place = one.place
        where = place.url or str(place.path)
        facts = {"pid": place.pid or None, "place": where, "uptime": snapshot["uptime"], **snapshot["system"]}
        emit(json.dumps(facts, ensure_ascii=False))
        return
    lines = [f"  ! {line}" for line in troubles(snapshot)]
    lines += [
        f"  {one_line([name])}: {one_line([why])}" for name, why in snapshot["system"]["unhealthy"].items()
    ]
    emit("\n".join([summary(snapshot) + (f", process {one.place.pid}" if one.place.pid else ""), *lines]))


__all__ = ["command"]
