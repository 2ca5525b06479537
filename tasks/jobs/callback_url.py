"""Checks where a job's callback may go: the web does when a job comes in, and a worker again before it posts."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.errors import CallbackRefused

_BLOCKS = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24
192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4
240.0.0.0/4
2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20
"""
"""All blocks of IANA's registries of special-purpose addresses, as of May 2025, and multicast. Of IPv6 only those in
`_GLOBAL_UNICAST`, as nothing else is public.

The registries call a few of them reachable, which changes nothing: no receiver of callbacks is there. 6to4 (2002::/16)
and Teredo (in 2001::/23) lead to IPv4 addresses through tunnels. A table, because versions of Python know different
ones.
"""
_SPECIAL = tuple(map(ip_network, _BLOCKS.split()))
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class Target(NamedTuple):
    """The parts of a callback's URL."""

    tls: bool
    host: str
    port: int
    path: str


def check_url(url: str, *, allow_private: bool) -> Target:
    """Splits a callback's URL into its parts, and refuses what can be refused without asking a name server.

    Raises:
        CallbackRefused: it is not a plain http(s) URL, or, unless `allow_private`, its host is an IP address that is
            not public, in whatever spelling.
    """
    # Outside ASCII there are full-width digits and dots, which a resolver turns into an address.
    if not re.fullmatch(r"[!-~]{1,2000}", url):
        raise CallbackRefused("callback_url must have 1 to 2,000 ASCII characters, without blanks.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host.encode("idna")  # getaddrinfo does the same, and raises if a label is empty or too long
    except ValueError:
        raise CallbackRefused("callback_url is not a valid URL.") from None
    literal = _literal(host)
    if parts.scheme not in ("http", "https") or port == 0 or not (literal or re.fullmatch(r"[a-z0-9._-]+", host)):
        raise CallbackRefused("callback_url must be an http or https address with a valid host and port.")
    if "@" in parts.netloc:
        raise CallbackRefused("callback_url must not have a user name or password.")
    local = not is_public(literal) if literal else f".{host}".endswith(".localhost")
    if local and not allow_private:
        raise CallbackRefused("callback_url is not a public address.")
    tls = parts.scheme == "https"
    return Target(
        tls, host, port or (443 if tls else 80), (parts.path or "/") + ("?" + parts.query if parts.query else "")
    )


def _literal(host: str) -> str | None:
    """The IP address that a host is, in its usual spelling; None if the host is a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # also 127.1, 0x7f000001, 017700000001, 2130706433
    except OSError:
        return None


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public Internet."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            address = IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address not in _GLOBAL_UNICAST:
            return False
    return not any(address in network for network in _SPECIAL)
