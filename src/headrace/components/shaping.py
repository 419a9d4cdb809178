"""``route``, ``flat_map`` and ``batch``: to which output a row goes, many messages of one, and one of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected
from headrace.model.port import Port, PortTable

from .batches import work_in_batches
from .comparison import Comparison, Op, RowCondition, comparison_of
from .rows import Row, lacking
from .times import Duration, seconds


class Rule(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which rows go to an output.

    Attributes:
        to: The output.
        where: The condition, as in ``filter``; without it the others say it.
        field: The field to look at.
        op: How to compare, as in ``filter``; ``eq`` unless said.
        value: What to compare with.
    """

    to: str
    where: str | None = None
    field: str | None = None
    op: Op | None = None
    value: Any = msgspec.UNSET


class Route(HarnessComponent):
    """Sends each row to the output of the first rule that holds for it; its outputs are those that the rules name.

    As in SQL, a comparison with a field that is None never holds. A row for which no rule holds goes to
    ``otherwise``; one that lacks a field, or cannot be compared, to ``rejected``.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Row]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a route.

        Attributes:
            rules: Each with ``to`` (an output) and ``where``, or ``field``, ``op`` (``eq`` unless said) and
                ``value``, as in ``filter``.
            match: Whether the ``first`` rule that holds counts, or ``all`` of them.
            otherwise: The output for rows for which none holds; they go to ``rejected`` where not given.
        """

        rules: list[Rule]
        match: Literal["first", "all"] = "first"
        otherwise: str | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not settings.rules:
            raise ConfigError(
                "rules is empty", hint="write `- {to: ..., field: ..., value: ...}`", field="rules"
            )
        self._rules = [(rule.to, _comparison(rule)) for rule in settings.rules]
        outputs = [rule.to for rule in settings.rules]
        if settings.otherwise is not None:
            outputs.append(settings.otherwise)
        for output in outputs:
            if not output.isidentifier() or output in ("in", "rejected"):
                raise ConfigError(f"'{output}' cannot be the name of an output here", field="rules")
        self._outputs = list(dict.fromkeys(outputs))
        self.port_table = PortTable(
            {"in": Port("in", Row, attribute="in_")},
            {
                **{output: Port(output, Row) for output in self._outputs},
                "rejected": Port("rejected", Rejected[Any], optional=True, attribute="rejected"),
            },
        )

    async def process(self) -> None:
        """Send each row where it belongs."""
        streams: Mapping[str, Any] = self.send_streams
        outs = [streams.get(output) for output in self._outputs]
        await work_in_batches(self.in_, self._sort_out, *outs, self.rejected)

    def _sort_out(self, rows: list[Row]) -> list[list[Any]]:
        sorted_out: dict[str, list[Any]] = {output: [] for output in self._outputs}
        rejected: list[Rejected[Any]] = []
        for row in rows:
            targets, reason = self._targets(row)
            for target in targets:
                sorted_out[target].append(row)
            if not targets:
                rejected.append(Rejected(row, reason))
        return [*sorted_out.values(), rejected]

    def _targets(self, row: Row) -> tuple[list[str], str]:
        """Return the outputs of a row, or none and the reason."""
        targets: list[str] = []
        for output, comparison in self._rules:
            try:
                holds = comparison.holds(row)
            except (KeyError, TypeError):
                return [], comparison.why_not_comparable(row)
            if holds and output not in targets:
                targets.append(output)
                if self.config.match == "first":
                    break
        if not targets and self.config.otherwise is not None:
            targets.append(self.config.otherwise)
        return targets, "no rule holds for it"


def _comparison(rule: Rule) -> Comparison | RowCondition:
    op = "eq" if rule.op is None and rule.field is not None else rule.op
    return comparison_of(rule.field, op, rule.value, rule.where)


class FlatMap(HarnessComponent):
    """Makes many messages of one: of each element of a list, or each part of a text.

    What is neither goes to ``rejected``. Anything beyond that is a function component that yields.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a flat map.

        Attributes:
            field: Messages are rows, and this field of them has the list or the text; each row that comes of one
                has an element in its place, and its other fields. The whole message where not given.
            separator: What is between the parts of a text; lists are split where not given.
        """

        field: str | None = None
        separator: str | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.config.separator == "":
            raise ConfigError("separator is empty", field="separator")

    async def process(self) -> None:
        """Send what comes of each message."""
        await work_in_batches(self.in_, self._work, self.out, self.rejected)

    def _work(self, messages: list[Any]) -> tuple[list[Any], list[Rejected[Any]]]:
        made: list[Any] = []
        rejected: list[Rejected[Any]] = []
        field = self.config.field
        for message in messages:
            if field is not None and not (isinstance(message, Mapping) and field in message):
                rejected.append(Rejected(message, lacking(message, [field])))
                continue
            whole = message if field is None else message[field]
            parts = self._parts(whole)
            if parts is None:
                wanted = "a list" if self.config.separator is None else "text"
                rejected.append(Rejected(message, f"not {wanted} but a value of type {type(whole).__name__}"))
            else:
                made += parts if field is None else [{**message, field: part} for part in parts]
        return made, rejected

    def _parts(self, whole: Any) -> list[Any] | None:
        separator = self.config.separator
        if separator is not None:
            return whole.split(separator) if isinstance(whole, str) else None
        return list(whole) if isinstance(whole, list | tuple | set | frozenset) else None


class Batch(HarnessComponent):
    """Makes a list of every ``size`` messages, or of those that came ``within`` a time.

    The messages of a list are acknowledged after it was sent: a crash loses none. The last list may be smaller.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Any]
    out: Out[list[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a batch.

        Attributes:
            size: How many messages make a list.
            within: How long after its first message a list is sent, full or not, in seconds or as ``500ms``; when
                it is full where not given.
        """

        size: int
        within: Duration | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.config.size < 1:
            raise ConfigError("size must be at least 1", field="size")
        within = self.config.within
        self._within = None if within is None else seconds(within, "within")

    async def process(self) -> None:
        """Send the lists."""
        async for messages in self.in_.batch(self.config.size, within=self._within):
            await self.out.send(list(messages))


__all__ = ["Batch", "FlatMap", "Route", "Rule"]
