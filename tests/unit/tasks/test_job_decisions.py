"""Decisions about a job that are made in one place: which chunk is sent next, how it ends, which fields it has."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import fields
from typing import get_args

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.analysis import Analysis
from model.labels import SENTIMENT
from tasks.jobs.counts import field_of, growth
from tasks.jobs.incoming import IncomingJobs, Page
from tasks.jobs.job import (
    NOT_ALWAYS,
    TERMINAL,
    TOLD,
    TOLD_AT_THE_END,
    Entry,
    Header,
    Job,
    JobStatus,
    from_hash,
    job_facts,
    to_hash,
)
from tasks.jobs.kept import KeptJobs
from tasks.jobs.keys import ENDS, UNFINISHED, chunk_id, job_key, job_keys
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.jobs.scripts import JobScript
from tasks.queue.app import create_celery
from tasks.store.outcomes import Failed, Outcome, Scored
from tasks.wire import Todo
from tests.support.jobs import MODEL
from tests.support.stack import Stack
from webapp.api.job_schemas import JobResponse, JobsQuery
from webapp.client.types import Job as ClientJob
from webapp.client.types import Status

GOOD: Outcome = Scored((0.1, 0.2, 0.7), False)
BAD: Outcome = Failed("text_failed")

OF_THE_FILE = ("encoding", "guessed", "delimiter", "sheet", "file")
"""What a job tells of its file, and a callback does not."""
BARE = Job(id="1" * 32, created_at=1.5, expires_at=2.5, chunk_size=3, window=4)
FULL = msgspec.structs.replace(
    BARE,
    name="null",
    owner="7",
    caller="7",
    header=Header(("é", "text"), 1),
    callback_url="https://example.org/",
    callback_state="failed",
    callback_attempts=2,
    has_ids=True,
    total=9,
    labels={"NEGATIVE": 1, "NEUTRAL": 0, "POSITIVE": 2},
    scored=3,
    model="1@2/stub",
    sealed=2.0,
    started_at=1.5,
    progressed_at=2.75,
)
"""A running job with a value in every field."""
SPAM = msgspec.structs.replace(BARE, analysis=Analysis("spam", ("HAM", "SPAM")), labels={"HAM": 3, "SPAM": 4})
"""A job of another analysis."""
NAMED = msgspec.structs.replace(SPAM, requested_model="de")
"""A job whose caller asked for a model by its name."""


def stored(job: Job) -> dict[bytes, bytes]:
    """A job's hash in the form that the server returns."""
    return {
        name.encode(): value if isinstance(value, bytes) else str(value).encode()
        for name, value in to_hash(job).items()
    }


class Machine:
    """A job with chunks of one text, whose pages come in and whose chunks are done when a test says so."""

    def __init__(self, server: Stack, *, window: int) -> None:
        results = CeleryResults(create_celery(server.settings()), server.redis)
        self.redis = server.redis
        self.incoming = IncomingJobs(server.redis, results, ttl_s=100)
        self.running = RunningJobs(server.redis, results)
        self.kept = KeptJobs(server.redis, results)
        self.id = uuid.uuid4().hex
        self.incoming.begin(self.id, chunk_size=1, window=window)
        self.sent: list[int] = []
        self._pages = self._chunks = 0

    def comes_in(self, chunks: int) -> None:
        """Stores a page that fills this number of chunks, and sends the chunks that have to be sent."""
        numbers = range(self._chunks, self._chunks + chunks)
        lines = [(Entry(f"text {number}"), number) for number in numbers]
        texts = [Todo([f"text {number}"], [1]) for number in numbers]
        page = Page(self._pages, lines, MODEL, self._chunks, texts, {}, 0, 0)
        self.sent += self.incoming.append(self.id, page)
        self._pages, self._chunks = self._pages + 1, self._chunks + chunks

    def ends(self, number: int, outcome: Outcome = GOOD) -> None:
        """Does a chunk like a worker, and sends the chunk that has to be sent."""
        assert self.running.todo(self.id, number) is not None
        self.running.store_results(self.id, number, [outcome], MODEL)
        following = self.running.finish(self.id, number, [outcome], [1], MODEL)
        if following is not None:
            self.sent.append(following)
            self.running.sent(self.id, following)

    def expected(self) -> set[int]:
        """The chunks that the upkeep would look for."""
        return {int(task_id.partition(".")[2]) for task_id in self.running.expected()}

    @property
    def job(self) -> Job:
        """The job in its present state."""
        return self.kept.get(self.id)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(window=st.integers(1, 5), pages=st.lists(st.integers(0, 6), min_size=1, max_size=6), data=st.data())
def test_each_chunk_is_sent_once(server: Stack, window: int, pages: list[int], data: st.DataObject) -> None:
    """In any order of pages and chunks, each chunk is sent once, and at most a window of them is under way.

    Those are the chunks that the upkeep expects.
    """
    server.redis.flushdb()
    machine = Machine(server, window=window)
    todo, done = list(pages), set[int]()
    while todo or set(machine.sent) - done:
        under_way = sorted(set(machine.sent) - done)
        step = data.draw(st.sampled_from(["page"] * bool(todo) + under_way))
        if step == "page":
            machine.comes_in(todo.pop(0))
        else:
            machine.ends(step)
            done.add(step)
        under_way = sorted(set(machine.sent) - done)
        assert len(under_way) <= window
        assert machine.expected() == set(under_way)
    assert sorted(machine.sent) == list(range(sum(pages)))
    assert machine.job.ended is None
    machine.incoming.seal(machine.id)
    assert machine.job.ended is not None


def test_chunks_of_a_large_job(server: Stack) -> None:
    """The due chunks of a large job are found without looking at each of its chunks."""
    machine = Machine(server, window=7)
    machine.comes_in(400)
    done = [lane + 7 * place for lane, places in enumerate([0, 1, 10, 30, 57, 55, 57]) for place in range(places)]
    server.redis.sadd(job_key(machine.id, "done"), *done)
    server.redis.expire(job_key(machine.id, "done"), 100)
    calls = int(server.redis.info("commandstats")["cmdstat_sismember"]["calls"])
    assert machine.expected() == {0, 8, 72, 213, 390}  # two lanes are at their end
    assert int(server.redis.info("commandstats")["cmdstat_sismember"]["calls"]) - calls < 7 * 10


def test_note_of_first_chunks(server: Stack) -> None:
    """Only chunks that were sent after another was done are noted as sent."""
    machine = Machine(server, window=2)
    machine.comes_in(3)
    machine.ends(0)
    machine.ends(1)
    machine.comes_in(1)
    assert machine.sent == [0, 1, 2, 3]
    assert {int(number) for number in server.redis.smembers(job_key(machine.id, "sent"))} == {2, 3}
    assert machine.running.following(machine.id, 1) is None


@pytest.mark.parametrize(
    ("outcomes", "ended"),
    [([GOOD, GOOD], "succeeded"), ([BAD, GOOD], "succeeded"), ([BAD, BAD], "failed"), ([GOOD, None], "cancelled")],
)
def test_end_is_stored(server: Stack, outcomes: list[Outcome | None], ended: str) -> None:
    """The state in which a job ends is stored with the job, and counted."""
    machine = Machine(server, window=2)
    machine.comes_in(2)
    machine.incoming.seal(machine.id)
    assert machine.job.ended is None
    for number, outcome in enumerate(outcomes):
        if outcome is None:
            machine.kept.cancel(machine.id)
        else:
            machine.ends(number, outcome)
    assert server.redis.hget(job_key(machine.id), "ended") == ended.encode()
    assert server.redis.hgetall(ENDS) == {ended.encode(): b"1"}
    assert (machine.job.status, machine.job.finished_at is not None) == (ended, True)
    assert machine.job.status in TERMINAL


@pytest.mark.parametrize("outcome", [GOOD, BAD, None])
def test_end_of_the_version_before(server: Stack, outcome: Outcome | None) -> None:
    """The final state of a job ended by the version before, which stored none, is read correctly."""
    machine = Machine(server, window=1)
    machine.comes_in(1)
    machine.incoming.seal(machine.id)
    if outcome is None:
        machine.kept.cancel(machine.id)
    else:
        machine.ends(0, outcome)
    ours = machine.job
    server.redis.hdel(job_key(machine.id), "ended")
    assert machine.job == ours


def test_expired_jobs_are_not_expected(server: Stack) -> None:
    """No chunks are expected of an expired job, and it no longer counts as unfinished."""
    machine = Machine(server, window=1)
    machine.comes_in(1)
    other = Machine(server, window=1)
    other.comes_in(1)
    server.redis.delete(*job_keys(machine.id))
    assert other.running.expected() == {chunk_id(other.id, 0)}
    assert server.redis.smembers(UNFINISHED) == {other.id.encode()}


def test_each_analysis_expects_its_own(server: Stack) -> None:
    """Only the lost chunks of jobs with the same analysis are looked for."""
    job_id, spam = uuid.uuid4().hex, SPAM.analysis
    ours = Machine(server, window=1)
    ours.comes_in(1)
    ours.incoming.begin(job_id, chunk_size=1, window=1, analysis=spam)
    ours.incoming.append(job_id, Page(0, [(Entry("a"), 0)], None, 0, [Todo(["a"], [1])], {}, 0, 0))
    assert ours.running.expected() == {chunk_id(ours.id, 0)}
    assert ours.running.expected(spam) == {chunk_id(job_id, 0)}
    assert ours.running.expected(Analysis("spam", ("SPAM", "HAM"))) == set()


def test_chunks_of_a_named_model(server: Stack) -> None:
    """A worker looks after the jobs that asked for its model by any of its names, and after no others; one of the
    version before, which knows no names, keeps away from them.
    """
    ours = Machine(server, window=1)
    ours.comes_in(1)
    found: dict[str, str] = {}
    for name in ("de", "german", "fr"):
        job_id = f"{name:0>32}"
        ours.incoming.begin(job_id, chunk_size=2, window=1, requested_model=name)
        ours.incoming.append(job_id, Page(0, [(Entry("a"), 0)], None, 0, [Todo(["a"], [1])], {}, 0, 0))
        found[name] = chunk_id(job_id, 0)
    assert ours.running.expected(SENTIMENT, ("de", "german")) == {found["de"], found["german"]}
    assert ours.running.expected(SENTIMENT, ("*", "fr", None)) == {found["fr"], chunk_id(ours.id, 0)}
    assert ours.running.expected() == {chunk_id(ours.id, 0)}


def test_any_number_of_classes(server: Stack) -> None:
    """A chunk's lines are counted in any fields that its outcomes name: no script knows the number of classes."""
    machine = Machine(server, window=1)
    machine.comes_in(1)
    counted = ["label9", "failed", "label0", "label9"]
    finish = JobScript(server.redis, "finish")
    finish(machine.id, 0, MODEL, orjson.dumps(counted), orjson.dumps([1, 2, 4, 8]), "", own_keys=["celery-task-meta-x"])
    found = server.redis.hmget(job_key(machine.id), "label0", "label9", "failed", "done", "scored")
    assert [int(value) for value in found] == [4, 9, 2, 15, 15]


def test_counted_fields() -> None:
    """Each outcome is counted in one field, and the fields add up to the lines done."""
    outcomes = [Scored((0.8, 0.1, 0.1), False), Scored((0.1, 0.8, 0.1), False), GOOD, GOOD, BAD]
    lines = Counter(map(field_of, outcomes))
    assert lines == {"label0": 1, "label1": 1, "label2": 2, "failed": 1}
    assert growth(lines) == {**lines, "done": 5, "revision": 1}


@pytest.mark.parametrize(
    "job", [BARE, FULL, SPAM, NAMED], ids=["bare", "full", "another analysis", "a model with a name"]
)
def test_job_and_its_hash(job: Job) -> None:
    """A job that is written to a hash and read again is the same."""
    assert from_hash(job.id, stored(job)) == job


def test_new_hash() -> None:
    """The hash of a new job has every count, which the version before needs, and no field for unknown facts."""
    assert set(to_hash(BARE)) == {
        *("created_at", "expires_at", "chunk_size", "window", "callback_attempts", "total", "done", "failed", "cached"),
        *("unsupported_language", "not_mentioned", "repeated"),
        *("duplicates", "scored", "chunks", "work", "revision", "todo_bytes", "label0", "label1", "label2"),
    }


def test_fields_of_later_versions() -> None:
    """A job with a field that a later version has added can be read."""
    assert from_hash(BARE.id, stored(BARE) | {b"mood": b"sunny"}) == BARE


@pytest.mark.parametrize(
    "job", [BARE, FULL, SPAM, NAMED], ids=["bare", "full", "another analysis", "a model with a name"]
)
def test_callers_see_what_is_declared(job: Job) -> None:
    """The API's schema, the client's type and a callback have the fields, with their types, that a job declares; a
    name of the job, or of a model, is there only if the caller said one.
    """
    facts = job_facts(job)
    assert tuple(facts) == tuple(
        name
        for name in TOLD
        if name not in NOT_ALWAYS or (name == "name" and job is FULL) or (name == "requested_model" and job is NAMED)
    )
    links = {"self": "/a", "results": "/b", "events": "/c"}
    JobResponse.model_validate_json(orjson.dumps(facts | {"links": links}), strict=True)
    assert set(JobResponse.model_fields) == {*TOLD, "links", "owner", "calibrated", "two_class", "compiling"}
    assert {field.name for field in fields(ClientJob)} == {*TOLD, "owner"}
    client = ClientJob.of(facts)
    assert [getattr(client, name) for name in ("id", "status", "labels")] == [job.id, job.status, job.labels]
    assert set(TOLD_AT_THE_END) == set(TOLD) - {"name", "receiving", "eta_s", "callback", *OF_THE_FILE}


@pytest.mark.parametrize(
    ("seconds", "ended", "rate", "eta_s"),
    [
        (None, None, None, None),
        (0.01, None, None, None),
        (1.0, None, 400.0, 24.0),
        (2.0, None, 200.0, 48.0),
        (0.01, JobStatus.SUCCEEDED, 40_000.0, None),
        (0.0, JobStatus.SUCCEEDED, None, None),
    ],
)
def test_rate_and_time_left(
    seconds: float | None, ended: JobStatus | None, rate: float | None, eta_s: float | None
) -> None:
    """A running job tells its rate and the time left only after a second of work: its first chunk may have been known
    by the time a worker took it, and would promise far too much. A job that has ended tells its rate.
    """
    progressed_at = None if seconds is None else 100.0 + seconds
    came_in = msgspec.structs.replace(
        BARE, total=13_000, done=3_400, cached=3_000, scored=400, sealed=99.0, started_at=100.0
    )
    job = msgspec.structs.replace(came_in, progressed_at=progressed_at, ended=ended)
    assert job.texts_per_s == pytest.approx(rate)
    assert job.eta_s == pytest.approx(eta_s)


def test_states_are_declared_once() -> None:
    """The API and its client know all states of a job and no others."""
    states = tuple(JobStatus)
    told, asked = JobResponse.model_fields["status"].annotation, JobsQuery.model_fields["status"].annotation
    assert get_args(told.__value__) == states  # type: ignore[union-attr]
    assert get_args(asked)[0] is told
    assert get_args(Status) == states
