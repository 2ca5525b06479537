"""Addresses with a port, as they are written."""

from __future__ import annotations


def with_port(host: str, port: int | str) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
