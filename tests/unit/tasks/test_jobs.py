"""The job store; on a real server, with Celery's real result backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis

from tasks.app import create_celery
from tasks.errors import JobNotFound
from tasks.jobs import PAGE_LINES, JobStatus, JobStore, Plan
from tasks.outcomes import Failed, Outcome, Scored
from tasks.results import CeleryResults
from tests.support.stack import Stack

POSITIVE, NEGATIVE = Scored((0.1, 0.2, 0.7), False), Scored((0.7, 0.2, 0.1), True)


@pytest.fixture
def jobs(server: Stack) -> JobStore:
    """A store on an empty server."""
    return JobStore(server.redis, CeleryResults(create_celery(server.settings())), ttl_s=100)


def plan(lines: Sequence[tuple[str, int | Outcome]], *, size: int = 2, window: int = 2) -> Plan:
    """A plan of these lines: an index stands for the unknown text of that number."""
    indices = [where for _, where in lines if isinstance(where, int)]
    texts = {where: text for text, where in reversed(lines) if isinstance(where, int)}
    unknown = [texts[index] for index in sorted(texts)]
    weights = [indices.count(index) for index in sorted(texts)]
    return Plan(
        lines=lines,
        chunks=[unknown[start : start + size] for start in range(0, len(unknown), size)],
        weights=[weights[start : start + size] for start in range(0, len(weights), size)],
        chunk_size=size,
        window=window,
        cached=0,
        duplicates=len(indices) - len(set(indices)),
        model=None,
    )


def run(jobs: JobStore, job_id: str, number: int, outcomes: Sequence[Outcome]) -> int | None:
    """Does a chunk as a worker does; returns the chunk that is to follow."""
    todo = jobs.todo(job_id, number)
    assert todo is not None
    assert len(todo.texts) == len(outcomes)
    jobs.store_results(job_id, number, outcomes, "stub@1/stub")
    jobs.finish(job_id, number, outcomes, todo.weights, "stub@1/stub")
    return todo.next


def test_from_queued_to_succeeded(jobs: JobStore) -> None:
    """A job is queued, runs from its first chunk on, and has succeeded with its last; lines and counts are right all the time."""
    job_id = jobs.create(plan([("a", 0), ("b", 1), ("", Failed("empty_text")), ("a", 0), ("c", 2)]))
    job = jobs.get(job_id)
    assert (job.status, job.total, job.done, job.failed, job.duplicates) == (JobStatus.QUEUED, 5, 1, 1, 1)
    assert [line.outcome for line in jobs.lines(job, 0, 9)] == [None, None, Failed("empty_text"), None, None]
    assert jobs.todo(job_id, 0) is not None
    assert jobs.get(job_id).status == JobStatus.RUNNING
    run(jobs, job_id, 1, [NEGATIVE])
    job = jobs.get(job_id)
    assert (job.status, job.done) == (JobStatus.RUNNING, 2)
    assert [line.outcome for line in jobs.lines(job, 0, 9)] == [None, None, Failed("empty_text"), None, NEGATIVE]
    run(jobs, job_id, 0, [POSITIVE, Failed("text_failed")])
    job = jobs.get(job_id)
    assert (job.status, job.done, job.failed) == (JobStatus.SUCCEEDED, 5, 2)
    assert job.labels == {"NEGATIVE": 1, "NEUTRAL": 0, "POSITIVE": 2}
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    lines = jobs.lines(job, 0, 9)
    assert [(line.position, line.text) for line in lines] == list(enumerate(["a", "b", "", "a", "c"]))
    assert [line.outcome for line in lines] == [POSITIVE, Failed("text_failed"), Failed("empty_text"), POSITIVE, NEGATIVE]


def test_chunk_counts_once(jobs: JobStore) -> None:
    """A chunk that ends a second time, with whatever outcomes, changes no count; one that is done is no more to do."""
    job_id = jobs.create(plan([("a", 0), ("b", 1), ("c", 2)]))
    run(jobs, job_id, 0, [POSITIVE, POSITIVE])
    before = jobs.get(job_id)
    assert jobs.todo(job_id, 0) is None
    jobs.finish(job_id, 0, [NEGATIVE, Failed("text_failed")], [1, 1], "stub@2/stub")
    assert jobs.get(job_id) == before


def test_window(jobs: JobStore) -> None:
    """Each chunk calls the one that is a window behind it, until there is none: all are called once, never more than a window."""
    job_id = jobs.create(plan([(str(i), i) for i in range(9)], size=2, window=2))
    assert [run(jobs, job_id, n, [POSITIVE] * (1 if n == 4 else 2)) for n in range(5)] == [2, 3, 4, None, None]
    assert jobs.get(job_id).status == JobStatus.SUCCEEDED


def test_all_failed(jobs: JobStore) -> None:
    """A job whose every line has an error has failed; one good line makes it a success."""
    assert jobs.get(jobs.create(plan([("", Failed("empty_text"))]))).status == JobStatus.FAILED
    assert jobs.get(jobs.create(plan([("", Failed("empty_text")), ("a", POSITIVE)]))).status == JobStatus.SUCCEEDED
    job_id = jobs.create(plan([("a", 0)]))
    run(jobs, job_id, 0, [Failed("text_failed")])
    assert jobs.get(job_id).status == JobStatus.FAILED


def test_nothing_to_do(jobs: JobStore) -> None:
    """A job of known lines has ended at once, with their labels counted."""
    job = jobs.get(jobs.create(replace(plan([("a", POSITIVE), ("b", NEGATIVE)]), cached=2, model="stub@1/stub")))
    assert (job.status, job.done, job.cached) == (JobStatus.SUCCEEDED, 2, 2)
    assert job.labels == {"NEGATIVE": 1, "NEUTRAL": 0, "POSITIVE": 1}
    assert [(line.cached, line.model) for line in jobs.lines(job, 0, 9)] == [(True, "stub@1/stub")] * 2


@pytest.mark.parametrize("total", [1, PAGE_LINES - 1, PAGE_LINES, PAGE_LINES + 1, 3 * PAGE_LINES + 7])
def test_any_window_of_lines(jobs: JobStore, total: int) -> None:
    """Lines can be read from any position and in any number, over the borders of stored pages and chunks."""
    texts = [f"text {i}" for i in range(total)]
    job = jobs.get(jobs.create(plan([(text, i) for i, text in enumerate(texts)], size=97, window=100)))
    for start in {0, 1, total // 2, PAGE_LINES - 1, PAGE_LINES, total - 1, total, total + 5}:
        for count in (1, 2, PAGE_LINES, 5000):
            assert [line.text for line in jobs.lines(job, start, count)] == texts[start : start + count]


def test_unknown(jobs: JobStore) -> None:
    """A job that never was is not found, and its chunks are nothing to do; finishing one makes no key."""
    with pytest.raises(JobNotFound):
        jobs.get("0" * 32)
    assert jobs.todo("0" * 32, 0) is None
    jobs.finish("0" * 32, 0, [POSITIVE], [1], "stub@1/stub")
    with pytest.raises(JobNotFound):
        jobs.get("0" * 32)


def test_expired_in_between(jobs: JobStore, server: Stack) -> None:
    """A job that expires while it is read or worked is not found; nothing of it comes back to life."""
    job_id = jobs.create(plan([("a", 0)]))
    job, todo = jobs.get(job_id), jobs.todo(job_id, 0)
    assert todo is not None
    server.redis.delete(*server.redis.keys("sentiq:j:*"))
    with pytest.raises(JobNotFound):
        jobs.lines(job, 0, 1)
    jobs.store_results(job_id, 0, [POSITIVE], "stub@1/stub")
    jobs.finish(job_id, 0, [POSITIVE], todo.weights, "stub@1/stub")
    assert server.redis.keys("sentiq:j:*") == []


def test_everything_expires_with_the_job(jobs: JobStore, server: Stack) -> None:
    """Every key of a job ends when the job does, its set of done chunks too."""
    job_id = jobs.create(plan([(str(i), i) for i in range(6)]))
    run(jobs, job_id, 0, [POSITIVE, POSITIVE])
    ends = {key: server.redis.ttl(key) for key in server.redis.keys(f"sentiq:j:{job_id}*")}
    assert len(ends) == 5
    assert all(0 < end <= 100 for end in ends.values())


def test_done_texts_are_not_kept_twice(jobs: JobStore, server: Stack) -> None:
    """A chunk's own copy of its texts goes when it is done."""
    job_id = jobs.create(plan([("a", 0)]))
    run(jobs, job_id, 0, [POSITIVE])
    assert server.redis.keys(f"sentiq:j:{job_id}:todo:*") == []


def test_result_backend_away(server: Stack) -> None:
    """When the backend has given up, the error is one of Redis, which a worker answers by trying again: no chunk is lost for it."""
    app = create_celery(server.settings().model_copy(update={"celery_result_backend": "unix:///nowhere/valkey.sock"}))
    app.conf.result_backend_max_retries = 1
    with pytest.raises(redis.RedisError):
        CeleryResults(app).store("0" * 32 + ".0", {})
    with pytest.raises(redis.RedisError):
        CeleryResults(app).fetch(["0" * 32 + ".0"])
