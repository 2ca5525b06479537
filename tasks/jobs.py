"""The job store: what was sent in, how far it is, and what came out, line by line.

    sentiq:j:<job>            the job's facts and counts, a hash; written last, so a job that can be read is whole
    sentiq:j:<job>:in:<page>  its lines as sent in, with where each one's outcome is
    sentiq:j:<job>:todo:<n>   the cleaned texts of chunk n, until it is done
    sentiq:j:<job>:done       the numbers of the chunks that are done, a set
    (the result backend)      the outcomes of chunk n, under its task id `<job>.<n>`

All of it expires JOB_TTL after the submission. A line's outcome is either in its page already (known from the cache, or an error
of that line) or in a chunk: then the page holds the index of its text among the job's unknown texts.
"""

from __future__ import annotations

import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import orjson

from model.labels import LABELS
from tasks.connections import Client
from tasks.errors import JobNotFound
from tasks.outcomes import Failed, Outcome, Row, from_row, to_row

PAGE_LINES = 500
"""Lines in one page of a job's input."""

# KEYS: the job, its set of done chunks, the chunk's texts; ARGV: n, lines done, failed, by label (three), now, model. Counts a chunk
# once, however often it runs.
_FINISH = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
redis.call('DEL', KEYS[3])
redis.call('HINCRBY', KEYS[1], 'done', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'failed', ARGV[3])
for i = 0, 2 do redis.call('HINCRBY', KEYS[1], 'label' .. i, ARGV[4 + i]) end
redis.call('HSET', KEYS[1], 'model', ARGV[8])
if redis.call('SCARD', KEYS[2]) == tonumber(redis.call('HGET', KEYS[1], 'chunks')) then
  redis.call('HSETNX', KEYS[1], 'finished_at', ARGV[7])
end
return 1
"""
# A field written after the job has expired would make a new key without an end.
_START = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSETNX', KEYS[1], 'started_at', ARGV[1]) end
"""


class JobStatus(StrEnum):
    """The states of a job; an unknown id has none and is an error."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Every line has its prediction or its own error."""
    FAILED = "failed"
    """Every line has an error."""
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Job:
    """A job's facts and counts. Times are Unix seconds; counts are lines unless the name says otherwise."""

    id: str
    status: JobStatus
    total: int
    done: int
    """Lines that have a prediction or an error."""
    failed: int
    """Lines that have an error."""
    cached: int
    """Lines known at submission."""
    duplicates: int
    """Lines whose text stands in the job before."""
    labels: dict[str, int]
    model: str | None
    chunks: int
    window: int
    """Chunks that are under way at once."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job: the text as it was sent, and its outcome, None while it has none."""

    position: int
    text: str
    outcome: Outcome | None
    model: str | None
    cached: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A job about to be stored: lines with where their outcomes are, and the unknown texts in chunks."""

    lines: Sequence[tuple[str, int | Outcome]]
    """Each text as sent, with its outcome, or its index among the unknown texts."""
    chunks: Sequence[Sequence[str]]
    weights: Sequence[Sequence[int]]
    """For each text of each chunk the number of lines that it answers."""
    chunk_size: int
    window: int
    cached: int
    duplicates: int
    model: str | None


@dataclass(frozen=True, slots=True)
class Todo:
    """A chunk of a job that is to be scored."""

    texts: list[str]
    weights: list[int]
    next: int | None
    """The chunk to be sent when this one is done: so a job never has more than its window in the queue."""


class ResultBackend(Protocol):
    """Where the outcomes of chunks are kept by task id. Celery's result backend, in `tasks.results`."""

    def store(self, task_id: str, result: dict[str, Any]) -> None:
        """Keeps a result; a second one under the same id changes nothing that matters."""

    def fetch(self, task_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Results in the order of the ids, None where there is none."""


def _pack(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value), 1)


def _unpack(value: bytes) -> Any:
    return orjson.loads(zlib.decompress(value))


def chunk_id(job_id: str, number: int) -> str:
    """The Celery task id of a job's chunk: running it twice writes the same result to the same place."""
    return f"{job_id}.{number}"


class JobStore:
    """Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend, *, ttl_s: int) -> None:
        self._client = client
        self._results = results
        self._ttl_s = ttl_s
        self._finish = client.register_script(_FINISH)
        self._start = client.register_script(_START)

    @staticmethod
    def _key(job_id: str, *parts: str | int) -> str:
        return ":".join(["sentiq:j", job_id, *map(str, parts)])

    def create(self, plan: Plan) -> str:
        """Stores a job whole and returns its id; its chunks may be sent after that."""
        job_id = uuid.uuid4().hex
        for batch in _batched(self._inputs(job_id, plan), 32):
            pipe = self._client.pipeline(transaction=False)
            for key, value in batch:
                pipe.set(key, value, ex=self._ttl_s)
            pipe.execute()
            time.sleep(0)  # lets other callers of a cooperative web process in between
        known = [ref for _, ref in plan.lines if not isinstance(ref, int)]
        failed = sum(isinstance(outcome, Failed) for outcome in known)
        now = time.time()
        facts: dict[str, Any] = {
            "total": len(plan.lines),
            "done": len(known),
            "failed": failed,
            "cached": plan.cached,
            "duplicates": plan.duplicates,
            "chunks": len(plan.chunks),
            "chunk_size": plan.chunk_size,
            "window": plan.window,
            "created_at": now,
            "expires_at": now + self._ttl_s,
        }
        for index, label in enumerate(LABELS):
            facts[f"label{index}"] = sum(not isinstance(o, Failed) and o.label == label for o in known)
        if plan.model is not None:
            facts["model"] = plan.model
        if not plan.chunks:
            facts |= {"started_at": now, "finished_at": now}
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(self._key(job_id), mapping=facts)
        pipe.expire(self._key(job_id), self._ttl_s)
        pipe.execute()
        return job_id

    def _inputs(self, job_id: str, plan: Plan) -> Iterator[tuple[str, bytes]]:
        for page, start in enumerate(range(0, len(plan.lines), PAGE_LINES)):
            lines = plan.lines[start : start + PAGE_LINES]
            rows = [[text, ref if isinstance(ref, int) else to_row(ref)] for text, ref in lines]
            yield self._key(job_id, "in", page), _pack(rows)
        for number, (texts, weights) in enumerate(zip(plan.chunks, plan.weights, strict=True)):
            yield self._key(job_id, "todo", number), _pack([list(texts), list(weights)])

    def get(self, job_id: str) -> Job:
        """The job as it stands now.

        Raises:
            JobNotFound: it never existed, or it has expired.
        """
        facts = {key.decode(): value.decode() for key, value in self._client.hgetall(self._key(job_id)).items()}
        if not facts:
            raise JobNotFound
        return _job(job_id, facts)

    def todo(self, job_id: str, number: int) -> Todo | None:
        """A chunk's texts, with the job marked as started; None if there is nothing to do: done, cancelled or expired."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(self._key(job_id), "cancelled_at", "chunks", "window")
        pipe.sismember(self._key(job_id, "done"), str(number))
        pipe.get(self._key(job_id, "todo", number))
        (cancelled, chunks, window), done, packed = pipe.execute()
        if cancelled is not None or chunks is None or done or packed is None:
            return None
        self._start(keys=[self._key(job_id)], args=[time.time()])
        texts, weights = _unpack(packed)
        following = number + int(window)
        return Todo(texts, weights, following if following < int(chunks) else None)

    def store_results(self, job_id: str, number: int, outcomes: Sequence[Outcome], model: str) -> None:
        """Keeps a chunk's outcomes, in the order of its texts. It does not count yet."""
        self._results.store(chunk_id(job_id, number), {"model": model, "rows": [to_row(outcome) for outcome in outcomes]})

    def finish(self, job_id: str, number: int, outcomes: Sequence[Outcome], weights: Sequence[int], model: str) -> None:
        """Counts a chunk whose results are stored; the last one ends the job. A second time, nothing happens."""
        failed = sum(weight for outcome, weight in zip(outcomes, weights, strict=True) if isinstance(outcome, Failed))
        by_label = [
            sum(w for o, w in zip(outcomes, weights, strict=True) if not isinstance(o, Failed) and o.label == label) for label in LABELS
        ]
        self._finish(
            keys=[self._key(job_id), self._key(job_id, "done"), self._key(job_id, "todo", number)],
            args=[number, sum(weights), failed, *by_label, time.time(), model],
        )

    def lines(self, job: Job, start: int, count: int) -> list[Line]:
        """At most `count` lines from position `start` (from 0), in input order; those without an outcome yet too."""
        stop = min(start + count, job.total)
        if start >= stop:
            return []
        first, last = start // PAGE_LINES, (stop - 1) // PAGE_LINES
        packed = self._client.mget([self._key(job.id, "in", page) for page in range(first, last + 1)])
        chunk_size = self._client.hget(self._key(job.id), "chunk_size")
        if chunk_size is None or any(page is None for page in packed):
            raise JobNotFound  # expired between two reads
        size = int(chunk_size)
        rows = [row for page in packed for row in _unpack(page)][start - first * PAGE_LINES : stop - first * PAGE_LINES]
        numbers = sorted({ref // size for _, ref in rows if isinstance(ref, int)})
        results = dict(zip(numbers, self._results.fetch([chunk_id(job.id, number) for number in numbers]), strict=True))
        return [self._line(job, start + i, text, ref, size, results) for i, (text, ref) in enumerate(rows)]

    @staticmethod
    def _line(job: Job, position: int, text: str, ref: int | Row, size: int, results: dict[int, dict[str, Any] | None]) -> Line:
        if not isinstance(ref, int):
            return Line(position, text, from_row(ref), job.model, cached=True)
        result = results[ref // size]
        if result is None:
            return Line(position, text, None, None, cached=False)
        return Line(position, text, from_row(result["rows"][ref % size]), result["model"], cached=False)


def _job(job_id: str, facts: dict[str, str]) -> Job:
    def optional(name: str) -> float | None:
        return float(facts[name]) if name in facts else None

    total, failed = int(facts["total"]), int(facts["failed"])
    if "cancelled_at" in facts:
        status = JobStatus.CANCELLED
    elif "finished_at" in facts:
        status = JobStatus.FAILED if failed == total else JobStatus.SUCCEEDED
    else:
        status = JobStatus.RUNNING if "started_at" in facts else JobStatus.QUEUED
    return Job(
        id=job_id,
        status=status,
        total=total,
        done=int(facts["done"]),
        failed=failed,
        cached=int(facts["cached"]),
        duplicates=int(facts["duplicates"]),
        labels={label: int(facts[f"label{index}"]) for index, label in enumerate(LABELS)},
        model=facts.get("model"),
        chunks=int(facts["chunks"]),
        window=int(facts["window"]),
        created_at=float(facts["created_at"]),
        started_at=optional("started_at"),
        finished_at=optional("finished_at"),
        expires_at=float(facts["expires_at"]),
    )


def _batched(items: Iterator[tuple[str, bytes]], size: int) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
