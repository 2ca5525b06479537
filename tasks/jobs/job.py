"""What a job is: its states, its counts, its lines, and the keys that hold it.

    sentiq:j:<job>        the job's facts and counts, a hash
    sentiq:j:<job>:in     its lines as sent in, with where each one's outcome is: a hash of pages
    sentiq:j:<job>:todo   the cleaned texts of each chunk, until it is done: a hash of chunks
    sentiq:j:<job>:late   lines that repeat a text of a chunk stored before: a hash of chunks
    sentiq:j:<job>:done   the numbers of the chunks that are done, a set
    sentiq:j:<job>:sent   the numbers of the chunks that were sent after another was done, a set
    sentiq:jobs           every job by the time of its creation, a sorted set
    sentiq:jobs:<owner>   those of one API key's name
    sentiq:unfinished     those of them that have not ended, a set
    sentiq:ends           how many have ended, by state, a hash; for the metrics
    sentiq:callbacks      jobs whose callback is due, a sorted set
    sentiq:i:<digest>     the job that an Idempotency-Key made
    (the result backend)  the outcomes of chunk n, under its task id `<job>.<n>`

While a job's texts still come in, its keys live UPLOAD_TTL_S after the last of them; from then on, JOB_TTL.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from model.labels import LABELS
from tasks.store.outcomes import Outcome

PAGE_LINES = 500
"""Lines in one page of a job's input."""
UPLOAD_TTL_S = 120
"""Seconds that an upload may pause; after that, what had come of it is gone."""
INDEX = "sentiq:jobs"
ENDED = "sentiq:ended"
"""The channel on which the ids of jobs are published when they end."""
UNFINISHED = "sentiq:unfinished"
ENDS = "sentiq:ends"
CALLBACKS = "sentiq:callbacks"


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
class Entry:
    """One text as it was sent in, with what came with it."""

    text: str
    id: str | int | None = None
    columns: tuple[str, ...] = ()
    """The other columns of its CSV row, in the header's order."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a CSV upload."""

    names: tuple[str, ...]
    text: int
    """Which of them holds the text."""


@dataclass(frozen=True, slots=True)
class Callback:
    """Where the job's end is told, and how far that is."""

    url: str
    state: str
    """pending, delivered or failed."""
    attempts: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job's facts and counts. Times are Unix seconds; counts are lines unless the name says otherwise."""

    id: str
    status: JobStatus
    receiving: bool
    """Its texts still come in."""
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
    texts_per_s: float | None
    """Lines answered by workers, per second since the first chunk was begun; None before the first was done."""
    eta_s: float | None
    """Seconds until its end at that rate, while it runs and all its texts have come in."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float
    callback: Callback | None
    header: Header | None
    has_ids: bool
    """Any line came with an id."""
    chunks: int
    window: int
    """Chunks that are under way at once."""
    revision: int
    """Grows with every change."""
    owner: str | None = None
    """The name of the API key that made it; None where there are none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job: the text as it was sent, and its outcome, None while it has none."""

    position: int
    entry: Entry
    outcome: Outcome | None
    model: str | None
    cached: bool


@dataclass(frozen=True, slots=True)
class Todo:
    """A chunk of a job that is to be scored."""

    texts: list[str]
    weights: list[int]
    """For each text the number of lines that it answers."""


def pack(value: Any) -> bytes:
    """As lines and chunks are kept."""
    return zlib.compress(orjson.dumps(value), 1)


def unpack(value: bytes) -> Any:
    """The reverse of `pack`."""
    return orjson.loads(zlib.decompress(value))


def job_key(job_id: str, part: str = "") -> str:
    """A job's key, or that of a part of it."""
    return f"sentiq:j:{job_id}:{part}" if part else f"sentiq:j:{job_id}"


PARTS = ("", "in", "todo", "late", "done", "sent")


def index_key(owner: str | None) -> str:
    """Of an owner's jobs by the time of their creation; None is everybody's."""
    return INDEX if owner is None else f"{INDEX}:{owner}"


def job_keys(job_id: str, parts: Sequence[str] = PARTS) -> list[str]:
    """The keys of several parts; of all, if none are named."""
    return [job_key(job_id, part) for part in parts]


def chunk_id(job_id: str, number: int) -> str:
    """The Celery task id of a job's chunk: running it twice writes the same result to the same place."""
    return f"{job_id}.{number}"


def chunk_of(task_id: str) -> tuple[str, int]:
    """The job and the number that `chunk_id` made the id of."""
    job_id, _, number = task_id.rpartition(".")
    return job_id, int(number)


def from_facts(job_id: str, facts: Mapping[str, str]) -> Job:
    """A job from its hash."""

    def optional(name: str) -> float | None:
        return float(facts[name]) if name in facts else None

    total, done, failed = (int(facts[name]) for name in ("total", "done", "failed"))
    started_at, finished_at = optional("started_at"), optional("finished_at")
    if "cancelled_at" in facts:
        status, finished_at = JobStatus.CANCELLED, optional("cancelled_at")
    elif finished_at is not None:
        status = JobStatus.FAILED if failed == total else JobStatus.SUCCEEDED
    else:
        status = JobStatus.RUNNING if started_at is not None else JobStatus.QUEUED
    rate = eta_s = None
    progressed_at, scored = optional("progressed_at"), int(facts.get("scored", 0))
    if started_at is not None and progressed_at is not None and scored and progressed_at > started_at:
        rate = scored / (progressed_at - started_at)
        if status is JobStatus.RUNNING and "sealed" in facts:
            eta_s = (total - done) / rate
    callback = None
    if "callback_url" in facts:
        callback = Callback(
            facts["callback_url"], facts.get("callback_state", "pending"), int(facts.get("callback_attempts", 0))
        )
    return Job(
        id=job_id,
        status=status,
        receiving="sealed" not in facts and status is not JobStatus.CANCELLED,
        total=total,
        done=done,
        failed=failed,
        cached=int(facts["cached"]),
        duplicates=int(facts["duplicates"]),
        labels={label: int(facts[f"label{index}"]) for index, label in enumerate(LABELS)},
        model=facts.get("model"),
        texts_per_s=rate,
        eta_s=eta_s,
        created_at=float(facts["created_at"]),
        started_at=started_at,
        finished_at=finished_at,
        expires_at=float(facts["expires_at"]),
        callback=callback,
        header=Header(tuple(orjson.loads(facts["columns"])), int(facts["text_column"])) if "columns" in facts else None,
        has_ids="has_ids" in facts,
        chunks=int(facts["chunks"]),
        window=int(facts["window"]),
        revision=int(facts["revision"]),
        owner=facts.get("owner"),
    )


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_facts(job: Job) -> dict[str, Any]:
    """The job as callers and callbacks are told of it. Times are RFC 3339."""
    callback = job.callback
    return {
        "id": job.id,
        "status": job.status,
        "receiving": job.receiving,
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "cached": job.cached,
        "duplicates": job.duplicates,
        "labels": job.labels,
        "model": job.model,
        "texts_per_s": None if job.texts_per_s is None else round(job.texts_per_s, 1),
        "eta_s": None if job.eta_s is None else round(job.eta_s, 1),
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "expires_at": _time(job.expires_at),
        "callback": None
        if callback is None
        else {"url": callback.url, "state": callback.state, "attempts": callback.attempts},
    }
