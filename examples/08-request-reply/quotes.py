"""What the service knows: what an order is, what it costs, and how many questions the warehouse answers at once."""

from __future__ import annotations

from typing import Annotated, Any

import anyio
import msgspec

from headrace import Rejected, component

CENTS = {"apple": 30, "pear": 45, "plum": 10}
MANY = 100
WAREHOUSE_TAKES = 0.02  # seconds for an answer; it stands for whatever your service has to wait for


class Order(msgspec.Struct):
    """An order."""

    fruit: str
    amount: Annotated[int, msgspec.Meta(ge=1, le=100_000)]


@component(concurrency=16)
async def stock(order: dict[str, Any]) -> dict[str, Any]:
    """Ask the warehouse whether it has as much; it answers sixteen questions at once."""
    await anyio.sleep(WAREHOUSE_TAKES)
    return {**order, "in_stock": order["amount"] <= 10 * MANY}


@component
def quote(order: dict[str, Any]) -> dict[str, Any] | Rejected[dict[str, Any]]:
    """Add the price of an order; of many there is a tenth off."""
    price = CENTS.get(order["fruit"])
    if price is None:
        return Rejected(order, f"we have no {order['fruit']}")
    total = price * order["amount"]
    return {**order, "cents": total - total // 10 if order["amount"] >= MANY else total}
