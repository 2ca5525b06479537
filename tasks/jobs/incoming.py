"""Jobs whose texts are coming in: the web processes store them page by page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from model.analysis import Analysis
from model.labels import SENTIMENT
from tasks.errors import JobCancelled, JobNotFound, UploadTooSlow
from tasks.jobs.counts import field_of, growth
from tasks.jobs.job import UPLOAD_TTL_S, Entry, Header, Job, PageLine, to_hash
from tasks.jobs.keys import CALLBACKS, UNFINISHED, chunk_id, index_key, job_key, job_keys
from tasks.jobs.results import ResultBackend
from tasks.jobs.scripts import JobScript
from tasks.store.connections import Client
from tasks.store.outcomes import Outcome
from tasks.tracing import NOBODY, Origin
from tasks.wire import PageRow, StoredPage, Todo, from_row, to_row, write_page, write_todo


@dataclass(frozen=True, slots=True)
class Page:
    """The next lines of a job that is coming in, and the chunks that they have filled."""

    number: int
    lines: Sequence[PageLine]
    model: str | None
    """The identity of the model that the known outcomes come from."""
    first_chunk: int
    """The number of the first of `chunks`."""
    chunks: Sequence[Todo]
    late: Mapping[int, Mapping[int, int]]
    """How many lines of this page repeat a text of a chunk stored before: {chunk: {text's index in it: lines}}."""
    cached: int
    duplicates: int
    work: int = 0
    """What `chunks` cost, in thousandths of a full chunk."""


class IncomingJobs:
    """Stores jobs while their texts come in. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend, *, ttl_s: int) -> None:
        """`ttl_s`: the seconds that a job lives once all its texts have come in."""
        self._client = client
        self._results = results
        self._ttl_s = ttl_s
        self._append = JobScript(client, "append")
        self._count_late = JobScript(client, "count_late")
        self._seal = JobScript(client, "seal")

    def begin(
        self,
        job_id: str,
        *,
        chunk_size: int,
        window: int,
        callback_url: str | None = None,
        header: Header | None = None,
        owner: str | None = None,
        caller: str | None = None,
        origin: Origin = NOBODY,
        analysis: Analysis = SENTIMENT,
    ) -> None:
        """Makes an empty job; its texts follow. `caller`: whose turns its chunks take; `origin`: who asked for it."""
        now = time.time()
        job = Job(
            id=job_id,
            created_at=now,
            expires_at=now + UPLOAD_TTL_S,
            chunk_size=chunk_size,
            window=window,
            owner=owner,
            caller=caller,
            origin=origin.to_json(),
            header=header,
            callback_url=callback_url,
            analysis=analysis,
        )
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(job_key(job_id), mapping=to_hash(job))
        pipe.expire(job_key(job_id), UPLOAD_TTL_S)
        for index in {index_key(None), index_key(owner)}:
            pipe.zremrangebyscore(index, 0, now - self._ttl_s - 86_400)
            pipe.zadd(index, {job_id: now})
            pipe.expire(index, self._ttl_s + 86_400)
        pipe.sadd(UNFINISHED, job_id)
        pipe.expire(UNFINISHED, self._ttl_s + 86_400)
        pipe.execute()

    def append(self, job_id: str, page: Page) -> list[int]:
        """Stores a page and its chunks; returns the numbers of the chunks that have to be sent now.

        Raises:
            JobCancelled: the job was cancelled meanwhile.
            UploadTooSlow: the previous page was too long ago, and the job has expired.
        """
        counts = growth(Counter(field_of(where) for _, where in page.lines if not isinstance(where, int)))
        counts |= {"total": len(page.lines), "cached": page.cached, "duplicates": page.duplicates}
        counts |= {"work": page.work}
        brought: dict[str, str | int] = {} if page.model is None or not page.cached else {"model": page.model}
        if any(entry.id is not None for entry, _ in page.lines):
            brought["has_ids"] = 1
        answer = self._append(
            job_id,
            UPLOAD_TTL_S,
            page.number,
            write_page(StoredPage(page.model, [_row(*line) for line in page.lines])),
            _json(page.late),
            _json(counts),
            _json(brought),
            page.first_chunk,
            *map(write_todo, page.chunks),
        )
        if answer == b"gone":
            raise UploadTooSlow
        if answer == b"cancelled":
            raise JobCancelled
        to_send, settled = answer
        if settled:
            self._count_settled(job_id, page, settled)
        return list(to_send)

    def _count_settled(self, job_id: str, page: Page, chunks: Sequence[int]) -> None:
        results = self._results.fetch([chunk_id(job_id, chunk) for chunk in chunks])
        lines: Counter[str] = Counter()
        for chunk, result in zip(chunks, results, strict=True):
            if result is None:
                raise JobNotFound  # results are stored before a chunk counts as done, so this one was deleted
            for text, repeated in page.late[chunk].items():
                lines[field_of(from_row(result.rows[text]))] += repeated
        self._count_late(job_id, page.number, _json(growth(lines)))

    def touch(self, job_id: str) -> None:
        """Keeps a job alive whose texts are coming in slowly."""
        pipe = self._client.pipeline(transaction=False)
        for key in job_keys(job_id):
            pipe.expire(key, UPLOAD_TTL_S)
        pipe.execute()

    def seal(self, job_id: str) -> None:
        """Notes that all texts have come in; from now on the job lives for its TTL.

        Raises:
            UploadTooSlow: the previous page was too long ago, and the job has expired.
        """
        if self._seal(job_id, self._ttl_s) == b"gone":
            raise UploadTooSlow

    def discard(self, job_id: str) -> None:
        """Deletes a job whose texts did not come in completely."""
        chunks = self._client.smembers(job_key(job_id, "done"))
        owner = self._client.hget(job_key(job_id), "owner")
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(*job_keys(job_id))
        for index in {index_key(None), index_key(owner.decode() if owner is not None else None)}:
            pipe.zrem(index, job_id)
        pipe.srem(UNFINISHED, job_id)
        pipe.zrem(CALLBACKS, job_id)
        pipe.execute()
        self._results.forget([chunk_id(job_id, int(chunk)) for chunk in chunks])


def _row(entry: Entry, where: int | Outcome) -> PageRow:
    return PageRow(entry.text, where if isinstance(where, int) else to_row(where), entry.id, entry.columns)


def _json(value: Mapping[Any, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
