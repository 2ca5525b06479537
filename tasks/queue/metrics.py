"""Metrics of queues, workers, jobs and streams, read from Redis at each scrape in one round trip to each server."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import celeryconfig
from tasks.jobs.job import JobStatus
from tasks.jobs.keys import ENDS, UNFINISHED, turn_keys
from tasks.models import Model
from tasks.queue.queues import UNACKED, UNACKED_INDEX, list_names, queue_name
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.presence import INDEX, mark_keys, marks_of
from tasks.streams.metrics import COUNTS, stream_metrics

QUEUES = tuple(queue.name for queue in celeryconfig.task_queues)
_STATES = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
_NOT_BEGUN_S = celeryconfig.VISIBILITY_TIMEOUT_S / 2
"""Seconds without renewal after which a delivery counts as without a worker: workers renew more often than this."""
_STALE_LIMIT = 200
"""The most deliveries without a worker that are looked at; the oldest come first, so further ones do not matter."""

# KEYS: the hash and the index of deliveries, then the lists of all queues. ARGV: the time before which a delivery has
# no worker, and how many of these to look at. Returns the number of deliveries; then for each list its length and the
# time when its oldest message was sent; then for each delivery without a worker its queue and the time when it was
# sent. The oldest message of a list is its last one: workers take messages from that end, and redelivered ones are put
# there. The header is found by its name: inside a text, the quotation mark would be escaped.
_READ = """
local function sent(message) return string.match(message, '"sent_at": ?([%d.]+)') or '' end
local out = {redis.call('HLEN', KEYS[1])}
for i = 3, #KEYS do
  local oldest = redis.call('LINDEX', KEYS[i], -1)
  out[#out + 1] = redis.call('LLEN', KEYS[i])
  out[#out + 1] = oldest and sent(oldest) or ''
end
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local message = redis.call('HGET', KEYS[1], tag)
  if message then
    out[#out + 1] = string.match(message, '"([^"]*)"%]$') or ''
    out[#out + 1] = sent(message)
  end
end
return out
"""


_Families = dict[str, GaugeMetricFamily | CounterMetricFamily]
_Labels = tuple[str, ...]
"""The label values of a series: the queue or role, and the model's name if the service has several models."""


@dataclass
class Queues:
    """What waits, by queue; the chunks of jobs wait in two places."""

    length: Counter[_Labels] = field(default_factory=Counter)
    oldest: dict[_Labels, float] = field(default_factory=dict)
    """Since when the oldest chunk waits, in Unix seconds."""
    known: bool = False
    """Whether the broker has answered."""

    def add(self, queue: _Labels, count: int, *since: float) -> None:
        """Adds so many chunks, and since when some of them wait."""
        self.length[queue] += count
        self.oldest[queue] = min([self.oldest.get(queue, math.inf), *since])


class QueueMetrics(Collector):
    """A collector for the registry of the web processes.

    While a server is away, its metrics are left out and `sentiment_redis_up` says so.
    """

    def __init__(self, *, cache: Client, broker: Client, results: Client, models: Sequence[Model]) -> None:
        """Makes a collector that asks these servers; a client that is given for several parts is asked once.

        Args:
            cache: has the marks of workers.
            broker: has the queues.
            results: has the jobs.
            models: their queues and workers are counted.
        """
        self._models = {_at(model, models): model for model in models}
        self._more = ["model"] if len(models) > 1 else []
        self._queues: dict[str, _Labels] = {
            queue_name(role, model): (role, *at) for at, model in self._models.items() for role in QUEUES
        }
        self._parts: dict[Client, list[str]] = {}
        for part, client in (("cache", cache), ("broker", broker), ("results", results)):
            self._parts.setdefault(client, []).append(part)

    def describe(self) -> Iterator[Metric]:
        """The metrics without samples, so that registration does not ask Redis."""
        yield from _families(self._more).values()
        yield from stream_metrics({})

    def collect(self) -> Iterator[Metric]:
        """The metrics with their present values from Redis."""
        found, queues, now = _families(self._more), Queues(), time.time()
        for client, parts in self._parts.items():
            up = self._read(client, parts, found, queues, now)
            for part in parts:
                found["redis"].add_metric([part], float(up))
        if queues.known:
            for queue in self._queues.values():
                found["messages"].add_metric(queue, queues.length[queue])
                found["oldest"].add_metric(queue, now - min(now, queues.oldest.get(queue, now)))
        yield from found.values()

    def _read(self, client: Client, parts: list[str], found: _Families, queues: Queues, now: float) -> bool:
        pipe = client.pipeline(transaction=False)
        if "broker" in parts:
            keys = [UNACKED, UNACKED_INDEX, *(name for queue in self._queues for name in list_names(queue))]
            pipe.eval(_READ, len(keys), *keys, now - _NOT_BEGUN_S, _STALE_LIMIT)
        if "cache" in parts:
            pipe.sort(INDEX, by="nosort", get=["#", *mark_keys("*")])
        if "results" in parts:
            pipe.scard(UNFINISHED)
            pipe.hmget(ENDS, _STATES)
            pipe.hgetall(COUNTS)
            for model in self._models.values():
                turns = turn_keys(model)[1]
                pipe.zcard(turns)
                pipe.zrange(turns, 0, 0, withscores=True)
        try:
            answers = iter(pipe.execute())
        except redis.RedisError:
            return False
        if "broker" in parts:
            found["delivered"].add_metric([], self._read_queues(next(answers), queues))
        if "cache" in parts:
            self._add_workers(found, next(answers))
        if "results" in parts:
            found["unfinished"].add_metric([], next(answers))
            for end, count in zip(_STATES, next(answers), strict=True):
                found["ended"].add_metric([end], int(count or 0))
            found |= {metric.name: metric for metric in stream_metrics(next(answers))}
            for at in self._models:
                queues.add(("batch", *at), next(answers), *(since for _, since in next(answers)))
        return True

    def _read_queues(self, answer: list[Any], queues: Queues) -> int:
        """Adds what `_READ` returned; returns the number of deliveries."""
        queues.known = True
        pairs = list(zip(answer[1::2], answer[2::2], strict=True))
        of_lists = [queue for queue in self._queues.values() for _ in celeryconfig.PRIORITY_STEPS]
        for queue, (count, sent) in zip(of_lists, pairs, strict=False):
            queues.add(queue, int(count), *([float(sent)] if sent else []))
        for name, sent in pairs[len(of_lists) :]:
            if (held := self._queues.get(name.decode())) is not None and sent:
                queues.add(held, 0, float(sent))
        return int(answer[0])

    def _add_workers(self, found: _Families, values: list[bytes | None]) -> None:
        workers = zip(values[::3], values[1::3], values[2::3], strict=True)
        marks = marks_of(
            (name_of(worker_id), mark, mark_before) for worker_id, mark, mark_before in workers if worker_id
        )
        for at, model in self._models.items():
            for role in QUEUES:
                ours = [mark.texts_per_s for mark in marks if mark.tag == model.tag and mark.role == role]
                found["workers"].add_metric([role, *at], len(ours))
                found["rate"].add_metric([role, *at], sum(ours))


def _at(model: Model, models: Sequence[Model]) -> _Labels:
    return (model.name,) if len(models) > 1 else ()


def _families(more: list[str]) -> _Families:
    """`more`: the labels of queues and workers besides the queue or role."""
    gauge, counter = GaugeMetricFamily, CounterMetricFamily
    return {
        "messages": gauge(
            "sentiment_queue_messages",
            "Chunks that wait in a queue, over all priorities; in that of jobs, also those that wait for their turn.",
            labels=["queue", *more],
        ),
        "oldest": gauge(
            "sentiment_queue_oldest_seconds",
            "Age of the oldest chunk that no worker has begun; 0 if none.",
            labels=["queue", *more],
        ),
        "delivered": gauge("sentiment_queue_delivered", "Chunks that workers have taken and not acknowledged."),
        "workers": gauge(
            "sentiment_workers_ready",
            "Workers that are ready with the model that the settings ask for.",
            labels=["role", *more],
        ),
        "rate": gauge(
            "sentiment_workers_texts_per_second",
            "Tweets per second that the ready workers' engines score, measured at start and from the work done.",
            labels=["role", *more],
        ),
        "unfinished": gauge("sentiment_jobs_unfinished", "Jobs that have not ended."),
        "ended": counter("sentiment_jobs_ended", "Jobs that have ended, by state.", labels=["state"]),
        "redis": gauge(
            "sentiment_redis_up", "1 if the server of this part answered at this scrape, else 0.", labels=["part"]
        ),
    }
