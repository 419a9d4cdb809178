"""Manual acknowledgement: what a component says, and what it may call on its inputs."""

from headrace import HarnessComponent, In, Meta, System


class Store(HarnessComponent):
    in_: In[str]
    ack = "manual"
    max_unacked = 100

    async def process(self) -> None:
        line, meta = await self.in_.receive_with_meta()
        told: Meta = meta
        text: str = line
        self.in_.ack(text)
        self.in_.ack()
        self.in_.ack_first(told.attempt)
        await self.in_.nack(text, error=ValueError("no"), delay=0.5)
        await self.in_.nack()
        self.in_.release()


system = System("s")
system.add("store", Store, ack="manual", max_unacked=7)
system.register_component("other", Store("other"), ack="auto")
