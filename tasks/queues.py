"""The queues as they lie in Redis: kombu keeps one list for each priority, and what is delivered but not done in a hash."""

from __future__ import annotations

import celeryconfig
from tasks.connections import Client

_SEPARATOR = "\x06\x16"
"""kombu's, between a queue's name and its priority (`Channel.sep`)."""
_UNACKED = "unacked"
"""kombu's hash of messages by delivery tag (`Channel.unacked_key`)."""


def waiting(client: Client, queue: str) -> int:
    """Messages that no worker has taken yet."""
    pipe = client.pipeline(transaction=False)
    for step in celeryconfig.PRIORITY_STEPS:
        pipe.llen(f"{queue}{_SEPARATOR}{step}" if step else queue)
    return sum(pipe.execute())


def delivered(client: Client, task_id: str) -> bool:
    """A worker has this task's message and is not done with it."""
    return any(task_id.encode() in message for message in client.hvals(_UNACKED))
