"""What streams count for Prometheus: texts and shifts by stream and segment, in Redis, so that nothing counts twice.

Names of streams and segments are given by callers, who could make series without end; so only as many segments as
STREAM_METRICS says have series of their own, and the others, of all streams, are one: `_other`.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from model.labels import SENTIMENT
from tasks.store.connections import Client
from tasks.streams.keys import stream_key

COUNTS = "sentiq:streams:counts"
"""The key of the counts, a hash: the fields are a segment's name, as `series_name` makes it, and what is counted."""
SERIES = "sentiq:streams:series"
"""The key of the segments that are counted by themselves, a hash: the uid of the stream by the segment's name."""
_LABELS = ["owner", "stream", "segment"]
LABELS = (*SENTIMENT.classes, "failed", "unread")
"""The values of the label `label`: what became of a text, in the order of `tasks.streams.unseen.Row.label`."""


def series_name(owner: str, stream: str, segment: str) -> str:
    """A segment's name among those of all streams."""
    return orjson.dumps([owner, stream, segment]).decode()


OTHER = series_name("", "_other", "_other")
"""No stream's name begins like that."""


def forget(client: Client, uid: str) -> None:
    """Removes a stream from the metrics. Raises redis.RedisError."""
    names = [name.decode() for name, of in client.hgetall(SERIES).items() if of.decode() == uid]
    if names:
        client.hdel(COUNTS, *(name + what for name in names for what in (*LABELS, "shifts", "shifted_at")))
        client.hdel(SERIES, *names)


def forget_expired(client: Client) -> None:
    """Removes streams that are gone from the metrics. Raises redis.RedisError."""
    for uid in {of.decode() for of in client.hgetall(SERIES).values()}:
        if not client.exists(stream_key(uid)):
            forget(client, uid)


def stream_metrics(counts: Mapping[bytes, bytes]) -> list[CounterMetricFamily | GaugeMetricFamily]:
    """The metrics, of what is stored under COUNTS."""
    texts = CounterMetricFamily(
        "sentiment_stream_texts", "Texts that were counted in streams.", labels=[*_LABELS, "label"]
    )
    shifts = CounterMetricFamily("sentiment_stream_shifts", "Shifts that were found in streams.", labels=_LABELS)
    shifted_at = GaugeMetricFamily(
        "sentiment_stream_shift_timestamp_seconds",
        "When the latest shift was found, in Unix seconds; 0 if there was none.",
        labels=_LABELS,
    )
    segments: dict[bytes, dict[bytes, bytes]] = {}
    for field, count in counts.items():
        name, bracket, what = field.rpartition(b"]")
        segments.setdefault(name + bracket, {})[what] = count
    for name, counted in segments.items():
        labels = orjson.loads(name)
        for label in LABELS:
            texts.add_metric([*labels, label], int(counted.get(label.encode(), 0)))
        shifts.add_metric(labels, int(counted.get(b"shifts", 0)))
        shifted_at.add_metric(labels, float(counted.get(b"shifted_at", 0)))
    return [texts, shifts, shifted_at]
