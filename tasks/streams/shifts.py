"""Shifts of streams as they are kept and told: what workers find (`tasks.work.shifts`) and web processes answer.

Besides the keys that `tasks.streams` lists, a stream has

    sentiq:s:<uid>:looked    what is known of the texts that were looked at, a hash: `version`, which grows with every
                             look; `shifts`, their number; `pace`, see `Pace`; `per_text`, the rate of
                             false alarms; and for each segment `s:<segment>`, the
                             state of its detector, and `late:<segment>`, the texts that came too late to be looked at
    sentiq:s:<uid>:shifts    the shifts, newest first, as JSON: a list of MOST_SHIFTS at the most

and all streams together

    sentiq:streams:counts    the counts for the metrics, and whose they are: see `tasks.streams.metrics`
    sentiq:streams:series
    sentiq:shift-callbacks   the ids, <uid>.<number>, of the shifts whose callback is due, a set sorted by time
    sentiq:shift:<id>        what is posted of a shift, where to, and how far that is, a hash
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from model.shares.shift import Shift as Found
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.streams.keys import stream_key
from tasks.streams.stream import NO_SEGMENT, Stream

MOST_SHIFTS = 1000
MOST_TOUCHED = 5000
"""That many of the minutes that have changed last are known (`tasks/streams/lua/stream.lua`)."""
SHIFT_CALLBACKS = "sentiq:shift-callbacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift(Found):
    """A shift that was found in a stream."""

    number: int
    """1 for the stream's first."""
    segment: str
    found_at: float
    """When the worker found it, in Unix seconds."""
    false_alarms_per_text: float
    false_alarms_per_day: float
    """False alarms that are to be expected at the stream's pace of then, if nothing ever changes."""
    sentence: str


class Looked(NamedTuple):
    """What is told of a stream besides its shifts."""

    shifts: int
    """How many were found, of which the newest MOST_SHIFTS are kept."""
    late: dict[str, int]
    """For each segment that has any, the texts that were counted and not looked at."""
    texts_per_day: float | None
    false_alarms_per_text: float | None
    """With which the latest texts were looked at."""


class Pace(msgspec.Struct, array_like=True, frozen=True):
    """How many texts a stream has in a day, by their own times; of late ones more than of early ones."""

    first: float
    last: float
    weight: float
    """The number of texts, each with a weight that falls to 1/e in a day."""


DAY_S = 86_400.0
_SHORTEST_S = 3600.0


def faster(pace: Pace | None, texts: int, first: float, last: float) -> Pace:
    """The pace after so many more texts, written between two times."""
    if pace is None:
        return Pace(first, max(last, first), float(texts))
    last = max(last, pace.last)
    fallen = math.exp((pace.last - last) / DAY_S)
    return Pace(min(first, pace.first), last, pace.weight * fallen + texts)


def texts_per_day(pace: Pace) -> float:
    """The number of texts in a day. A stream of less than an hour counts as one of an hour."""
    age_s = max(pace.last - pace.first, _SHORTEST_S)
    return pace.weight / (1 - math.exp(-age_s / DAY_S))


def instant(seconds: float) -> str:
    """A time in RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shift_facts(shift: Shift) -> dict[str, Any]:
    """A shift in the form that callers and callbacks get."""
    return {
        "number": shift.number,
        "segment": None if shift.segment == NO_SEGMENT else shift.segment,
        "at": instant(shift.when),
        "earliest": instant(shift.earliest),
        "latest": instant(shift.latest),
        "before": round(shift.before, 4),
        "after": round(shift.after, 4),
        "difference": {"estimate": round(shift.size, 4), "low": round(shift.low, 4), "high": round(shift.high, 4)},
        "texts_before": shift.texts_before,
        "texts_after": shift.texts_after,
        "found_with": instant(shift.found),
        "found_at": instant(shift.found_at),
        "false_alarms_per_day": float(f"{shift.false_alarms_per_day:.3g}"),
        "sentence": shift.sentence,
    }


class KeptShifts:
    """Reads the shifts of streams. Raises redis.RedisError if the server is away."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def newest(self, stream: Stream, count: int = MOST_SHIFTS) -> list[Shift]:
        """The newest shifts, the newest first."""
        stored = self._client.lrange(stream_key(stream.uid, "shifts"), 0, count - 1)
        return [msgspec.json.decode(one, type=Shift) for one in stored]

    def looked(self, stream: Stream) -> Looked:
        """What is known of the texts that were looked at."""
        facts = self._client.hgetall(stream_key(stream.uid, "looked"))
        prefix = b"late:"
        late = {name[len(prefix) :].decode(): int(n) for name, n in facts.items() if name.startswith(prefix)}
        pace = facts.get(b"pace")
        day = None if pace is None else texts_per_day(msgspec.json.decode(pace, type=Pace))
        per_text = facts.get(b"per_text")
        return Looked(int(facts.get(b"shifts", 0)), late, day, None if per_text is None else float(per_text))

    def news(self, stream: Stream) -> tuple[int, int] | None:
        """How often texts were counted, and how many shifts were found; None if the stream is gone."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hget(stream_key(stream.uid), "revision")
        pipe.hget(stream_key(stream.uid, "looked"), "shifts")
        revision, shifts = pipe.execute()
        return None if revision is None else (int(revision), int(shifts or 0))

    def whole_news(self, stream: Stream) -> tuple[int, int, int] | None:
        """The same, and how many labels people have given."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hget(stream_key(stream.uid), "revision")
        pipe.hget(stream_key(stream.uid, "looked"), "shifts")
        pipe.hlen(stream_key(stream.uid, "labels"))
        revision, shifts, labels = pipe.execute()
        return None if revision is None else (int(revision), int(shifts or 0), int(labels))

    def touched(self, stream: Stream, revision: int) -> tuple[list[tuple[int, float]], bool]:
        """The minutes in which texts were counted after a revision: the segment's number and the minute's beginning
        in Unix seconds. Also whether these are all that there were.
        """
        key = stream_key(stream.uid, "touched")
        pipe = self._client.pipeline(transaction=False)
        pipe.zrangebyscore(key, f"({revision}", "+inf")
        pipe.zcard(key)
        pipe.zrange(key, 0, 0, withscores=True)
        found, number, oldest = pipe.execute()
        whole = number < MOST_TOUCHED or revision >= oldest[0][1]
        minutes = (name_of(one).partition(":") for one in found)
        return [(int(segment), int(minute) * 60.0) for segment, _, minute in minutes], whole
