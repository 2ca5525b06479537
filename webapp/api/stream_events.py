"""A stream's shifts, and what happens in it as server-sent events."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import orjson
from flask import Blueprint, Response, request

from tasks.errors import ServiceUnavailable, StreamNotFound
from tasks.streams.kept import KeptStreams
from tasks.streams.shifts import MOST_SHIFTS, KeptShifts, Looked, instant, shift_facts
from tasks.streams.stream import MINUTE_S, NO_SEGMENT, Buckets, Stream
from tasks.submit.away import redis_or_unavailable
from webapp.api.events import Listener, Listeners
from webapp.front.visit import caller
from webapp.server.stopping import stopping

_HEARTBEAT_S = 15.0
"""Proxies close connections that were silent for a minute or so."""
_LOOK_S = 0.25
"""Seconds between two looks for news."""
_BETWEEN_S = 0.5
"""The least time between two batches of events."""
_MOST_BUCKETS = 500
"""The most buckets that are sent at once; if more have changed, the listener is told to read the series anew."""
_MOST_BATCHES = 16
"""Each may have _MOST_BUCKETS, some 300 KB."""
_PLACE = re.compile(r"([0-9]{1,15})-([0-9]{1,9})")
NOTE = (
    "A shift is a lasting change of the mean of net, which is the probability of POSITIVE less that of NEGATIVE, by the"
    " model's own scores; texts with equal words count once. `at` is the most likely time of the change. Texts that"
    " were written over 15 minutes before others of their segment that came earlier are counted and not looked at"
    " (`late`)."
)
BUCKET_NOTE = "The model's own counts as they come in; the series has intervals, and corrects by labels."


class Place(NamedTuple):
    """How much of a stream a listener has been told."""

    revision: int
    shifts: int


class Batches:
    """The latest batches of events in a web process, so that all who listen to a stream share the work of one."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, Place, Place], bytes] = {}

    def get(self, uid: str, before: Place | None, now: Place, make: Callable[[], bytes]) -> bytes:
        """What has happened in a stream from one place to another; `make` is asked unless it is known."""
        if before is None:  # whoever comes new hears of settings that have changed since, too
            return make()
        found = self._made.get((uid, before, now))
        if found is None:
            found = make()
            while len(self._made) >= _MOST_BATCHES:
                del self._made[next(iter(self._made))]
            self._made[uid, before, now] = found
        return found


class StreamTold(NamedTuple):
    """What is read to tell of a stream."""

    streams: KeptStreams
    shifts: KeptShifts
    body: Callable[[Stream], dict[str, object]]
    """The stream as `GET /streams/{name}` answers it, without its links."""


def add_event_routes(
    blueprint: Blueprint,
    told: StreamTold,
    listeners: Listeners,
    *,
    find: Callable[[str], Stream],
    links: Callable[[Stream], dict[str, str]],
) -> None:
    """Adds `/streams/{name}/shifts` and `/streams/{name}/events`. `find`: the caller's stream of a name."""

    batches = Batches()

    @blueprint.get("/streams/<name>/shifts")
    def shifts(name: str) -> Response:
        stream = find(name)
        with redis_or_unavailable():
            items = [shift_facts(shift) for shift in told.shifts.newest(stream, MOST_SHIFTS)]
            looked = told.shifts.looked(stream)
        return Response(orjson.dumps(shifts_body(stream, items, looked)), mimetype="application/json")

    @blueprint.get("/streams/<name>/events")
    def events(name: str) -> Response:
        stream = find(name)
        last = _PLACE.fullmatch(request.headers.get("Last-Event-ID", ""))
        place = None if last is None else Place(int(last[1]), int(last[2]))
        listens_as, same = caller().id, {"links": links(stream)}
        whole = told._replace(body=lambda current: told.body(current) | same)

        def pieces() -> Iterator[bytes]:
            with listeners.place(listens_as) as listener:
                yield from stream_events(whole, stream, place, listener, batches)

        response = Response(pieces(), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"
        return response


def shifts_body(stream: Stream, items: list[dict[str, Any]], looked: Looked) -> dict[str, Any]:
    """The answer of `/streams/{name}/shifts`."""
    sensitivity, pace, per_text = stream.settings.sensitivity, looked.texts_per_day, looked.false_alarms_per_text
    per_day = None if pace is None or per_text is None else float(f"{per_text * pace:.3g}")
    return {
        "stream": stream.name,
        "items": items,
        "shifts": looked.shifts,
        "sensitivity": sensitivity,
        "texts_per_day": None if pace is None else round(pace),
        "false_alarms_per_day": per_day,
        "late": [
            {"segment": None if segment == NO_SEGMENT else segment, "texts": count}
            for segment, count in sorted(looked.late.items())
        ],
        "note": NOTE,
    }


def stream_events(
    told: StreamTold, stream: Stream, place: Place | None, listener: Listener, batches: Batches
) -> Iterator[bytes]:
    """Yields, whenever texts were counted or shifts found after `place`: a `shift` for each shift, a `bucket` for each
    minute that has changed, and a `stream` with the whole stream, which alone has an id, so that a batch that was cut
    off comes again. Before them a `reset` if not all that has changed can be told.
    """
    yield b"retry: 1000\n\n"
    said_at = time.monotonic()
    while not (stopping.is_set() or listener.ended):
        try:
            with redis_or_unavailable():
                news = told.shifts.news(stream)
                if news is None:
                    return
                now = Place(*news)
                batch = b""
                if now != place:
                    batch = batches.get(stream.uid, place, now, partial(_batch, told, stream, place, now))
        except ServiceUnavailable:
            batch = b""
        except StreamNotFound:
            return
        if batch:
            place, said_at = now, time.monotonic()
            yield batch
            time.sleep(_BETWEEN_S)
            continue
        if time.monotonic() - said_at > _HEARTBEAT_S:
            said_at = time.monotonic()
            yield b": still here\n\n"
        time.sleep(_LOOK_S)


def _batch(told: StreamTold, stream: Stream, before: Place | None, now: Place) -> bytes:
    events = []
    if before is not None:
        missed = now.shifts - before.shifts
        new = told.shifts.newest(stream, missed) if missed > 0 else []
        buckets, whole = _buckets(told, stream, before.revision)
        if not whole or now < before or len(new) < missed:
            events.append(_event("reset", {}))
        events += [_event("shift", shift_facts(shift)) for shift in reversed(new)]
        events += [_event("bucket", item) for item in buckets]
    current = told.streams.get(stream.owner, stream.name)
    if current.uid != stream.uid:
        raise StreamNotFound  # it was deleted, and another one made
    place = f"id: {now.revision}-{now.shifts}\n".encode()
    return b"".join([*events, place + _event("stream", told.body(current))])


def _buckets(told: StreamTold, stream: Stream, revision: int) -> tuple[list[dict[str, Any]], bool]:
    """The items of the minutes that have changed after a revision, and whether these are all."""
    touched, whole = told.shifts.touched(stream, revision)
    if len(touched) > _MOST_BUCKETS:
        return [], False
    if not touched:
        return [], whole
    names = {number: name for name, number in told.streams.segments(stream).items()}
    starts = [start for _, start in touched]
    if max(starts) - min(starts) > _MOST_BUCKETS * MINUTE_S:
        return [], False  # an old file; reading all that lies between would take long
    segments = sorted({names[number] for number, _ in touched if number in names})
    sums = told.streams.sums(stream, segments, min(starts), max(starts) + MINUTE_S, "minute")
    changed = {(names[number], start) for number, start in touched if number in names}
    items = [
        _bucket(name, sums[name], place)
        for name in segments
        for place, start in enumerate(sums[name].starts.tolist())
        if (name, start) in changed
    ]
    return items, whole


def _bucket(segment: str, buckets: Buckets, place: int) -> dict[str, Any]:
    """One minute of a segment, with the fields of an item of the series."""
    begin = float(buckets.starts[place])
    counts = buckets.sums[place, :3].tolist()
    texts = sum(counts)
    negative, neutral, positive = (count / texts if texts else 0.0 for count in counts)
    shares = {"negative": negative, "neutral": neutral, "positive": positive, "net": positive - negative}
    return {
        "segment": None if segment == NO_SEGMENT else segment,
        "start": instant(begin),
        "end": instant(begin + MINUTE_S),
        **{name: {"estimate": share, "low": None, "high": None} for name, share in shares.items()},
        "texts": round(texts),
        "effective_texts": round(texts),
        "labels": 0,
        "method": "raw",
        "note": BUCKET_NOTE,
        "failed": round(float(buckets.failed[place])),
        "unsupported_language": round(float(buckets.unread[place])),
    }


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"
