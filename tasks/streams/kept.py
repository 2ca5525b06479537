"""Streams as callers see them: made, read and deleted by web processes. Raises redis.RedisError if the server is away.

Loads numpy when buckets are read for the first time, not before.
"""

from __future__ import annotations

import math
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import msgspec

from tasks.errors import StreamNotFound, TooManyStreams
from tasks.jobs.incoming import IncomingJobs
from tasks.store.connections import Client
from tasks.store.scripts import load_script
from tasks.streams.buckets import DAY_S, MINUTES_S, Unit, buckets_of, joined, length_of, places_of, stored_in
from tasks.streams.keys import IDS_IN_SET, STREAM_UNSEEN, level_sets, registry_key, stream_key
from tasks.streams.links import link_keys
from tasks.streams.metrics import forget
from tasks.streams.sampled import Sample
from tasks.streams.stream import Buckets, Entry, Stream, StreamSettings

T = TypeVar("T")
_AT_ONCE = 1000
"""Keys that are read or deleted in one round trip."""
_HASHES_AT_ONCE = 100
"""Hashes of buckets, at most 96 in each, that are read in one round trip."""
_DAYS_AT_ONCE = 5000
_SAMPLES_AT_ONCE = 4
"""Samples that are read in one round trip: each may have 2,000 entries, and others have their turns in between."""
_OTHER_PARTS = (
    "totals",
    "unseen",
    "touched",
    "looked",
    "shifts",
    "labels",
    "offers",
    "offered",
    "links",
    "bytes",
)
"""Those parts of a stream of which there is one, besides what `lua/delete.lua` removes, and the days."""


class Known(NamedTuple):
    """Which segments a stream has, and when its texts were written."""

    numbers: dict[str, int]
    """The segments' numbers by name, in the order in which they came."""
    days: dict[int, list[int]]
    """The days since 1970 (UTC) on which texts of a segment were written, by its number."""

    @property
    def extent(self) -> tuple[float, float]:
        """The beginning of the first day and the end of the last one; without any, both are 0."""
        days = [day for of_segment in self.days.values() for day in of_segment]
        return (min(days) * float(DAY_S), (max(days) + 1) * float(DAY_S)) if days else (0.0, 0.0)


class KeptStreams:
    """The store of streams in a web process."""

    def __init__(self, client: Client, *, max_streams: int) -> None:
        """`client`: connected to the server of the jobs; `max_streams`: that an owner may have."""
        self._client = client
        self._max_streams = max_streams
        self._put = load_script(client, "tasks.streams", "put")
        self._delete = load_script(client, "tasks.streams", "delete")

    def put(self, owner: str, name: str, settings: StreamSettings) -> tuple[Stream, bool]:
        """Makes a stream, or gives one that is there other settings; returns it, and whether it is new.

        Raises:
            TooManyStreams: the owner has as many as may be.
        """
        facts = {
            "owner": owner,
            "name": name,
            "created_at": repr(time.time()),
            "salt": secrets.token_hex(16),
            "revision": "0",
        }
        answer = self._put(
            keys=[registry_key(owner)],
            args=[
                name,
                uuid.uuid4().hex[:16],
                self._max_streams,
                settings.ttl,
                int(settings.keep_sample),
                msgspec.json.encode(facts),
                msgspec.json.encode(settings),
            ],
        )
        if answer is None:
            raise TooManyStreams(self._max_streams)
        uid, is_new = answer
        stream = self._read([uid.decode()])[0]
        if stream is None:
            raise StreamNotFound  # deleted meanwhile
        return stream, bool(is_new)

    def get(self, owner: str, name: str) -> Stream:
        """A stream. Raises StreamNotFound if the owner has none of this name."""
        uid = self._client.hget(registry_key(owner), name)
        stream = self._read([uid.decode()])[0] if uid is not None else None
        if stream is None:
            raise StreamNotFound
        return stream

    def of(self, owner: str) -> list[Stream]:
        """An owner's streams, by name."""
        uids = [uid.decode() for uid in self._client.hvals(registry_key(owner))]
        return sorted((one for one in self._read(uids) if one is not None), key=lambda one: one.name)

    def _read(self, uids: Sequence[str]) -> list[Stream | None]:
        pipe = self._client.pipeline(transaction=False)
        for uid in uids:
            pipe.hgetall(stream_key(uid))
            pipe.pttl(stream_key(uid))
        answers = pipe.execute() if uids else []
        return [
            _stream(uid, stored, left_ms)
            for uid, stored, left_ms in zip(uids, answers[::2], answers[1::2], strict=True)
        ]

    def kept_bytes(self, owner: str) -> int:
        """About how many bytes of Redis the owner's streams keep, without labels and links, of which there are few.

        `tasks/streams/lua/stream.lua` adds up what it stores: what minutes take (`m<day>`) and what lives as long as
        the stream (`q<day>`), by the day on which it was stored, the entries of the samples, and their texts.
        """
        pipe = self._client.pipeline(transaction=False)
        uids = [uid.decode() for uid in self._client.hvals(registry_key(owner))]
        for uid in uids:
            pipe.hget(stream_key(uid), "ttl")
            pipe.hgetall(stream_key(uid, "bytes"))
        answers = pipe.execute() if uids else []
        today = int(time.time() // DAY_S)
        total = 0
        for ttl_s, stored in zip(answers[::2], answers[1::2], strict=True):
            lives = {b"m": MINUTES_S, b"q": int(ttl_s or 0)}
            for field, counted in stored.items():
                left_s = lives.get(field[:1])
                if left_s is None or int(field[1:]) + 1 + left_s / DAY_S >= today:
                    total += int(counted)
        return max(total, 0)

    def delete(self, owner: str, name: str, jobs: IncomingJobs) -> None:
        """Removes a stream with all that is kept of it, texts first, and the jobs that bring texts into it.

        Whatever counts for it meanwhile finds it gone, so no key of it is made anew. If this is interrupted, the rest
        expires by itself, and none of it can be read.

        Raises:
            StreamNotFound: the owner has none of this name.
        """
        uid = self.get(owner, name).uid
        removed = self._delete(keys=[registry_key(owner), STREAM_UNSEEN], args=[name, uid])
        if removed is None:
            raise StreamNotFound
        ids, brought_by = removed
        links = link_keys(self._client, uid)
        self._client.unlink(*links, *(stream_key(uid, part) for part in _OTHER_PARTS))
        for job in brought_by:
            jobs.discard(job.decode())
        # After the script, as no day is added any more.
        keys = _bucket_keys(uid, self._days(uid), ids)  # a day has 26 of them, so all of them are never in memory
        while some := list(islice(keys, _AT_ONCE)):
            self._client.unlink(*some)
        self._client.unlink(stream_key(uid, "days"))
        forget(self._client, uid)

    def segments(self, stream: Stream) -> dict[str, int]:
        """The numbers of its segments by name, in the order in which they came."""
        return _numbers(self._client.hgetall(stream_key(stream.uid, "segments")))

    def totals(self, stream: Stream, *, masked: bool = False) -> dict[str, Buckets]:
        """What was counted of each segment since the stream was made: one bucket each, that starts at 0."""
        segments = self.segments(stream)
        stored = self._client.hgetall(stream_key(stream.uid, "totals"))
        own: dict[int, dict[bytes, bytes]] = {number: {} for number in segments.values()}
        for field, value in stored.items():
            number = int(field.partition(b".")[0])
            if number in own:  # else its first text was counted, or the stream deleted, in this moment
                own[number][field] = value
        return {
            name: buckets_of([(-number, own[number])], 1, -math.inf, math.inf, masked=masked)
            for name, number in segments.items()
        }

    def sums(
        self,
        stream: Stream,
        segments: Sequence[str],
        start: float,
        end: float,
        unit: Unit = "quarter",
        *,
        masked: bool = False,
        known: Known | None = None,
    ) -> dict[str, Buckets]:
        """What was counted of segments from `start` to before `end` (Unix seconds), in minutes or quarters of an hour
        (`tasks.streams.periods` rolls these up). A bucket that begins before `start` is not in it.

        Args:
            stream: the stream.
            segments: the segments' names; unknown ones get no buckets.
            start: from when on.
            end: before when.
            unit: the length of a bucket. Minutes are kept for a week.
            masked: the Sums of the scores with the segment's name masked, where that changed anything.
            known: what `known` gave, if it was asked already.
        """
        numbers, days = known or self.known(stream)
        part, length_s = stored_in(unit)
        found: dict[str, list[Buckets]] = {name: [] for name in segments if name in numbers}
        wanted = [(name, place) for name in found for place in places_of(days.get(numbers[name], ()), unit, start, end)]
        for some in _in_parts(wanted, _HASHES_AT_ONCE):
            pipe = self._client.pipeline(transaction=False)
            for name, place in some:
                pipe.hgetall(stream_key(stream.uid, part, numbers[name], place))
            stored: dict[str, list[tuple[int, dict[bytes, bytes]]]] = {}
            for (name, place), fields in zip(some, pipe.execute(), strict=True):
                stored.setdefault(name, []).append((place * length_s, fields))
            for name, hashes in stored.items():
                found[name].append(buckets_of(hashes, length_of(unit), start, end, masked=masked))
                time.sleep(0)
        return {name: joined(parts) for name, parts in found.items()}

    def known(self, stream: Stream) -> Known:
        """Which segments there are, and on which days their texts were written."""
        segments = self._client.hgetall(stream_key(stream.uid, "segments"))
        days: dict[int, list[int]] = {}
        for place, member in enumerate(self._days(stream.uid)):
            if place % _DAYS_AT_ONCE == 0:
                time.sleep(0)
            number, _, day = member.partition(":")
            days.setdefault(int(number), []).append(int(day))
        return Known(_numbers(segments), days)

    def _days(self, uid: str) -> set[str]:
        """The days on which texts were written, as <segment's number>:<day>. Whoever writes times into texts may make
        a million of them, so others have their turns in between.
        """
        days: set[str] = set()
        cursor: int | None = None
        while cursor != 0:
            cursor, members = self._client.sscan(stream_key(uid, "days"), cursor or 0, count=_DAYS_AT_ONCE)
            days.update(member.decode() for member in members)
            time.sleep(0)
        return days

    def authors(
        self, stream: Stream, segments: Sequence[str], start: float, end: float, *, known: Known | None = None
    ) -> dict[str, int]:
        """About how many distinct authors wrote on the days (UTC) of this time, for each of these segments that had
        any. `known`: as in `sums`.
        """
        numbers, days = known or self.known(stream)
        places = {
            name: places_of(days.get(numbers[name], ()), "quarter", start, end) for name in segments if name in numbers
        }
        asked = [name for name, of_segment in places.items() if of_segment]
        pipe = self._client.pipeline(transaction=False)
        for name in asked:
            pipe.pfcount(*(stream_key(stream.uid, "a", numbers[name], day) for day in places[name]))
        return {name: int(found) for name, found in zip(asked, pipe.execute(), strict=True) if found}

    def samples(
        self,
        stream: Stream,
        segments: Sequence[str],
        start: float | None = None,
        end: float | None = None,
        *,
        known: Known | None = None,
    ) -> dict[str, tuple[Sample, Sample]]:
        """Of each of these segments that there is: its sample, and that of its texts that were sent with labels and
        chosen at random; of the texts of a time if one is given. `known`: as in `sums`.
        """
        numbers = (known or self.known(stream)).numbers
        found = {}
        for some in _in_parts([name for name in segments if name in numbers], _SAMPLES_AT_ONCE):
            pipe = self._client.pipeline(transaction=False)
            for name in some:
                for part in ("sample", "gold"):
                    pipe.zrange(stream_key(stream.uid, part, numbers[name]), 0, -1)
            packed = iter(pipe.execute())
            for name, one, gold in zip(some, packed, packed, strict=True):
                time.sleep(0)
                found[name] = (Sample(name, one).within(start, end), Sample(name, gold).within(start, end))
        return found

    def sample(self, stream: Stream, segment: str, start: float | None = None, end: float | None = None) -> list[Entry]:
        """The sample of a segment with the texts that are kept, of texts of a time if one is given, in the order of
        their keyed hashes.
        """
        number = self.segments(stream).get(segment)
        if number is None:
            return []
        pipe = self._client.pipeline(transaction=True)
        pipe.zrange(stream_key(stream.uid, "sample", number), 0, -1)
        pipe.hgetall(stream_key(stream.uid, "sample", number, "texts"))
        packed, texts = pipe.execute()
        return Sample(segment, packed).within(start, end).entries(texts)


def _in_parts(all: Sequence[T], size: int = _AT_ONCE) -> Iterator[Sequence[T]]:
    for start in range(0, len(all), size):
        yield all[start : start + size]


def _numbers(stored: dict[bytes, bytes]) -> dict[str, int]:
    by_name = {name.decode(): int(number) for name, number in stored.items()}
    return dict(sorted(by_name.items(), key=lambda item: item[1]))


def _stream(uid: str, stored: dict[bytes, bytes], left_ms: int) -> Stream | None:
    if b"settings" not in stored:
        return None
    facts = {name.decode(): value.decode() for name, value in stored.items()}
    counts = {name: int(facts.get(name, 0)) for name in ("texts", "failed", "unread", "repeated", "revision")}
    return Stream(
        uid=uid,
        name=facts["name"],
        owner=facts["owner"],
        settings=msgspec.json.decode(facts["settings"], type=StreamSettings),
        salt=bytes.fromhex(facts["salt"]),
        created_at=float(facts["created_at"]),
        expires_at=time.time() + max(left_ms, 0) / 1000,
        **counts,
    )


def _bucket_keys(uid: str, days: Iterable[str], ids: int) -> Iterator[str]:
    for member in days:
        number, _, day = member.partition(":")
        yield stream_key(uid, "q", number, day)
        yield stream_key(uid, "a", number, day)
        for hour in range(24):
            yield stream_key(uid, "m", number, int(day) * 24 + hour)
    room = level = 0
    while ids > room:
        for place in range(level_sets(level)):
            yield stream_key(uid, "ids", level, place)
        room += level_sets(level) * IDS_IN_SET
        level += 1
