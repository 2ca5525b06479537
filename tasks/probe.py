"""`python -m tasks.probe ready|alive [interactive|batch]`: a health check of this machine's worker, for containers.

The exit status is 0, or 1 with a sentence that says why.

ready: within the last seconds the worker has announced in Redis that it takes chunks.
alive: the same, or Redis does not answer: restarting workers would not help Redis, and they would have to load their
models again.
"""

from __future__ import annotations

import socket
import sys

import redis

from tasks.settings import load_settings
from tasks.store.connections import connect
from tasks.store.presence import Presence

_TIMEOUT_S = 3.0


def main(arguments: list[str]) -> int:
    """Runs the check and returns the exit status. Without a role, any worker with this host name counts."""
    if not 1 <= len(arguments) <= 2 or arguments[0] not in ("ready", "alive"):
        sys.exit("usage: python -m tasks.probe ready|alive [interactive|batch]")
    host, roles = socket.gethostname(), arguments[1:] or ["interactive", "batch"]
    try:
        marks = Presence(connect(load_settings(classes=False).cache_url, timeout_s=_TIMEOUT_S)).ready()
    except redis.RedisError as error:
        print(f"Redis does not answer ({type(error).__name__})")
        return 0 if arguments[0] == "alive" else 1
    if any(mark.role in roles and mark.host == host for mark in marks):
        return 0
    print(f"no {' or '.join(roles)} worker of {host} is ready")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
