"""The queues as they lie in Redis: kombu keeps one list for each priority, and what is delivered but not done in a hash."""

from __future__ import annotations

import celeryconfig
from tasks.connections import Client

_SEPARATOR = "\x06\x16"
"""kombu's, between a queue's name and its priority (`Channel.sep`)."""
UNACKED = "unacked"
"""kombu's hash of messages by delivery tag (`Channel.unacked_key`)."""
UNACKED_INDEX = "unacked_index"
"""kombu's sorted set of delivery tags by the time of delivery (`Channel.unacked_index_key`)."""


def list_names(queue: str) -> list[str]:
    """The lists of a queue, the one that workers look into first first."""
    return [f"{queue}{_SEPARATOR}{step}" if step else queue for step in celeryconfig.PRIORITY_STEPS]


def waiting(client: Client, queue: str) -> int:
    """Messages that no worker has taken yet."""
    pipe = client.pipeline(transaction=False)
    for name in list_names(queue):
        pipe.llen(name)
    return sum(pipe.execute())


def delivered(client: Client, task_id: str) -> bool:
    """A worker has this task's message and is not done with it."""
    return any(task_id.encode() in message for message in client.hvals(UNACKED))
