"""The queues as they lie in Redis: kombu keeps one list for each priority, and what is delivered but not done in a
hash.
"""

from __future__ import annotations

import orjson

import celeryconfig
from model.analysis import Analysis
from tasks.store.connections import Client

_SEPARATOR = "\x06\x16"
"""kombu's, between a queue's name and its priority (`Channel.sep`)."""
UNACKED = "unacked"
"""kombu's hash of messages by delivery tag (`Channel.unacked_key`)."""
UNACKED_INDEX = "unacked_index"
"""kombu's sorted set of delivery tags by the time of delivery (`Channel.unacked_index_key`)."""


def queue_name(role: str, analysis: Analysis) -> str:
    """The queue of a role's workers. Each analysis has its own: none of its chunks can meet another's worker."""
    return f"{role}{analysis.suffix}"


def list_names(queue: str) -> list[str]:
    """The lists of a queue, the one that workers look into first first."""
    return [f"{queue}{_SEPARATOR}{step}" if step else queue for step in celeryconfig.PRIORITY_STEPS]


def waiting(client: Client, queue: str) -> int:
    """Messages that no worker has taken yet."""
    pipe = client.pipeline(transaction=False)
    for name in list_names(queue):
        pipe.llen(name)
    return sum(pipe.execute())


def task_ids(client: Client, queue: str) -> set[str]:
    """The tasks of a queue that wait, and those of all queues that a worker has and is not done with, as of one
    instant.
    """
    pipe = client.pipeline(transaction=True)
    for name in list_names(queue):
        pipe.lrange(name, 0, -1)
    pipe.hvals(UNACKED)
    *lists, unacked = pipe.execute()
    messages = [orjson.loads(message) for messages in lists for message in messages]
    messages += [orjson.loads(message)[0] for message in unacked]
    return {message["headers"]["id"] for message in messages}
