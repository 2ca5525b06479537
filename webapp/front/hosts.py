"""The host names under which a service without API keys answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:,]*))(?::[0-9]*)?")
_DEFAULT_PORTS = (":80", ":443")


class AllowedHosts:
    """Checks the `Host` header. The owner of a domain can make its name point to this machine (DNS rebinding); a
    browser then takes the domain's pages for the service's own. But it still sends that domain's name in `Host`.

    IP addresses are always allowed, because no page can come under an address that is not its own. Requests without
    `Host` are allowed too, because browsers always send one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are allowed in addition to `localhost` and names that end with it; `*` allows all."""
        self._names = frozenset(name.lower() for name in names)
        self.allow = lru_cache(maxsize=256)(self._allow)
        """Whether a request with this value of `Host` may be answered."""

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
    """Whether a request's `Origin` is the service itself, which its `Host` names."""
    scheme, _, authority = origin.lower().partition("://")
    return scheme in ("http", "https") and _without_port(authority) == _without_port(host.strip().lower())


def _without_port(authority: str) -> str:
    """Removes a default port. Which scheme the caller used is unknown behind a proxy, so both ports are removed."""
    for port in _DEFAULT_PORTS:
        authority = authority.removesuffix(port)
    return authority
