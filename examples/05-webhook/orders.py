"""What an order is."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Order(msgspec.Struct):
    """An order; its region is part of a subject of NATS, so it is one word."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    region: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")]
    item: str
    amount: Annotated[int, msgspec.Meta(ge=1)]
