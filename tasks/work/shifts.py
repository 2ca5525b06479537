"""Looks for shifts in streams: takes the texts that were counted, in the order of time, through the detectors.

The script that counts a chunk leaves its texts' scores under the stream's `unseen` in the same step. A look takes them
from there and stores what it has found in one step too (`tasks/streams/lua/look.lua`), only if no other worker has
looked at the stream meanwhile. So each text goes through a detector exactly once, whoever dies when.

The texts of a job go through in the order of their chunks, a chunk not before those before it are counted. A job that
came in while an earlier one is under way waits for that, for PATIENCE_S at the most: otherwise the chunk of a worker
that died would come after the texts that were sent after it. Texts of one look are sorted by their times. One that is
older by more than LATE_S than a text of its segment that was looked at, or ahead of the clock by more than that, is
counted and not looked at: an old file that is sent to a live stream is no shift.
"""

from __future__ import annotations

import logging
import math
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from itertools import accumulate
from typing import NamedTuple

import msgspec
import numpy as np
import orjson
import redis

from model.shares.detector import Detector, per_text
from model.shares.shift import Shift as Found
from model.shares.thresholds import PER_TEXT
from model.shares.words import shifted
from tasks.jobs.keys import chunk_id, chunk_of, job_key
from tasks.jobs.scripts import JobScript
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.scripts import load_script
from tasks.streams.keys import STREAM_UNSEEN, stream_key
from tasks.streams.metrics import COUNTS, LABELS, OTHER, SERIES, forget_expired, series_name
from tasks.streams.shifts import (
    MOST_SHIFTS,
    SHIFT_CALLBACKS,
    Pace,
    Shift,
    faster,
    instant,
    shift_facts,
    texts_per_day,
)
from tasks.streams.stream import NO_SEGMENT, StreamSettings
from tasks.streams.stream import OTHER as OTHER_SEGMENT
from tasks.streams.unseen import FAILED, Row, unpacked

CLAIM_S = 10.0
"""After this time another worker looks at a stream whose worker has died."""
LATE_S = 900.0
"""How much older than the newest text of its segment a text may be to be looked at."""
PATIENCE_S = 60.0
"""So long after it came in, a job that has not ended holds back what came in after it."""
CLAIMS_TTL_S = 7 * 86_400
"""The TTL of the set of streams with new texts, which each claim renews."""
_STREAMS = 100
"""The most streams of one round."""
_CHUNKS = 200
"""The most chunks of one look."""
_BYTES = 1 << 20
"""The most bytes of their rows, unless one chunk has more: some 35,000 texts, which take about 100 MB while they are
looked at, and a part of a second."""
_FORGET_S = 600.0
"""Seconds between two searches for streams that have expired and are still in the metrics."""
_LONE = b"p."
"""How the fields of `unseen` begin that are of no job."""

_log = logging.getLogger(__name__)


class _State(msgspec.Struct, array_like=True):
    """What is kept of a segment."""

    newest: float
    """The time of its newest text, in Unix seconds."""
    detector: bytes


class _Stream(NamedTuple):
    """What a look needs to know of a stream."""

    uid: str
    name: str
    owner: str
    settings: StreamSettings
    segments: frozenset[str]
    version: int
    """That of the look before."""
    shifts: int
    """The number of its shifts so far."""
    pace: Pace | None
    expires_in_s: int


class Look:
    """What one look at a stream has found, before it is stored."""

    def __init__(self, stream: _Stream, taken: list[str], now: float) -> None:
        self.stream = stream
        self.taken = taken
        """The chunks that were looked at."""
        self.state: dict[str, str | bytes] = {}
        self.shifts: list[Shift] = []
        self.counted: dict[str, Counter[str]] = defaultdict(Counter)
        """How many texts got each label, by the names of segments in the metrics."""
        self.shifted: Counter[str] = Counter()
        self._now = now

    def keep_pace(self, rows: list[Row]) -> None:
        """Notes how many texts come in a day."""
        if rows:
            pace = faster(self.stream.pace, len(rows), rows[0].time, rows[-1].time)
            self.state["pace"] = msgspec.json.encode(pace)
            self.stream = self.stream._replace(pace=pace)

    def segment(self, name: str, rows: list[Row], state: _State | None, late: int) -> None:
        """Takes a segment's new texts, in the order of time, through its detector."""
        series = series_name(self.stream.owner, self.stream.name, name)
        self.counted[series].update(LABELS[row.label] for row in rows)
        newest = -math.inf if state is None else state.newest
        scored = [row for row in rows if row.label < FAILED]
        in_time = [row for row in scored if newest - LATE_S <= row.time <= self._now + LATE_S]
        if len(in_time) < len(scored):
            self.state[f"late:{name}"] = str(late + len(scored) - len(in_time))
        if not in_time:
            return
        false_alarms = self._false_alarms()
        self.state["per_text"] = repr(false_alarms)
        detector = self._detector(state, false_alarms)
        values, times = np.array([row.net for row in in_time]), np.array([row.time for row in in_time])
        words = np.frombuffer(b"".join(row.words for row in in_time), "<u8")
        for found in detector.add(values, times, words):
            self.shifts.append(self._shift(name, found, false_alarms))
            self.shifted[series] += 1
            self.state["shifts"] = str(self.shifts[-1].number)
        kept = _State(max(newest, in_time[-1].time), detector.to_bytes())
        self.state[f"s:{name}"] = msgspec.msgpack.encode(kept)

    def _false_alarms(self) -> float:
        sensitivity, pace = self.stream.settings.sensitivity, self.stream.pace
        return PER_TEXT if sensitivity is None or pace is None else per_text(sensitivity, texts_per_day(pace))

    def _detector(self, state: _State | None, false_alarms: float) -> Detector:
        if state is not None:
            try:
                return Detector.from_bytes(state.detector, false_alarms)
            except ValueError:
                _log.warning("the state of a detector cannot be read; it begins anew")
        return Detector(false_alarms)

    def _shift(self, segment: str, found: Found, false_alarms: float) -> Shift:
        pace = self.stream.pace
        return Shift(
            **asdict(found),
            number=self.stream.shifts + len(self.shifts) + 1,
            segment=segment,
            found_at=self._now,
            false_alarms_per_text=false_alarms,
            false_alarms_per_day=false_alarms * (texts_per_day(pace) if pace else 0.0),
            sentence=shifted(None if segment == NO_SEGMENT else segment, instant(found.when), found),
        )


class Shifts:
    """Looks at streams that have new texts. Raises redis.RedisError if Redis is away; nothing is lost by that."""

    def __init__(self, client: Client, *, most_series: int) -> None:
        """Makes no connection.

        Args:
            client: connected to the server of jobs and streams.
            most_series: how many segments of all streams have series of their own in the metrics.
        """
        self._client = client
        self._most_series = most_series
        self._claim = load_script(client, "tasks.work", "callback_claim")
        self._store = load_script(client, "tasks.streams", "look")
        self._due = JobScript(client, "due")
        self._forgot_at = time.monotonic()

    def look(self) -> int:
        """Looks at the streams that have new texts; returns how many."""
        if time.monotonic() - self._forgot_at > _FORGET_S:
            self._forgot_at = time.monotonic()
            forget_expired(self._client)
        now = time.time()
        args = [now, now + CLAIM_S, CLAIMS_TTL_S, _STREAMS]
        uids = [name_of(raw) for raw in self._claim(keys=[STREAM_UNSEEN], args=args)]
        defects = []
        for uid in uids:
            try:
                self.look_at(uid)
            except redis.RedisError:
                raise
            except Exception as error:  # a defect, of whatever kind, must not hold up the other streams
                defects.append(error)
        if defects:
            raise defects[0]
        return len(uids)

    def look_at(self, uid: str) -> bool:
        """Looks at one stream; returns whether anything was stored."""
        look = self.take(uid)
        return look is not None and self.store(look)

    def take(self, uid: str) -> Look | None:
        """What there is to be stored of a stream's new texts. Nothing is changed by that."""
        taken = self._takeable(uid)
        stream = self._stream(uid)
        if stream is None:
            self._client.zrem(STREAM_UNSEEN, uid)
            return None
        if not taken:
            self._client.zadd(STREAM_UNSEEN, {uid: time.time()}, xx=True)
            return None
        look = Look(stream, taken, time.time())
        self._through(look, _rows(self._client.hmget(stream_key(uid, "unseen"), taken)))
        return look

    def _takeable(self, uid: str) -> list[str]:
        """The chunks that may be looked at now, in order: of a job, those before its first that is not counted, unless
        a job that came in shortly before it has not ended.
        """
        key = stream_key(uid, "unseen")
        # In this order: all that was counted of a job that has ended before the first answer is in the second.
        unfinished = dict.fromkeys(map(name_of, self._client.smembers(stream_key(uid, "jobs"))))
        jobs = dict.fromkeys(job for job, _ in _chunks(self._client.hkeys(key)))
        pipe = self._client.pipeline(transaction=False)
        for job in (*jobs, *unfinished):
            pipe.hget(job_key(job), "created_at")
        for job in jobs:
            self._due(job, client=pipe)
        pipe.hkeys(key)  # after that: what is before a chunk that is due now is here, or was taken
        *answers, fields = pipe.execute(raise_on_error=False)
        if isinstance(fields, Exception):
            raise fields
        known = len(jobs) + len(unfinished)
        created = [float(at) if isinstance(at, bytes) else -math.inf for at in answers[:known]]
        waited_for = [at for at in created[len(jobs) :] if at > time.time() - PATIENCE_S]
        until = min(waited_for, default=math.inf)
        # A job that is damaged, ended or gone holds nothing back.
        due = [min(found, default=math.inf) if isinstance(found, list) else math.inf for found in answers[known:]]
        before = {job: limit for job, limit, at in zip(jobs, due, created, strict=False) if at <= until}
        came = dict(zip(jobs, created, strict=False))
        found = sorted((came[job], job, number) for job, number in _chunks(fields) if number < before.get(job, -1))
        lone = [name_of(field) for field in fields if field.startswith(_LONE)]
        return self._not_too_many(key, (lone + [chunk_id(job, number) for _, job, number in found])[:_CHUNKS])

    def _not_too_many(self, key: str, chunks: list[str]) -> list[str]:
        """The first of these chunks, as many as are looked at at once."""
        pipe = self._client.pipeline(transaction=False)
        for chunk in chunks:
            pipe.hstrlen(key, chunk)
        sizes = accumulate(pipe.execute() if chunks else [])
        return chunks[: max(1, sum(size <= _BYTES for size in sizes))]

    def _stream(self, uid: str) -> _Stream | None:
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(stream_key(uid), ["name", "owner", "settings"])
        pipe.pttl(stream_key(uid))
        pipe.hkeys(stream_key(uid, "segments"))
        pipe.hmget(stream_key(uid, "looked"), ["version", "shifts", "pace"])
        (name, owner, settings), ttl_ms, segments, (version, shifts, pace) = pipe.execute()
        if name is None or ttl_ms <= 0:
            return None
        return _Stream(
            uid,
            name_of(name),
            name_of(owner or b""),
            msgspec.json.decode(settings, type=StreamSettings),
            frozenset(map(name_of, segments)),
            int(version or 0),
            int(shifts or 0),
            None if pace is None else msgspec.json.decode(pace, type=Pace),
            math.ceil(ttl_ms / 1000),
        )

    def _through(self, look: Look, rows: list[Row]) -> None:
        by_segment: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_segment[row.segment if row.segment in look.stream.segments else OTHER_SEGMENT].append(row)
        look.keep_pace(rows)
        if not by_segment:
            return
        key = stream_key(look.stream.uid, "looked")
        fields = [f"{kind}:{name}" for name in by_segment for kind in ("s", "late")]
        known = iter(self._client.hmget(key, fields))
        for (name, of_segment), state, late in zip(by_segment.items(), known, known, strict=True):
            kept = None if state is None else msgspec.msgpack.decode(state, type=_State)
            look.segment(name, of_segment, kept, int(late or 0))

    def store(self, look: Look) -> bool:
        """Stores what a look has found; returns whether it did, as another worker may have looked meanwhile."""
        stream = look.stream
        found = {
            "taken": look.taken,
            "shifts": [msgspec.json.encode(shift).decode() for shift in look.shifts],
            "counted": look.counted,
            "shifted": look.shifted,
            "callbacks": {f"{stream.uid}.{shift.number}": _callback(stream, shift) for shift in look.shifts}
            if stream.settings.callback_url
            else {},
            "most_shifts": MOST_SHIFTS,
            "most_series": self._most_series,
            "other": OTHER,
        }
        keys = [
            stream_key(stream.uid),
            *(stream_key(stream.uid, part) for part in ("unseen", "looked", "shifts")),
            *(STREAM_UNSEEN, COUNTS, SERIES, SHIFT_CALLBACKS),
        ]
        state = [part for pair in look.state.items() for part in pair]
        args = [stream.uid, stream.version, time.time(), stream.expires_in_s, orjson.dumps(found), *state]
        return bool(self._store(keys=keys, args=args))


def _callback(stream: _Stream, shift: Shift) -> dict[str, str]:
    """The facts of a shift's callback."""
    body = {"event": "stream.shift", "stream": stream.name, "shift": shift_facts(shift)}
    facts = {"callback_url": stream.settings.callback_url or "", "body": orjson.dumps(body).decode()}
    return facts | {"uid": stream.uid} | ({"owner": stream.owner} if stream.owner else {})


def _chunks(fields: Iterable[bytes]) -> list[tuple[str, int]]:
    """The chunks of jobs among the fields of `unseen`."""
    return [chunk_of(name_of(field)) for field in fields if not field.startswith(_LONE)]


def _rows(stored: list[bytes | None]) -> list[Row]:
    """The texts of chunks, in the order of time. What is damaged is left out."""
    rows = list[Row]()
    for raw in stored:
        try:
            rows += unpacked(raw or b"")
        except (ValueError, struct.error):
            _log.error("the texts of a chunk that was counted cannot be looked at: they are damaged")
    return sorted(rows, key=lambda row: row.time)
