"""Lines that the launcher prints while it starts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

_BATCH = "batch worker"
_OF_ANOTHER = " worker of "
"""What the words of /health have for a missing worker of a model other than the default one."""


def waiting_line(
    missing: Sequence[str], address: str, waited_s: float, compiling: Sequence[Mapping[str, Any]] = ()
) -> str:
    """What is waited for. Callers who name no model need neither a batch worker nor the workers of further models.

    Args:
        missing: what is not there yet, as /health names it.
        address: the service's.
        waited_s: the seconds since the start.
        compiling: the workers that compile their model, as /health tells them.
    """
    line = f"waiting for: {', '.join(missing)} ({waited_s:.0f} s)"
    if compiling:
        line += f"; {_steps(compiling)}"
    if answered(missing):
        line += f"; callers of /predict are answered at {address}"
    return line


def answered(missing: Sequence[str]) -> bool:
    """Whether callers of /predict who name no model are answered already."""
    return all(one == _BATCH or _OF_ANOTHER in one for one in missing)


def _steps(compiling: Sequence[Mapping[str, Any]]) -> str:
    """How far workers are with compiling, in words."""
    told = []
    for one in compiling:
        percent = "" if one["percent"] is None else f" {one['percent']} %"
        told.append(f"{one['step']}{percent} ({one['role']} worker, {one['seconds']:.0f} s)")
    return f"compiling: {', '.join(told)}"


def place_line(folder: Path, now: datetime, *, embedded: bool, utc: bool) -> str:
    """Where things are kept, and which time zone the times are in.

    Args:
        folder: the folder of data.
        now: the time, in the zone of this machine.
        embedded: whether jobs are in that folder, too, and not on another Redis server.
        utc: whether the log is in UTC, too.
    """
    kept = f"data in {folder}" if embedded else f"jobs in the Redis of REDIS_URL, files in {folder}"
    offset = now.strftime("%z")
    if utc or int(offset) == 0:
        return f"{kept}; all times are UTC"
    return f"{kept}; times in this log are {now.tzname()} (UTC{offset[:3]}:{offset[3:5]}), those of the API UTC"


def example_line(address: str, *, keys: bool) -> str:
    """A request to try, for a shell. `keys`: whether the service asks for one, which the shell has in a variable."""
    url = shlex.quote(f"{address}/predict")  # zsh takes the brackets of an IPv6 address for a pattern
    key = ' -H "Authorization: Bearer $SENTIQ_API_KEY"' if keys else ""
    text = """'{"text": "What a show, I loved it!"}'"""
    return f"  curl -s {url}{key} -H 'Content-Type: application/json' -d {text}"
