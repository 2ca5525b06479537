"""Streams as callers see them: made, read and deleted by web processes. Raises redis.RedisError if the server is away.

Loads numpy when buckets are read for the first time, not before.
"""

from __future__ import annotations

import math
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeVar

import msgspec

from tasks.errors import StreamNotFound, TooManyStreams
from tasks.jobs.incoming import IncomingJobs
from tasks.store.connections import Client
from tasks.store.scripts import load_script
from tasks.streams.counted import ENTRY
from tasks.streams.keys import IDS_IN_SET, STREAM_UNSEEN, level_sets, registry_key, stream_key
from tasks.streams.metrics import forget
from tasks.streams.stream import MINUTE_S, QUARTER_S, Buckets, Entry, Stream, StreamSettings

T = TypeVar("T")
Unit = Literal["minute", "quarter"]
_HOUR_S, _DAY_S = 3600, 86_400
_AT_ONCE = 1000
"""Keys that are read or deleted in one round trip."""
_OTHER_PARTS = (
    "totals",
    "days",
    "unseen",
    "touched",
    "looked",
    "shifts",
    "labels",
    "offers",
    "offered",
    "jobs",
    "links",
)
"""Those parts of a stream of which there is one, besides facts and segments."""


class KeptStreams:
    """The store of streams in a web process."""

    def __init__(self, client: Client, *, max_streams: int) -> None:
        """`client`: connected to the server of the jobs; `max_streams`: that an owner may have."""
        self._client = client
        self._max_streams = max_streams
        self._put = load_script(client, "tasks.streams", "put")

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

    def delete(self, owner: str, name: str, jobs: IncomingJobs) -> None:
        """Removes a stream with all that is kept of it, texts first, and the jobs that bring texts into it.

        Whatever counts for it meanwhile finds it gone. If this is interrupted, the rest expires by itself, and none of
        it can be read.

        Raises:
            StreamNotFound: the owner has none of this name.
        """
        stream = self.get(owner, name)
        uid = stream.uid
        numbers = list(self.segments(stream).values())
        brought_by = [job.decode() for job in self._client.smembers(stream_key(uid, "jobs"))]
        days = [member.decode() for member in self._client.smembers(stream_key(uid, "days"))]
        ids = int(self._client.hget(stream_key(uid), "ids") or 0)
        samples = [f"{kind}:{number}" for kind in ("sample", "gold") for number in numbers]
        samples += [f"{sample}:texts" for sample in samples]
        pipe = self._client.pipeline(transaction=True)
        pipe.hdel(registry_key(owner), name)
        pipe.unlink(stream_key(uid), stream_key(uid, "segments"), *(stream_key(uid, sample) for sample in samples))
        pipe.unlink(*(stream_key(uid, part) for part in _OTHER_PARTS))
        pipe.zrem(STREAM_UNSEEN, uid)
        pipe.execute()
        for job in brought_by:
            jobs.discard(job)
        for some in _in_parts(list(_bucket_keys(uid, days, ids))):
            self._client.unlink(*some)
        forget(self._client, uid)

    def segments(self, stream: Stream) -> dict[str, int]:
        """The numbers of its segments by name, in the order in which they came."""
        stored = self._client.hgetall(stream_key(stream.uid, "segments"))
        by_name = {name.decode(): int(number) for name, number in stored.items()}
        return dict(sorted(by_name.items(), key=lambda item: item[1]))

    def totals(self, stream: Stream, *, masked: bool = False) -> dict[str, Buckets]:
        """What was counted of each segment since the stream was made: one bucket each, that starts at 0."""
        segments = self.segments(stream)
        stored = self._client.hgetall(stream_key(stream.uid, "totals"))
        found = {}
        for name, number in segments.items():
            own = {field: value for field, value in stored.items() if field.partition(b".")[0] == str(number).encode()}
            found[name] = _buckets([(-number, own)], 1, -math.inf, math.inf, masked=masked)
        return found

    def sums(
        self,
        stream: Stream,
        segments: Sequence[str],
        start: float,
        end: float,
        unit: Unit = "quarter",
        *,
        masked: bool = False,
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
        """
        numbers = self.segments(stream)
        places = self._places(stream, unit, start, end)
        wanted = [(name, place) for name in segments if name in numbers for place in places.get(numbers[name], ())]
        part = "m" if unit == "minute" else "q"
        stored: dict[str, list[tuple[int, dict[bytes, bytes]]]] = {name: [] for name in segments if name in numbers}
        for some in _in_parts(wanted):
            pipe = self._client.pipeline(transaction=False)
            for name, place in some:
                pipe.hgetall(stream_key(stream.uid, part, numbers[name], place))
            for (name, place), fields in zip(some, pipe.execute(), strict=True):
                stored[name].append((place * (_HOUR_S if unit == "minute" else _DAY_S), fields))
        length_s = MINUTE_S if unit == "minute" else QUARTER_S
        return {name: _buckets(found, length_s, start, end, masked=masked) for name, found in stored.items()}

    def _places(self, stream: Stream, unit: Unit, start: float, end: float) -> dict[int, list[int]]:
        """The keys that there may be of each segment in a time: days since 1970, or for minutes hours."""
        first, last = start // _DAY_S, end // _DAY_S
        found: dict[int, list[int]] = {}
        for number, day in self._days(stream):
            if first <= day <= last:
                found.setdefault(number, []).append(day)
        for number, days in found.items():
            days.sort()
            if unit == "minute":
                found[number] = [
                    day * 24 + hour
                    for day in days
                    for hour in range(24)
                    if start < (day * 24 + hour + 1) * _HOUR_S and (day * 24 + hour) * _HOUR_S < end
                ]
        return found

    def _days(self, stream: Stream) -> Iterator[tuple[int, int]]:
        for member in self._client.smembers(stream_key(stream.uid, "days")):
            number, _, day = member.partition(b":")
            yield int(number), int(day)

    def extent(self, stream: Stream) -> tuple[float, float] | None:
        """The beginning of the first day and the end of the last one (UTC) on which texts were written; None without
        any.
        """
        days = [day for _, day in self._days(stream)]
        return (min(days) * float(_DAY_S), (max(days) + 1) * float(_DAY_S)) if days else None

    def authors(self, stream: Stream, segments: Sequence[str], start: float, end: float) -> int | None:
        """About how many distinct authors wrote on the days (UTC) of this time; None if no text had an author."""
        numbers = {number for name, number in self.segments(stream).items() if name in segments}
        first, last = start // _DAY_S, (end - 1e-3) // _DAY_S
        keys = [
            stream_key(stream.uid, "a", number, day)
            for number, day in self._days(stream)
            if number in numbers and first <= day <= last
        ]
        return (int(self._client.pfcount(*keys)) or None) if keys else None

    def sample(
        self,
        stream: Stream,
        segment: str,
        start: float | None = None,
        end: float | None = None,
        *,
        gold: bool = False,
    ) -> list[Entry]:
        """The sample of a segment, of texts of a time if one is given, in the order of their keyed hashes: any first n
        of them are a uniform random sample without replacement. `gold`: that of the texts that were sent with labels
        and chosen at random.
        """
        number = self.segments(stream).get(segment)
        if number is None:
            return []
        part = "gold" if gold else "sample"
        pipe = self._client.pipeline(transaction=True)
        pipe.zrange(stream_key(stream.uid, part, number), 0, -1)
        pipe.hgetall(stream_key(stream.uid, part, number, "texts"))
        packed, texts = pipe.execute()
        entries = [_entry(segment, one, texts) for one in packed]
        low, high = -math.inf if start is None else start * 1000, math.inf if end is None else end * 1000
        return sorted((one for one in entries if low <= one.time_ms < high), key=lambda one: one.id)


def _in_parts(all: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(all), _AT_ONCE):
        yield all[start : start + _AT_ONCE]


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


def _buckets(
    stored: Iterable[tuple[int, dict[bytes, bytes]]], length_s: int, start: float, end: float, *, masked: bool
) -> Buckets:
    """The buckets of hashes, each with the time at which it begins."""
    import numpy as np

    found: dict[int, tuple[bytes, bytes, bytes]] = {}
    for begin, fields in stored:
        for field in {name.partition(b".")[0] for name in fields}:
            at = begin + int(field) * length_s
            if start <= at < end:
                found[at] = (
                    fields.get(field, bytes(64)),
                    fields.get(field + b".m", bytes(64)),
                    fields.get(field + b".x", bytes(16)),
                )
    starts = sorted(found)
    sums = np.frombuffer(b"".join(found[at][0] for at in starts), "<f8").reshape(-1, 8)
    if masked:
        sums = sums + np.frombuffer(b"".join(found[at][1] for at in starts), "<f8").reshape(-1, 8)
    others = np.frombuffer(b"".join(found[at][2] for at in starts), "<f8").reshape(-1, 2)
    return Buckets(np.array(starts, np.float64), sums, others[:, 0], others[:, 1])


def _entry(segment: str, packed: bytes, texts: dict[bytes, bytes]) -> Entry:
    key, time_ms, neg, pos, is_masked, masked_neg, masked_pos, gold, words, author = ENTRY.unpack(packed)
    text = texts.get(key)
    return Entry(
        id=key.hex(),
        segment=segment,
        time_ms=time_ms,
        scores=_scores(neg, pos),
        masked=_scores(masked_neg, masked_pos) if is_masked else None,
        text_cluster=words,
        author_cluster=author,
        text=text.decode() if text is not None else None,
        gold=gold if gold >= 0 else None,
    )


def _scores(neg: float, pos: float) -> tuple[float, float, float]:
    return neg, max(0.0, 1.0 - neg - pos), pos
