"""What the launcher hands to a web that it starts: the sockets to listen on, and a gate before them.

The launcher keeps the sockets open as long as it runs, so nobody is refused while one web takes the place of another.
In an upgrade the new web first answers only at a socket of its own, at which the launcher asks whether it works; the
gate keeps it from everybody else until then. This module is imported before gevent has patched anything.
"""

from __future__ import annotations

import os

LISTENING = "SENTIQ_LISTENING"
"""The environment variable with the file descriptors of the sockets, separated by commas."""
GATE = "SENTIQ_GATE"
"""The environment variable with the read end of a pipe. It is at its end as soon as the gate is open, and stays so."""
REPLACED_S = 600
"""Seconds that processes may take to finish when others have taken their place: no caller waits for their end."""


def addresses() -> list[str]:
    """The sockets as Gunicorn's `bind` names them; empty if there are none."""
    given = os.environ.get(LISTENING, "")
    return [f"fd://{descriptor}" for descriptor in given.split(",") if descriptor]


def gate() -> int | None:
    """The gate's file descriptor; None if there is no gate."""
    given = os.environ.get(GATE, "")
    return int(given) if given else None
