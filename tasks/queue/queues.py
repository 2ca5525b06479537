"""Reads the queues from Redis, where kombu keeps a list for each priority and a hash of unacknowledged messages."""

from __future__ import annotations

import orjson

import celeryconfig
from tasks.models import Model
from tasks.store.connections import Client

_SEPARATOR = "\x06\x16"
"""What kombu puts between a queue's name and a priority (`Channel.sep`)."""
UNACKED = "unacked"
"""kombu's hash of messages by delivery tag (`Channel.unacked_key`)."""
UNACKED_INDEX = "unacked_index"
"""kombu's sorted set of delivery tags by the time of delivery (`Channel.unacked_index_key`)."""


def queue_name(role: str, model: Model) -> str:
    """The name of the queue of a role's workers. Each model and each analysis has its own, so that chunks reach the
    right workers.
    """
    return f"{role}{model.suffix}"


def list_names(queue: str) -> list[str]:
    """The lists of a queue, in the order in which workers empty them."""
    return [f"{queue}{_SEPARATOR}{step}" if step else queue for step in celeryconfig.PRIORITY_STEPS]


def waiting(client: Client, queue: str) -> int:
    """The number of messages in a queue that no worker has taken yet."""
    pipe = client.pipeline(transaction=False)
    for name in list_names(queue):
        pipe.llen(name)
    return sum(pipe.execute())


def task_ids(client: Client, *queues: str) -> set[str]:
    """The ids of the tasks that wait in queues or are unacknowledged (of any queue), all read at one instant."""
    pipe = client.pipeline(transaction=True)
    for queue in queues:
        for name in list_names(queue):
            pipe.lrange(name, 0, -1)
    pipe.hvals(UNACKED)
    *lists, unacked = pipe.execute()
    messages = [orjson.loads(message) for messages in lists for message in messages]
    messages += [orjson.loads(message)[0] for message in unacked]
    return {message["headers"]["id"] for message in messages}
