"""Labels that people give to texts of a job that has ended.

The lines of a job have one random order, which depends on its id and on their positions alone. A **draw** is the first
lines of that order which have scores: of all lines, or of each segment by one column. People are given the texts of a
draw in its order, as those of a stream's sample (`tasks.streams.labels`).

    sentiq:labelled:<caller>   the ids of a caller's jobs of which anything was drawn, by the time when they expire:
                               what is kept of labels is not counted in bytes, so only some jobs may have any
    sentiq:j:<job>:drawn   draws, a hash by their numbers: 0 of all lines, or the index of the column, plus one. What is
                           drawn again is the same

The id of a text that is given out has the draw's number and the line's position. Labels of texts drawn from all lines
count everywhere: they are a random sample of each segment, too, by whichever column texts are told apart. Labels of
texts drawn by the segments of a column count only where texts are told apart by that column: elsewhere the texts of
small segments would weigh too much.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from dataclasses import dataclass

import msgspec

from tasks.errors import JobNotFound, TooManyLabelledJobs
from tasks.jobs.job import Job
from tasks.jobs.keys import job_key, label_keys
from tasks.store.connections import Client
from tasks.streams.labelled import Counted, answered, decided
from tasks.streams.labels import Given, StreamLabels
from tasks.streams.measuring import Part
from tasks.streams.stream import Entry

_MOST_DRAWS = 4
"""The most draws of a job that are kept at a time."""
_COLUMN_DIGITS, _DIGITS = 4, 16


class DrawnLine(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A line that was drawn."""

    position: int
    negative: float
    positive: float

    @property
    def scores(self) -> tuple[float, float, float]:
        """Its scores."""
        return self.negative, max(0.0, 1.0 - self.negative - self.positive), self.positive


class DrawnSegment(msgspec.Struct, frozen=True):
    """What was drawn of a segment, and what is known of all its texts."""

    name: str
    sums: list[float]
    """Of all texts of the segment: see `model.shares.sums`."""
    design_effect: float
    lines: list[DrawnLine]
    """In their random order."""


class Draw(msgspec.Struct, frozen=True):
    """The lines that were drawn: of each segment, the largest first; or of all, as one segment without a name."""

    segments: list[DrawnSegment]

    def segment(self, name: str) -> DrawnSegment | None:
        """The segment of this name, if anything was drawn of it."""
        return next((one for one in self.segments if one.name == name), None)

    def parts(self, counts: Counts) -> list[Part]:
        """The segments with the labels that count. Loads numpy."""
        return [_part(segment, counts) for segment in self.segments]


@dataclass(frozen=True, slots=True)
class Counts:
    """The labels of a job's texts that count where texts are told apart by one column, or by none."""

    labels: Mapping[int, int | None]
    """By the lines' positions; None if nobody could tell."""
    set_aside: Set[int]
    """Lines whose labels do not count, as too many texts before them were left out."""
    elsewhere: Set[int]
    """Lines whose labels do not count as they were drawn by the segments of another column."""

    @property
    def told(self) -> dict[int, int]:
        """Those of which a person could tell what they say."""
        return {position: label for position, label in self.labels.items() if label is not None}


class JobLabels:
    """Draws of jobs, and labels of their texts. Raises redis.RedisError if the server is away."""

    def __init__(self, client: Client, labels: StreamLabels, *, most_jobs: int) -> None:
        """Makes them.

        Args:
            client: connected to the server of the jobs.
            labels: takes the labels.
            most_jobs: of how many of a caller's jobs anything may be drawn.
        """
        self._client = client
        self._labels = labels
        self._most_jobs = most_jobs

    def draw(self, job: Job, column: int | None) -> Draw | None:
        """What was drawn of a job, by the segments of a column or of all lines, if that is kept."""
        found = self._client.hget(job_key(job.id, "drawn"), str(_number(column)))
        return None if found is None else msgspec.msgpack.decode(found, type=Draw)

    def keep(self, job: Job, column: int | None, draw: Draw) -> None:
        """Keeps what was drawn, as long as the job.

        Raises:
            TooManyLabelledJobs: of too many others of the caller something is kept.
            JobNotFound: the job is gone.
        """
        self._note(job)
        key, field = job_key(job.id, "drawn"), str(_number(column))
        pipe = self._client.pipeline(transaction=False)
        pipe.hlen(key)
        (count,) = pipe.execute()
        if count >= _MOST_DRAWS:
            self._client.unlink(key)
        pipe.hset(key, mapping={field: msgspec.msgpack.encode(draw)})
        pipe.expire(key, job.labels_ttl_s)
        pipe.execute()
        self._require(job)

    def offer(self, job: Job, column: int | None, segment: DrawnSegment, by: str, limit: int) -> list[int]:
        """Gives a person texts to label, as `StreamLabels.offer` does; returns their ids' positions.

        Args:
            job: the job.
            column: by whose segments the texts were drawn; None: they are of all lines.
            segment: what was drawn of the segment, or of all lines.
            by: the person.
            limit: the most texts.

        Raises:
            TooManyLabels: the job has as many as may be.
            JobNotFound: the job is gone.
        """
        # A text that counts already, as it was drawn from all lines, need not be labelled again.
        known: Mapping[int, int | None] = {} if column is None else counts(self.given(job), None).labels
        entries = [
            Entry(text_id(column, line.position), segment.name, 0, line.scores, None, 0, 0)
            for line in segment.lines
            if line.position not in known
        ]
        chosen = self._labels.offer(job, entries, by, limit)
        self._require(job)
        return [place_of(entry.id)[1] for entry in chosen]

    def give(self, job: Job, labels: list[tuple[str, int | None]], by: str) -> list[str]:
        """See `StreamLabels.give`.

        Raises:
            JobNotFound: the job is gone.
        """
        refused = self._labels.give(job, labels, by)
        self._require(job)
        return refused

    def given(self, job: Job) -> Given:
        """All that was given out and said of the job's texts."""
        return self._labels.given(job)

    def _note(self, job: Job) -> None:
        key = f"sentiq:labelled:{job.caller or ''}"
        pipe = self._client.pipeline(transaction=False)
        pipe.zremrangebyscore(key, 0, time.time())
        pipe.zrange(key, 0, -1)
        others = {id.decode() for id in pipe.execute()[1]} - {job.id}
        if len(others) >= self._most_jobs:
            gone = [id for id in others if not self._client.exists(job_key(id))]
            if not gone:
                raise TooManyLabelledJobs(self._most_jobs)
            self._client.zrem(key, *gone)
        pipe.zadd(key, {job.id: job.expires_at})
        pipe.expire(key, job.labels_ttl_s)
        pipe.execute()

    def _require(self, job: Job) -> None:
        """Leaves nothing behind of a job that was removed while something was stored for it."""
        if not self._client.exists(job_key(job.id)):
            self._client.unlink(*label_keys(job.id))
            raise JobNotFound


def _number(column: int | None) -> int:
    return 0 if column is None else column + 1


def text_id(column: int | None, position: int) -> str:
    """The id of a text that was drawn by the segments of this column (None: from all lines)."""
    return f"{_number(column):0{_COLUMN_DIGITS}x}{position:0{_DIGITS - _COLUMN_DIGITS}x}"


def place_of(id: str) -> tuple[int | None, int]:
    """The column and the position in an id: the reverse of `text_id`."""
    number = int(id[:_COLUMN_DIGITS], 16)
    return number - 1 if number else None, int(id[_COLUMN_DIGITS:], 16)


def counts(given: Given, column: int | None) -> Counts:
    """The labels that count where texts are told apart by a column, or by none: of each person and each segment, up to
    the place to which nearly all that the person was given is answered (`tasks.streams.labelled`).
    """
    to_whom: dict[tuple[str, str, str], list[str]] = {}
    for offer in given.offers:
        to_whom.setdefault((offer.id[:_COLUMN_DIGITS], offer.segment, offer.by), []).append(offer.id)
    random = {id for ids in to_whom.values() for id in answered(ids, given.labels.keys())}
    labels: dict[int, int | None] = {}
    aside: set[int] = set()
    elsewhere: set[int] = set()
    for id in sorted(given.labels):
        drawn_by, position = place_of(id)
        if drawn_by not in (None, column):
            elsewhere.add(position)
        elif id not in random:
            aside.add(position)
        elif labels.get(position) is None:
            labels[position] = decided(given.labels[id])
    return Counts(labels, aside - labels.keys(), elsewhere - labels.keys())


def _part(segment: DrawnSegment, counts: Counts) -> Part:
    import numpy as np

    from model.shares.estimates import NO_LABELS, Labelled

    answered = [line for line in segment.lines if line.position in counts.labels]
    told = [(label, line.scores) for line in answered if (label := counts.labels[line.position]) is not None]
    labelled = NO_LABELS
    if told:
        golds, scores = zip(*told, strict=True)
        labelled = Labelled(np.array(golds, np.int64), np.array(scores, np.float64))
    aside = sum(line.position in counts.set_aside for line in segment.lines)
    found = Counted(labelled, np.zeros(0), len(answered) - len(told), aside, "")
    return Part(segment.name, np.array(segment.sums, np.float64), found, segment.design_effect)
