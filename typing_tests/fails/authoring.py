"""Mistakes inside of components and in calls of functions: each line with `# E:` is an error."""

from __future__ import annotations

from headrace import ComponentStatus, HarnessComponent, In, Meta, Out, Resource, System, component


class Pool:
    def fetch(self, name: str) -> str:
        return name


class Parse(HarnessComponent):
    in_: In[bytes]
    side: In[bytes] | None
    out: Out[int]
    db: Resource[Pool]

    async def process(self) -> None:
        async for raw in self.in_:
            await self.out.send(raw)  # E: arg-type / reportArgumentType
            self.out.send_nowait("1")  # E: arg-type / reportArgumentType
            raw.encode()  # E: attr-defined / reportAttributeAccessIssue
            self.db.fetch(raw)  # E: arg-type / reportArgumentType
        await self.in_.send(b"")  # E: attr-defined / reportAttributeAccessIssue
        await self.side.receive()  # E: union-attr / reportOptionalMemberAccess
        self.out.send(1)  # E: unused-coroutine / reportUnusedCoroutine
        await self.out.send_many(1)  # E: arg-type / reportArgumentType
        await self.out.send_many(await self.in_.receive_many())  # E: arg-type / reportArgumentType
        async for some in self.in_.batch("5"):  # E: arg-type / reportArgumentType
            some.encode()  # E: attr-defined / reportAttributeAccessIssue


@component
def double(number: int, *, db: Resource[Pool], meta: Meta, factor: int = 2) -> int:
    db.query(meta.id)  # E: attr-defined / reportAttributeAccessIssue
    return number * factor


double("1", db=Pool(), meta=Meta("1"))  # E: arg-type / reportArgumentType
double(1, db=Pool(), meta=Meta("1"), factr=3)  # E: call-arg / reportCallIssue
double(1, meta=Meta("1"))  # E: call-arg / reportCallIssue
double(1, db=Pool(), meta=Meta("1")).upper()  # E: attr-defined / reportAttributeAccessIssue


@component(on_error="ignore")  # E: call-overload / reportArgumentType
def half(number: int) -> int:
    return number // 2


system = System(buffer_sise=5)  # E: call-arg / reportCallIssue
system.running = True  # E: misc / reportAttributeAccessIssue
ComponentStatus(5)  # E: arg-type / reportArgumentType
