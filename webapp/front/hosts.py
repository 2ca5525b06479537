"""By which names a service without API keys may be called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:,]*))(?::[0-9]*)?")
_DEFAULT_PORTS = (":80", ":443")


class AllowedHosts:
    """Judges the `Host` of requests: a page can make its own name lead to this machine (DNS rebinding), and is then the
    service's own page to its browser, but it cannot send another name than its own.

    Addresses are always allowed: a page that was loaded by one came from that address. So are requests without `Host`,
    which no browser sends.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """`names` may be called, besides `localhost` and the names that end with it; `*` stands for all."""
        self._names = frozenset(name.lower() for name in names)
        self.allow = lru_cache(maxsize=256)(self._allow)
        """Whether a request with this header may be answered."""

    def _allow(self, header: str) -> bool:
        found = _HOST.fullmatch(header.strip().lower())
        if found is None:
            return "*" in self._names
        name = (found[1] or found[2]).rstrip(".")
        if not name or not self._names.isdisjoint((name, "*")) or f".{name}".endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def is_own_page(origin: str, host: str) -> bool:
    """Whether a request's `Origin` is the service itself, by the `Host` that it was called by."""
    scheme, _, authority = origin.lower().partition("://")
    return scheme in ("http", "https") and _without_port(authority) == _without_port(host.strip().lower())


def _without_port(authority: str) -> str:
    """Without a scheme's usual port: behind a proxy that speaks TLS it is not known which scheme that is."""
    for port in _DEFAULT_PORTS:
        authority = authority.removesuffix(port)
    return authority
