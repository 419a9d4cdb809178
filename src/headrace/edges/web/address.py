"""Addresses to listen on, as people write them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from headrace.exceptions import ConfigError

DEFAULT = "127.0.0.1:8321"
"""Where the page is if nothing is said: this computer only."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; ``host`` is a name, or an address without brackets."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def shown(self, port: int) -> str:
        """Return it with another port, as it stands in a URL."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``, ``[ADDRESS]:PORT``, ``:PORT`` or ``PORT``; without a host it is this computer only.

    Raises:
        ConfigError: It is none of these.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    is_number = port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536
    if not is_number or (":" in host and not text.strip().startswith("[")) or any(c in host for c in " /@?#"):
        raise ConfigError(
            f"{text!r} is no address to listen on", hint=f"write HOST:PORT, as {DEFAULT}", field="web"
        )
    return Address((host if colon else "") or "127.0.0.1", int(port))


__all__ = ["DEFAULT", "Address", "parse_address"]
