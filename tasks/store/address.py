"""Checks an address of a Redis server without asking it."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_address(url: str) -> bool:
    """Whether a URL of Redis has its parts where they belong. Otherwise part of a password, which an unescaped
    character has ended, would be taken for a host, a port or a path, and shown in messages.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return not parts.fragment
        whole = parts.port != 0 and bool(parts.hostname or not parts.netloc)
    except ValueError:
        return False
    return whole and "@" not in parts.path and not parts.fragment
