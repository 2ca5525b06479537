"""Lines that the launcher prints while it starts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_JOBS_ONLY = ["batch worker"]
"""What /health misses while callers are answered and only jobs have to wait."""
_LONG_S = 20.0
"""Seconds after which whoever waits for the batch worker alone is told why that may take so long."""


def waiting_line(missing: Sequence[str], address: str, waited_s: float) -> str:
    """What is waited for. On a busy machine the batch worker, which gives way to all others, may come a minute later.

    Args:
        missing: what is not there yet, as /health names it.
        address: the service's.
        waited_s: the seconds since the start.
    """
    line = f"waiting for: {', '.join(missing)}"
    if list(missing) == _JOBS_ONLY:
        line += f"; callers of /predict are answered at {address}"
        if waited_s > _LONG_S:
            line += "; it has the lowest priority, and takes longer while other processes keep the processors busy"
    return line


def example_line(address: str, *, keys: bool) -> str:
    """A request to try, for a shell. `keys`: whether the service asks for one."""
    url = shlex.quote(f"{address}/predict")  # zsh takes the brackets of an IPv6 address for a pattern
    key = ' -H "Authorization: Bearer KEY"' if keys else ""
    text = """'{"text": "What a show, I loved it!"}'"""
    return f"  curl -s {url}{key} -H 'Content-Type: application/json' -d {text}"
