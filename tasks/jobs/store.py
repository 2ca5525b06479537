"""Where jobs are kept: what the web stores page by page while it comes in, and what workers make of it, chunk by chunk.

Each change is one script, so that whoever dies in between leaves a job as it was or as it is to be. A job has `window`
chunks under way: chunk n, when it is done, sends chunk n + window; if that was not there yet, the web sends it when it
has come.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from model.labels import LABELS
from tasks.errors import JobCancelled, JobNotFound, UploadTooSlow
from tasks.jobs import scripts as jobscripts
from tasks.jobs.job import (
    CALLBACKS,
    PAGE_LINES,
    UNFINISHED,
    UPLOAD_TTL_S,
    Entry,
    Header,
    Job,
    JobStatus,
    Line,
    Todo,
    chunk_id,
    from_facts,
    index_key,
    job_facts,
    job_key,
    job_keys,
    pack,
    unpack,
)
from tasks.store.connections import Client
from tasks.store.outcomes import Failed, Outcome
from tasks.wire import from_row, to_row

_FAILED = "x"


@dataclass(frozen=True, slots=True)
class Page:
    """The next lines of a job that still comes in, and the chunks that they have filled."""

    number: int
    rows: Sequence[Sequence[Any]]
    """Each line as `[text, where, id, columns]`, the last two left out where there are none; `where` is the outcome's
    row if it is known, else the number of its text among the job's unknown texts."""
    model: str | None
    """The model of the outcomes that are known."""
    first_chunk: int
    chunks: Sequence[tuple[Sequence[str], Sequence[int]]]
    """Texts and weights of each."""
    late: Mapping[int, Mapping[int, int]]
    """By chunk stored before and text in it: lines of this page that repeat that text."""
    known: Sequence[Outcome]
    cached: int
    duplicates: int


class ResultBackend(Protocol):
    """Where the outcomes of chunks are kept by task id. Celery's result backend, in `tasks.jobs.results`."""

    def store(self, task_id: str, result: dict[str, Any]) -> None:
        """Keeps a result; a second one under the same id changes nothing that matters."""

    def fetch(self, task_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Results in the order of the ids, None where there is none."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Takes results away."""


def _counts(outcomes: Counter[str]) -> dict[str, int]:
    """Fields that grow when lines get these outcomes, by letter."""
    labels = {f"label{i}": outcomes[str(i)] for i in range(len(LABELS))}
    return {"done": outcomes.total(), "failed": outcomes[_FAILED], **labels, "revision": 1}


def _letter(outcome: Outcome) -> str:
    return _FAILED if isinstance(outcome, Failed) else str(LABELS.index(outcome.label))


class JobStore:
    """Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend, *, ttl_s: int) -> None:
        self._client = client
        self._results = results
        self._ttl_s = ttl_s
        self._append = client.register_script(jobscripts.APPEND)
        self._count_late = client.register_script(jobscripts.COUNT_LATE)
        self._seal = client.register_script(jobscripts.SEAL)
        self._todo = client.register_script(jobscripts.TODO)
        self._finish = client.register_script(jobscripts.FINISH)
        self._sent = client.register_script(jobscripts.SENT)
        self._cancel = client.register_script(jobscripts.CANCEL)

    # Coming in

    def begin(
        self,
        job_id: str,
        *,
        chunk_size: int,
        window: int,
        callback_url: str | None = None,
        header: Header | None = None,
        owner: str | None = None,
    ) -> None:
        """Makes an empty job, whose texts are to come."""
        now = time.time()
        facts: dict[str, Any] = dict.fromkeys(
            ("total", "done", "failed", "cached", "duplicates", "chunks", "revision"), 0
        )
        facts |= {f"label{index}": 0 for index in range(len(LABELS))}
        facts |= {"chunk_size": chunk_size, "window": window, "created_at": now, "expires_at": now + UPLOAD_TTL_S}
        if callback_url is not None:
            facts["callback_url"] = callback_url
        if owner is not None:
            facts["owner"] = owner
        if header is not None:
            facts |= {"columns": orjson.dumps(header.names), "text_column": header.text}
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(job_key(job_id), mapping=facts)
        pipe.expire(job_key(job_id), UPLOAD_TTL_S)
        for index in {index_key(None), index_key(owner)}:
            pipe.zremrangebyscore(index, 0, now - self._ttl_s - 86_400)
            pipe.zadd(index, {job_id: now})
            pipe.expire(index, self._ttl_s + 86_400)
        pipe.sadd(UNFINISHED, job_id)
        pipe.expire(UNFINISHED, self._ttl_s + 86_400)
        pipe.execute()

    def append(self, job_id: str, page: Page) -> list[int]:
        """Stores a page and its chunks; returns the chunks that are to be sent now.

        Raises:
            JobCancelled: somebody did, meanwhile.
            UploadTooSlow: the last page was too long ago.
        """
        grow = _counts(Counter(map(_letter, page.known)))
        grow |= {"total": len(page.rows), "cached": page.cached, "duplicates": page.duplicates}
        fields: dict[str, Any] = {} if page.model is None or not page.cached else {"model": page.model}
        if any(len(row) > 2 and row[2] is not None for row in page.rows):
            fields["has_ids"] = 1
        chunks = [pack([list(texts), list(weights)]) for texts, weights in page.chunks]
        late = {str(chunk): {str(text): n for text, n in lines.items()} for chunk, lines in page.late.items()}
        packed = pack([page.model, page.rows])
        head = [page.number, packed, UPLOAD_TTL_S, time.time(), page.first_chunk, len(chunks)]
        answer = self._append(
            keys=job_keys(job_id), args=[*head, *chunks, orjson.dumps(late), orjson.dumps(grow), orjson.dumps(fields)]
        )
        if answer[0] == -1:
            raise UploadTooSlow
        if answer[0] == -2:
            raise JobCancelled
        to_send, settled = answer[1 : 1 + answer[0]], answer[1 + answer[0] :]
        if settled:
            self._settle_late(job_id, page, settled)
        return list(to_send)

    def _settle_late(self, job_id: str, page: Page, chunks: Sequence[int]) -> None:
        letters: Counter[str] = Counter()
        for chunk, result in zip(
            chunks, self._results.fetch([chunk_id(job_id, chunk) for chunk in chunks]), strict=True
        ):
            if result is None:
                raise JobNotFound  # it is stored before the chunk counts as done, so it has been taken away
            for text, lines in page.late[chunk].items():
                letters[_letter(from_row(result["rows"][text]))] += lines
        self._count_late(keys=job_keys(job_id, ("", "late")), args=[page.number, orjson.dumps(_counts(letters))])

    def touch(self, job_id: str) -> None:
        """The job's texts still come in, if slowly."""
        pipe = self._client.pipeline(transaction=False)
        for key in job_keys(job_id):
            pipe.expire(key, UPLOAD_TTL_S)
        pipe.execute()

    def seal(self, job_id: str) -> None:
        """All texts are there; from now on the job lives for its TTL.

        Raises:
            UploadTooSlow: the last page was too long ago.
        """
        if self._seal(keys=job_keys(job_id), args=[job_id, self._ttl_s, time.time()]) == -1:
            raise UploadTooSlow

    def discard(self, job_id: str) -> None:
        """Takes a job away whose texts did not come in whole."""
        chunks = self._client.smembers(job_key(job_id, "done"))
        owner = self._client.hget(job_key(job_id), "owner")
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(*job_keys(job_id))
        for index in {index_key(None), index_key(owner and owner.decode())}:
            pipe.zrem(index, job_id)
        pipe.srem(UNFINISHED, job_id)
        pipe.zrem(CALLBACKS, job_id)
        pipe.execute()
        self._results.forget([chunk_id(job_id, int(chunk)) for chunk in chunks])

    # At work

    def todo(self, job_id: str, number: int) -> Todo | None:
        """A chunk's texts, with the job marked as started; None if there is nothing to do: done, cancelled or
        expired.
        """
        packed = self._todo(keys=job_keys(job_id, ("", "todo")), args=[number, time.time()])
        if packed is None:
            return None
        texts, weights = unpack(packed)
        return Todo(texts, weights)

    def store_results(self, job_id: str, number: int, outcomes: Sequence[Outcome], model: str) -> None:
        """Keeps a chunk's outcomes, in the order of its texts. It does not count yet."""
        self._results.store(
            chunk_id(job_id, number), {"model": model, "rows": [to_row(outcome) for outcome in outcomes]}
        )

    def finish(
        self, job_id: str, number: int, outcomes: Sequence[Outcome], weights: Sequence[int], model: str
    ) -> int | None:
        """Counts a chunk whose results are stored; the last one ends the job. A second time, nothing is counted.

        Returns:
            The chunk that is to be sent now, if there is one.
        """
        letters = "".join(map(_letter, outcomes))
        args = [job_id, number, letters, orjson.dumps(list(weights)), time.time(), model]
        answer = self._finish(keys=job_keys(job_id), args=args)
        if answer == -2:
            self._results.forget([chunk_id(job_id, number)])
        return int(answer) if answer >= 0 else None

    def following(self, job_id: str, number: int) -> int | None:
        """The chunk that a done one should have sent, if it has not: its worker may have died before that."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(job_key(job_id), "chunks", "window", "cancelled_at")
        pipe.sismember(job_key(job_id, "done"), str(number))
        (chunks, window, cancelled), done = pipe.execute()
        if chunks is None or cancelled is not None or not done:
            return None
        following = number + int(window)
        if following >= int(chunks):
            return None
        pipe.sismember(job_key(job_id, "sent"), str(following))
        pipe.sismember(job_key(job_id, "done"), str(following))
        return None if any(pipe.execute()) else following

    def sent(self, job_id: str, number: int) -> None:
        """Notes that a chunk was sent after another was done."""
        self._sent(keys=job_keys(job_id, ("", "sent")), args=[number])

    def unfinished(self) -> list[str]:
        """The ids of jobs that have not ended."""
        ids = [job_id.decode() for job_id in self._client.smembers(UNFINISHED)]
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.exists(job_key(job_id))
        there = dict(zip(ids, pipe.execute(), strict=True))
        if gone := [job_id for job_id, exists in there.items() if not exists]:
            self._client.srem(UNFINISHED, *gone)
        return [job_id for job_id, exists in there.items() if exists]

    def expected(self) -> set[str]:
        """The ids of all chunks that should be under way: of each unfinished job, the first of each lane that is not
        done.
        """
        ids = self.unfinished()
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(job_key(job_id), "chunks", "window", "cancelled_at")
            pipe.smembers(job_key(job_id, "done"))
        found = pipe.execute()
        expected: set[str] = set()
        for job_id, (chunks, window, cancelled), members in zip(ids, found[::2], found[1::2], strict=True):
            if chunks is None or cancelled is not None:
                continue
            done = {int(number) for number in members}
            for lane in range(int(window)):
                number = next((number for number in range(lane, int(chunks), int(window)) if number not in done), None)
                if number is not None:
                    expected.add(chunk_id(job_id, number))
        return expected

    # Looked at

    def get(self, job_id: str) -> Job:
        """The job as it stands now.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        facts = self._client.hgetall(job_key(job_id))
        if not facts:
            raise JobNotFound
        return from_facts(job_id, _decoded(facts))

    def callback(self, job_id: str) -> tuple[str, bytes] | None:
        """Where the job's end is to be told, and what; None if it is gone or nobody asked."""
        facts = self._client.hgetall(job_key(job_id))
        job = from_facts(job_id, _decoded(facts)) if facts else None
        if job is None or job.callback is None:
            return None
        body = {name: value for name, value in job_facts(job).items() if name not in ("callback", "receiving", "eta_s")}
        return job.callback.url, orjson.dumps({"event": "job.ended", "job": body})

    def newest(
        self, before: tuple[float, str] | None, status: JobStatus | None, limit: int, owner: str | None = None
    ) -> list[Job]:
        """At most `limit` jobs of an owner, or of all, the newest first, from the one after `before` (time of creation
        and id) on.
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
            jobs = [
                from_facts(job_id, _decoded(facts))
                for (job_id, _), facts in zip(ids, pipe.execute(), strict=True)
                if facts
            ]
            found += [job for job in jobs if status is None or job.status is status]
        return found[:limit]

    def _ids(self, index: str, before: tuple[float, str] | None, count: int) -> list[tuple[str, float]]:
        if before is None:
            entries = self._client.zrevrange(index, 0, count - 1, withscores=True)
        else:
            entries = self._client.zrevrangebyscore(index, before[0], "-inf", start=0, num=count, withscores=True)
        ids = [(job_id.decode(), score) for job_id, score in entries]
        return [(job_id, score) for job_id, score in ids if before is None or (score, job_id) < before]

    def revision(self, job_id: str) -> int:
        """Grows with every change of the job.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        value = self._client.hget(job_key(job_id), "revision")
        if value is None:
            raise JobNotFound
        return int(value)

    def cancel(self, job_id: str) -> Job:
        """Chunks that were not begun will not run; what is done stays. An ended job stays as it is.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        self._cancel(keys=job_keys(job_id, ("", "todo")), args=[job_id, time.time()])
        return self.get(job_id)

    def lines(self, job: Job, start: int, count: int) -> list[Line]:
        """At most `count` lines from position `start` (from 0), in input order; those without an outcome yet too.

        Raises:
            JobNotFound: it has expired.
        """
        stop = min(start + count, job.total)
        if start >= stop:
            return []
        first, last = start // PAGE_LINES, (stop - 1) // PAGE_LINES
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(job_key(job.id, "in"), list(range(first, last + 1)))
        pipe.hget(job_key(job.id), "chunk_size")
        packed, chunk_size = pipe.execute()
        if chunk_size is None or any(page is None for page in packed):
            raise JobNotFound  # expired between two reads
        size = int(chunk_size)
        models_rows = [(model, row) for model, rows in map(unpack, packed) for row in rows]
        models_rows = models_rows[start - first * PAGE_LINES : stop - first * PAGE_LINES]
        numbers = sorted({row[1] // size for _, row in models_rows if isinstance(row[1], int)})
        results = dict(zip(numbers, self._results.fetch([chunk_id(job.id, number) for number in numbers]), strict=True))
        return [_line(start + i, model, row, size, results) for i, (model, row) in enumerate(models_rows)]


def _line(
    position: int, model: str | None, row: Sequence[Any], size: int, results: Mapping[int, dict[str, Any] | None]
) -> Line:
    text, where = row[:2]
    entry = Entry(text, row[2] if len(row) > 2 else None, tuple(row[3]) if len(row) > 3 else ())
    if not isinstance(where, int):
        outcome = from_row(where)
        return Line(position, entry, outcome, model, cached=not isinstance(outcome, Failed))
    result = results[where // size]
    if result is None:
        return Line(position, entry, None, None, cached=False)
    return Line(position, entry, from_row(result["rows"][where % size]), result["model"], cached=False)


def _decoded(facts: Mapping[bytes, bytes]) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in facts.items()}
