"""What a caller's jobs keep: counted exactly, however they come in, run, end, expire and are removed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import (
    JobCancelled,
    JobNotEnded,
    JobNotFound,
    JobTooLarge,
    StorageQuotaExceeded,
    TooManyJobs,
)
from tasks.jobs.incoming import JOB_BYTES, NO_LIMIT, Allowance, IncomingJobs
from tasks.jobs.job import PAGE_LINES, Entry, Header, JobStatus
from tasks.jobs.kept import KeptJobs
from tasks.jobs.keys import chunk_id, job_key, job_keys
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.queue.app import create_celery
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Scored
from tasks.submit.intake import Intake, Submission
from tests.support.jobs import MODEL, cleaned
from tests.support.stack import Stack
from tests.support.waiting import wait_until

GOOD = Scored((0.1, 0.2, 0.7), False)
ANN = "ann"


def noise(count: int) -> list[str]:
    """Texts of their own that do not compress."""
    return [os.urandom(30).hex() for _ in range(count)]


class Store:
    """The job store of callers with an allowance."""

    def __init__(self, server: Stack, allowance: Allowance = NO_LIMIT, *, ttl_s: int = 100) -> None:
        self.redis = server.redis
        self.results = CeleryResults(create_celery(server.settings()), server.redis)
        self.incoming = IncomingJobs(server.redis, self.results, ttl_s=ttl_s, allowance=allowance)
        self.running = RunningJobs(server.redis, self.results)
        self.kept = KeptJobs(server.redis, self.results)
        self.cache = PredictionCache(server.redis, ttl_s=100)

    def begin(self, *, caller: str | None = ANN, header: Header | None = None, size: int = 2) -> str:
        """Begins a job."""
        job_id = uuid.uuid4().hex
        self.incoming.begin(job_id, chunk_size=size, window=100, caller=caller, header=header, owner=caller)
        return job_id

    def take(self, job_id: str, texts: list[str] | Iterator[str], *, size: int = 2, seal: bool = True) -> str:
        """Takes texts into a job that was begun; seals it, or discards it if that fails."""
        intake = Intake(
            self.incoming,
            self.cache,
            job_id=job_id,
            identity=MODEL,
            chunk_size=size,
            max_texts=10_000,
            cleaned=cleaned,
            send=lambda chunks: None,
            alive=lambda: None,
        )
        try:
            intake.receive(Submission((line, Entry(text)) for line, text in enumerate(texts, 1)))
        except BaseException:
            self.incoming.discard(job_id)
            raise
        if seal:
            self.incoming.seal(job_id)
        return job_id

    def make(self, texts: list[str], *, caller: str | None = ANN, size: int = 2) -> str:
        """Makes a complete job."""
        return self.take(self.begin(caller=caller, size=size), texts, size=size)

    def run(self, job_id: str, number: int) -> None:
        """Does a chunk."""
        if (todo := self.running.todo(job_id, number)) is not None:
            outcomes = [GOOD] * len(todo.texts)
            self.running.store_results(job_id, number, outcomes, MODEL)
            self.running.finish(job_id, number, outcomes, todo.weights, MODEL)

    def run_all(self, job_id: str) -> None:
        """Does all chunks."""
        for number in range(self.kept.get(job_id).chunks):
            self.run(job_id, number)

    def counted(self, caller: str = ANN) -> int:
        """What the caller's jobs keep, as it is counted."""
        return int(self.redis.hget(f"sentiq:kept:{caller}:bytes", "total") or 0)

    def stored(self, job_id: str) -> int:
        """What a job keeps, as it is stored: its lines, texts that wait, repeated lines and results."""
        parts = [job_key(job_id, part) for part in ("in", "todo", "late")]
        values = [value for part in parts for field, value in self.redis.hgetall(part).items() if field != b"starts"]
        done = self.redis.smembers(job_key(job_id, "done"))
        results = [self.redis.get(self.results.key(chunk_id(job_id, int(number)))) for number in done]
        return sum(map(len, values)) + sum(map(len, results))


@pytest.fixture
def store(server: Stack) -> Store:
    """A store without limits, on an empty server."""
    return Store(server)


def test_bytes_are_exact(store: Store) -> None:
    """What is counted for a job is what is stored of it and a fixed part: come in, under way, done."""
    header = Header(("text", "x" * 5000), 0)
    job_id = store.begin(header=header)
    fixed = store.counted()
    assert JOB_BYTES + 5000 < fixed < JOB_BYTES + 6000
    texts = noise(PAGE_LINES)

    def coming() -> Iterator[str]:
        yield from texts
        store.run(job_id, 0)
        assert store.counted() == fixed + store.stored(job_id)
        yield from [*texts[:50], *noise(20)]

    store.take(job_id, coming())
    assert store.counted() == fixed + store.stored(job_id)
    for number in range(store.kept.get(job_id).chunks):
        store.run(job_id, number)
        assert store.counted() == fixed + store.stored(job_id)
    assert store.kept.get(job_id).status is JobStatus.SUCCEEDED


def test_cancelled_job(store: Store) -> None:
    """Cancelling frees the texts that will not be scored; a chunk that was under way still counts with its results."""
    job_id = store.begin()
    fixed = store.counted()
    store.take(job_id, noise(20))
    todo = store.running.todo(job_id, 0)
    assert todo is not None
    before = store.counted()
    store.kept.cancel(job_id)
    store.kept.cancel(job_id)
    assert store.counted() == fixed + store.stored(job_id) < before
    store.running.store_results(job_id, 0, [GOOD, GOOD], MODEL)
    for _ in range(2):
        store.running.finish(job_id, 0, [GOOD, GOOD], todo.weights, MODEL)
    assert store.counted() == fixed + store.stored(job_id)


def test_removed_job(store: Store) -> None:
    """An ended job is removed at once with all that it keeps; others, and other callers, keep what they have."""
    job_id, other, bobs = store.make(noise(9)), store.make(noise(3)), store.make(noise(3), caller="bob")
    store.run_all(job_id)
    both, others = store.counted(), store.counted("bob")
    own = int(store.redis.hget(f"sentiq:kept:{ANN}:bytes", job_id))
    store.kept.remove(job_id)
    assert store.counted() == both - own
    assert store.counted("bob") == others
    assert store.redis.keys(f"*{job_id}*") == []
    assert [job.id for job in store.kept.newest(None, None, 9)[0]] == [bobs, other]
    assert [job.id for job in store.kept.newest(None, None, 9, owner=ANN)[0]] == [other]
    with pytest.raises(JobNotFound):
        store.kept.remove(job_id)
    with pytest.raises(JobNotFound):
        store.kept.get(job_id)


def test_only_ended_jobs_are_removed(store: Store) -> None:
    """A job that waits, runs or comes in is not removed; once it is cancelled, it is."""
    for job_id in (store.make(noise(3)), store.begin()):
        with pytest.raises(JobNotEnded):
            store.kept.remove(job_id)
        store.kept.cancel(job_id)
        store.kept.remove(job_id)
    assert store.counted() == 0


def test_discarded_upload(store: Store) -> None:
    """An upload that breaks leaves nothing counted, whatever of it was done."""

    def broken() -> Iterator[str]:
        yield from noise(PAGE_LINES)
        store.run(job_id, 0)
        raise OSError

    job_id = store.begin()
    with pytest.raises(OSError):
        store.take(job_id, broken())
    assert store.counted() == 0
    assert store.redis.keys(f"*{job_id}*") == []


def test_expired_jobs(server: Stack) -> None:
    """What expires is taken off before the quota is looked at: finished jobs, and uploads that have stopped."""
    size = 40 * 60
    store = Store(server, Allowance(3 * JOB_BYTES + 2 * size, 100), ttl_s=1)
    first = store.make(noise(40))
    with pytest.raises(StorageQuotaExceeded) as refused:
        store.make(noise(60))
    assert 1 <= refused.value.retry_after_s <= 2
    stopped = store.begin()
    for key in job_keys(stopped):
        store.redis.pexpire(key, 1)
    store.redis.zadd(f"sentiq:kept:{ANN}", {stopped: 1})

    def fits() -> bool:
        try:
            store.make(noise(60))
        except StorageQuotaExceeded:
            return False
        return True

    wait_until(fits, what="the first job to expire", timeout_s=5)
    assert not store.redis.exists(job_key(first))
    left = {name for name in store.redis.hkeys(f"sentiq:kept:{ANN}:bytes") if name != b"total"}
    assert len(left) == 1
    assert store.counted() == int(store.redis.hget(f"sentiq:kept:{ANN}:bytes", left.pop()))


def test_counts_expire_with_their_jobs(store: Store) -> None:
    """The counts live as long as the longest-lived job, and no longer."""
    job_id = store.make(noise(3))
    store.begin()
    for key in (f"sentiq:kept:{ANN}", f"sentiq:kept:{ANN}:bytes"):
        assert 100 < store.redis.ttl(key) <= 120
    assert store.redis.ttl(job_key(job_id)) <= 100


def test_results_expire_with_their_job(store: Store) -> None:
    """Results do not outlive a job whose texts had all come in when they were found: they would not be counted."""
    job_id = store.make(noise(2))
    store.redis.pexpire(job_key(job_id), 40_000)
    store.run(job_id, 0)
    assert store.redis.ttl(store.results.key(chunk_id(job_id, 0))) <= 40


def test_quota(server: Stack) -> None:
    """A job that does not fit is refused with what is used; nothing of it is kept, and removing another lets it in."""
    store = Store(server, Allowance(60_000, 100))
    first = store.make(noise(400))
    store.run_all(first)
    used = store.counted()
    with pytest.raises(StorageQuotaExceeded, match=f"Your jobs keep {used} of the 60000 bytes"):
        store.make(noise(400))
    assert store.counted() == used
    assert len(store.redis.keys("sentiq:j:*:in")) == 1
    store.make(noise(400), caller="bob")
    store.kept.remove(first)
    store.make(noise(400))


def test_too_large_alone(server: Stack) -> None:
    """A job that would not fit if it were the only one is told that, and not to come back later."""
    store = Store(server, Allowance(20_000, 100))
    with pytest.raises(JobTooLarge, match="20000 bytes"):
        store.make(noise(3 * PAGE_LINES))
    assert store.counted() == 0
    with pytest.raises(JobTooLarge):
        store.begin(header=Header(("text", "x" * 20_000), 0))
    assert store.counted() == 0


def test_a_running_job_ends_whatever_is_used(server: Stack) -> None:
    """The quota refuses texts, never results: a job that was accepted ends."""
    store = Store(server, Allowance(100_000, 100))
    job_id = store.make([f"{i}" for i in range(PAGE_LINES)], size=1)
    assert store.counted() < 100_000
    store.run_all(job_id)
    assert store.counted() > 100_000
    assert store.kept.get(job_id).status is JobStatus.SUCCEEDED
    with pytest.raises(StorageQuotaExceeded):
        store.begin()


def test_jobs_at_once(server: Stack) -> None:
    """As many unfinished jobs as allowed, for each caller; those that end, in whatever way, make room."""
    store = Store(server, Allowance(10**9, 4))
    ids = [store.make(noise(2)) for _ in range(3)]
    ids.append(store.begin())
    for _ in range(2):
        with pytest.raises(TooManyJobs, match="4 jobs"):
            store.begin()
    assert keys(store) <= {key for job_id in ids for key in job_keys(job_id)}
    store.make(noise(2), caller="bob")
    store.run(ids[0], 0)
    store.kept.cancel(ids[1])
    store.incoming.discard(ids[3])
    store.redis.delete(*job_keys(ids[2]))  # as if it had expired
    more = [store.begin() for _ in range(3)]
    assert len(more) == 3
    wait_until(lambda: begins(store), what="the expired job to be found")
    with pytest.raises(TooManyJobs):
        store.begin()


def begins(store: Store) -> bool:
    """Whether there is room for another job, which is begun then."""
    try:
        return bool(store.begin())
    except TooManyJobs:
        return False


def test_a_refusal_costs_little(server: Stack) -> None:
    """Refusing a job because too many have not ended does not look at each of them every time."""
    store = Store(server, Allowance(10**9, 300))
    for _ in range(300):
        store.begin()
    assert not begins(store)
    calls = sum(stats["calls"] for stats in store.redis.info("commandstats").values())
    for _ in range(20):
        assert not begins(store)
    assert sum(stats["calls"] for stats in store.redis.info("commandstats").values()) - calls < 20 * 40 + 700


def keys(store: Store) -> set[str]:
    """The keys of all jobs."""
    return {key.decode() for key in store.redis.keys("sentiq:j:*")}


def test_jobs_of_the_version_before(store: Store) -> None:
    """A job whose caller is not known is not counted, and runs, is cancelled and is removed like any other."""
    job_id, cancelled = (store.make(noise(4), caller=None) for _ in range(2))
    store.run_all(job_id)
    store.kept.cancel(cancelled)
    for one in (job_id, cancelled):
        store.kept.remove(one)
    assert store.redis.keys("sentiq:kept:*") == store.redis.keys("sentiq:open:*") == []


def test_chunk_done_by_the_version_before(store: Store) -> None:
    """A worker of the version before counts no bytes: the job counts for more than it keeps, and never for less."""
    job_id = store.make(noise(6))
    fixed = store.counted() - store.stored(job_id)
    store.redis.sadd(job_key(job_id, "done"), 0)
    store.redis.hdel(job_key(job_id, "todo"), 0)
    store.run(job_id, 1)
    store.redis.set(store.results.key(chunk_id(job_id, 0)), b"")
    assert store.counted() >= fixed + store.stored(job_id)
    store.kept.cancel(job_id)
    assert store.counted() == fixed + store.stored(job_id)
    store.kept.remove(job_id)
    assert store.counted() == 0


steps = st.lists(
    st.tuples(st.sampled_from(["make", "begin", "run", "cancel", "remove", "discard", "expire"]), st.integers(0, 5)),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_nothing_drifts(store: Store, done: list[tuple[str, int]]) -> None:
    """After any steps in any order, the sum is that of the jobs' bytes, each job counts for what it keeps, and what is
    gone does not count.
    """
    store.redis.flushall()
    ids: list[str] = []
    for step, which in done:
        job_id = ids[which % len(ids)] if ids else None
        try:
            if step == "make" or job_id is None:
                ids.append(store.make([*noise(which), *["same"] * which, ""]))
            elif step == "run":
                store.run(job_id, which // 2)
            elif step == "cancel":
                store.kept.cancel(job_id)
            elif step == "remove":
                store.kept.remove(job_id)
            elif step == "discard":
                store.incoming.discard(job_id)
            elif step == "begin":
                ids.append(store.take(store.begin(), noise(which), seal=False))
            else:
                store.redis.delete(*job_keys(job_id))
                if store.redis.zscore(f"sentiq:kept:{ANN}", job_id) is not None:
                    store.redis.zadd(f"sentiq:kept:{ANN}", {job_id: 1})
        except (JobNotFound, JobNotEnded, JobCancelled):
            pass
    last = store.begin()  # takes off what has expired
    sizes = {name.decode(): int(size) for name, size in store.redis.hgetall(f"sentiq:kept:{ANN}:bytes").items()}
    assert sizes.pop("total") == sum(sizes.values())
    alive = {job_id for job_id in [*ids, last] if store.redis.exists(job_key(job_id))}
    assert set(sizes) == alive == {member.decode() for member in store.redis.zrange(f"sentiq:kept:{ANN}", 0, -1)}
    fixed = sizes[last]
    assert all(sizes[job_id] - fixed == store.stored(job_id) for job_id in alive)
