"""Is this machine's worker well? `python -m tasks.probe ready|alive [interactive|batch]`, for containers: status 0, or
1 and a sentence.

ready: it has told Redis within the last seconds that it takes chunks.
alive: the same, or Redis does not answer: killing workers mends no Redis, and a worker that waits for it has its model
loaded.
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
    """The exit status. Without a role, any worker of this host name counts."""
    if not 1 <= len(arguments) <= 2 or arguments[0] not in ("ready", "alive"):
        sys.exit("usage: python -m tasks.probe ready|alive [interactive|batch]")
    host, roles = socket.gethostname(), arguments[1:] or ["interactive", "batch"]
    try:
        marks = Presence(connect(load_settings().cache_url, timeout_s=_TIMEOUT_S)).ready()
    except redis.RedisError as error:
        print(f"Redis does not answer ({type(error).__name__})")
        return 0 if arguments[0] == "alive" else 1
    if any(mark.role in roles and mark.host == host for mark in marks):
        return 0
    print(f"no {' or '.join(roles)} worker of {host} is ready")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
