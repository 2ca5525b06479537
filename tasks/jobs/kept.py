"""Jobs as callers use them: looked up, listed, read line by line, cancelled."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tasks.errors import JobNotFound
from tasks.jobs.job import PAGE_LINES, Entry, Job, JobStatus, Line, from_hash
from tasks.jobs.keys import chunk_id, index_key, job_key
from tasks.jobs.results import ResultBackend
from tasks.jobs.scripts import JobScript
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.outcomes import Failed
from tasks.wire import ChunkResult, FormatError, PageRow, from_row, read_page

_log = logging.getLogger(__name__)


class KeptJobs:
    """Reads and cancels jobs. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend) -> None:
        self._client = client
        self._results = results
        self._cancel = JobScript(client, "cancel")

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
        self, before: tuple[float, str] | None, status: JobStatus | None, limit: int, owner: str | None = None
    ) -> list[Job]:
        """Lists jobs, the newest first; those that cannot be read are left out.

        Args:
            before: time of creation and id of the last job of the previous page; None for the first page.
            status: only jobs in this state.
            limit: the most jobs to return.
            owner: only jobs of this owner; None for everybody's.
        """
        found: list[Job] = []
        while len(found) < limit:
            ids = self._ids(index_key(owner), before, 200)
            if not ids:
                break
            before = ids[-1][::-1]
            pipe = self._client.pipeline(transaction=False)
            for job_id, _ in ids:
                pipe.hgetall(job_key(job_id))
            stored = zip(ids, pipe.execute(), strict=True)
            jobs = [self._readable(job_id, facts) for (job_id, _), facts in stored if facts]
            found += [job for job in jobs if job is not None and (status is None or job.status is status)]
        return found[:limit]

    @staticmethod
    def _readable(job_id: str, facts: Mapping[bytes, bytes]) -> Job | None:
        try:
            return from_hash(job_id, facts)
        except FormatError as error:  # the other jobs are listed nevertheless
            _log.warning("job %s is left out of the list: %s", job_id, error)
            return None

    def _ids(self, index: str, before: tuple[float, str] | None, count: int) -> list[tuple[str, float]]:
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

    def lines(self, job: Job, start: int, count: int) -> list[Line]:
        """At most `count` lines from position `start` (from 0), in input order, with or without an outcome.

        Raises:
            JobNotFound: it has expired.
        """
        stop = min(start + count, job.total)
        if start >= stop:
            return []
        first, last = start // PAGE_LINES, (stop - 1) // PAGE_LINES
        packed = self._client.hmget(job_key(job.id, "in"), list(range(first, last + 1)))
        if any(page is None for page in packed):
            raise JobNotFound  # expired since the job was read
        pages = map(read_page, filter(None, packed))
        rows = [(page.model, row) for page in pages for row in page.rows]
        rows = rows[start - first * PAGE_LINES : stop - first * PAGE_LINES]
        numbers = sorted({row.where // job.chunk_size for _, row in rows if isinstance(row.where, int)})
        fetched = self._results.fetch([chunk_id(job.id, number) for number in numbers])
        results = dict(zip(numbers, fetched, strict=True))
        return [_line(start + i, model, row, job.chunk_size, results) for i, (model, row) in enumerate(rows)]


def _line(
    position: int, model: str | None, row: PageRow, chunk_size: int, results: Mapping[int, ChunkResult | None]
) -> Line:
    entry = Entry(row.text, row.id, row.columns)
    if not isinstance(row.where, int):
        outcome = from_row(row.where)
        return Line(position, entry, outcome, model, cached=not isinstance(outcome, Failed))
    chunk, text = divmod(row.where, chunk_size)
    result = results[chunk]
    if result is None:
        return Line(position, entry, None, None, cached=False)
    return Line(position, entry, from_row(result.rows[text]), result.model, cached=False)
