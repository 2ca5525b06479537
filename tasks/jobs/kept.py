"""Jobs as callers use them: looked up, listed, read line by line, cancelled."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tasks.errors import JobNotEnded, JobNotFound
from tasks.jobs.job import PAGE_LINES, TERMINAL, Entry, Job, JobStatus, Line, LinePart, from_hash
from tasks.jobs.keys import UNFINISHED, chunk_id, index_key, job_key, label_keys
from tasks.jobs.results import ResultBackend
from tasks.jobs.scripts import JobScript
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.outcomes import Failed, Outcome
from tasks.wire import FormatError, PageRow, PartRow, from_row, read_page

_log = logging.getLogger(__name__)

_CHUNKS_AT_ONCE = 16
"""Chunks whose results are in memory at once. The lines of a page may repeat texts of very many chunks."""
_JOBS_AT_ONCE = 50
"""Jobs that are read at once for a list."""
MOST_LOOKED_AT = 1000
"""The most jobs that are read for a page of a list. Of the hundred thousand that a caller may keep, perhaps none is in
the state that is asked for.
"""
Place = tuple[float, str]
"""A place in the list of jobs: the time of a job's creation, and its id."""


class KeptJobs:
    """Reads and cancels jobs. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend) -> None:
        self._client = client
        self._results = results
        self._cancel = JobScript(client, "cancel")
        self._remove = JobScript(client, "remove")

    def get(self, job_id: str) -> Job:
        """The job in its present state.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        stored = self._client.hgetall(job_key(job_id))
        if not stored:
            raise JobNotFound
        return from_hash(job_id, stored)

    def newest(
        self, before: Place | None, status: JobStatus | None, limit: int, owner: str | None = None
    ) -> tuple[list[Job], Place | None]:
        """Lists jobs, the newest first; those that cannot be read are left out.

        Args:
            before: where the previous page has ended; None for the first page.
            status: only jobs in this state.
            limit: the most jobs to return.
            owner: only jobs of this owner; None for everybody's.

        Returns:
            The jobs, and where the page ends; None if there are no further ones. A page may have fewer jobs than the
            limit, even none, though there are further ones: it looks at MOST_LOOKED_AT jobs, whatever their state.
        """
        found: list[Job] = []
        for _ in range(MOST_LOOKED_AT // _JOBS_AT_ONCE):
            ids = self._ids(index_key(owner), before, _JOBS_AT_ONCE)
            if not ids:
                return found, None
            pipe = self._client.pipeline(transaction=False)
            for job_id, _ in ids:
                pipe.hgetall(job_key(job_id))
            for (job_id, created_at), facts in zip(ids, pipe.execute(), strict=True):
                before = created_at, job_id
                job = self._readable(job_id, facts) if facts else None
                if job is not None and (status is None or job.status is status):
                    found.append(job)
                    if len(found) == limit:
                        return found, before
        return found, before

    def unfinished(self) -> Iterator[Job]:
        """All jobs that have not ended, whoever owns them; those that cannot be read are left out."""
        ids = [name_of(job_id) for job_id in self._client.smembers(UNFINISHED)]
        for begin in range(0, len(ids), _JOBS_AT_ONCE):
            some = ids[begin : begin + _JOBS_AT_ONCE]
            pipe = self._client.pipeline(transaction=False)
            for job_id in some:
                pipe.hgetall(job_key(job_id))
            for job_id, facts in zip(some, pipe.execute(), strict=True):
                job = self._readable(job_id, facts) if facts else None
                if job is not None and job.status not in TERMINAL:
                    yield job

    @staticmethod
    def _readable(job_id: str, facts: Mapping[bytes, bytes]) -> Job | None:
        try:
            return from_hash(job_id, facts)
        except FormatError as error:  # the other jobs are listed nevertheless
            _log.warning("job %s is left out of the list: %s", job_id, error)
            return None

    def _ids(self, index: str, before: Place | None, count: int) -> list[tuple[str, float]]:
        if before is None:
            entries = self._client.zrevrange(index, 0, count - 1, withscores=True)
        else:
            entries = self._client.zrevrangebyscore(index, before[0], "-inf", start=0, num=count, withscores=True)
        ids = [(name_of(job_id), score) for job_id, score in entries]
        return [(job_id, score) for job_id, score in ids if before is None or (score, job_id) < before]

    def revision(self, job_id: str) -> int:
        """A number that grows with every change of the job.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        value = self._client.hget(job_key(job_id), "revision")
        if value is None:
            raise JobNotFound
        return int(value)

    def cancel(self, job_id: str) -> Job:
        """Cancels a job: chunks that have not begun will not run, results so far stay. An ended job stays as it is.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        self._cancel(job_id)
        return self.get(job_id)

    def remove(self, job_id: str) -> None:
        """Removes a job that has ended, with its lines, results and labels.

        Raises:
            JobNotFound: it never existed, or it has expired.
            JobNotEnded: it has not ended.
        """
        answer = self._remove(job_id, 1, own_keys=label_keys(job_id))
        if answer == b"gone":
            raise JobNotFound
        if answer == b"open":
            raise JobNotEnded
        self._results.forget([chunk_id(job_id, int(chunk)) for chunk in answer[0]])

    def lines(self, job: Job, start: int, count: int) -> Iterator[Line]:
        """At most `count` lines from position `start` (from 0), in input order, with or without an outcome.

        Only one stored page of them is in memory at a time.

        Raises:
            JobNotFound: it has expired.
        """
        stop = min(start + count, job.total)
        if start >= stop:
            return
        places = _Places(self._client.hget(job_key(job.id, "in"), "starts"))
        while start < stop:
            number, first = places.find(start)
            (packed,) = self._client.hmget(job_key(job.id, "in"), [number])
            if packed is None:
                raise JobNotFound  # expired since the job was read
            page = read_page(packed)
            rows = page.rows[start - first : stop - first]
            if not rows:
                raise FormatError("a page of a job with too few lines")
            outcomes = self._outcomes(job, rows)
            for row in rows:
                yield _line(start, page.model, row, outcomes)
                start += 1

    def _outcomes(self, job: Job, rows: Sequence[PageRow]) -> dict[int, tuple[Outcome, str]]:
        """The outcomes that workers have found for rows, each with its model, by the number of the text."""
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for row in rows:
            if isinstance(row.where, int):
                wanted[row.where // job.chunk_size].append(row.where)
            for _, _, where in (*row.sentences, *row.words) if row.sentences or row.words else ():
                if isinstance(where, int):
                    wanted[where // job.chunk_size].append(where)
        found: dict[int, tuple[Outcome, str]] = {}
        chunks = sorted(wanted)
        for begin in range(0, len(chunks), _CHUNKS_AT_ONCE):
            some = chunks[begin : begin + _CHUNKS_AT_ONCE]
            results = self._results.fetch([chunk_id(job.id, chunk) for chunk in some])
            for chunk, result in zip(some, results, strict=True):
                if result is not None:
                    found |= {text: (result.outcome(text % job.chunk_size), result.model) for text in wanted[chunk]}
        return found


class _Places:
    """Finds the page in which a line of a job is."""

    def __init__(self, stored: bytes | None) -> None:
        """Reads what `append.lua` has noted of the job's uneven pages.

        Args:
            stored: the number of the first of these pages, then where it and each later one begin, separated by commas;
                None if all pages have PAGE_LINES lines.
        """
        numbers = [] if stored is None else [int(number) for number in stored.split(b",")]
        self._first_uneven = numbers[0] if numbers else 0
        self._starts = numbers[1:]

    def find(self, line: int) -> tuple[int, int]:
        """The number of the page that has a line, and the position of the page's first line."""
        after = bisect_right(self._starts, line)
        if after == 0:
            return line // PAGE_LINES, line - line % PAGE_LINES
        return self._first_uneven + after - 1, self._starts[after - 1]


def _line(position: int, model: str | None, row: PageRow, outcomes: Mapping[int, tuple[Outcome, str]]) -> Line:
    entry = Entry(row.text, row.id, row.columns)
    sentences, words = _parts(row.sentences, outcomes), _parts(row.words, outcomes)
    if not isinstance(row.where, int):
        outcome = from_row(row.where, row.remarks)
        return Line(position, entry, outcome, model, not isinstance(outcome, Failed), sentences, words)
    found, scored_by = outcomes.get(row.where, (None, None))
    return Line(position, entry, found, scored_by, False, sentences, words)


def _parts(parts: Sequence[PartRow], outcomes: Mapping[int, tuple[Outcome, str]]) -> tuple[LinePart, ...]:
    found: list[LinePart] = []
    for start, end, where in parts:
        if isinstance(where, int):
            found.append((start, end, outcomes[where][0] if where in outcomes else None))
        else:
            found.append((start, end, None if where is None else from_row(where)))
    return tuple(found)
