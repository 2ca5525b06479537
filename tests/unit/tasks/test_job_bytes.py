"""Lines and chunks of any length: however a job is made, only a few megabytes of it are in memory at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from tasks.jobs.incoming import IncomingJobs, Page
from tasks.jobs.job import CHUNK_BYTES, PAGE_BYTES, PAGE_LINES, Entry, JobStatus
from tasks.jobs.kept import KeptJobs
from tasks.jobs.keys import job_key
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.queue.app import create_celery
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Failed, Scored
from tests.support.jobs import MODEL, TakenIn
from tests.support.stack import Stack

GOOD = Scored((0.1, 0.2, 0.7), False)


class Store:
    """The job store and the cache on the test's server."""

    def __init__(self, server: Stack) -> None:
        results = CeleryResults(create_celery(server.settings()), server.redis)
        self.redis = server.redis
        self.incoming = IncomingJobs(server.redis, results, ttl_s=100)
        self.running = RunningJobs(server.redis, results)
        self.kept = KeptJobs(server.redis, results)
        self.cache = PredictionCache(server.redis, ttl_s=100)

    def taking(self, *, size: int) -> TakenIn:
        """A job whose texts have still to come in."""
        return TakenIn(self.incoming, self.cache, size=size, window=1000)

    def run(self, job_id: str) -> None:
        """Does all chunks of a job."""
        for number in range(self.kept.get(job_id).chunks):
            todo = self.running.todo(job_id, number)
            assert todo is not None
            outcomes = [GOOD] * len(todo.texts)
            self.running.store_results(job_id, number, outcomes, MODEL)
            self.running.finish(job_id, number, outcomes, todo.weights, MODEL)


@pytest.fixture
def store(server: Stack) -> Store:
    """A store on an empty server."""
    return Store(server)


def long_text(number: int) -> str:
    """A text of its own that takes an eighth of a page."""
    return f"text {number} ".ljust(PAGE_BYTES // 8, "x")


def test_pages_have_few_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of long lines has fewer lines, and no page has more bytes than the limit and one line."""
    pages: list[Page] = []
    append = store.incoming.append

    def noted(job_id: str, page: Page) -> list[int]:
        pages.append(page)
        return append(job_id, page)

    monkeypatch.setattr(store.incoming, "append", noted)
    columns = ("c" * (PAGE_BYTES // 40),) * 8
    entries = [Entry("short"), *[Entry("wide", None, columns)] * 12, *[Entry(long_text(i)) for i in range(20)]]
    store.taking(size=100).receive(entries)
    assert sum(len(page.lines) for page in pages) == len(entries)
    for page in pages:
        sizes = [entry.memory_bytes for entry, _ in page.lines]
        assert sum(sizes[:-1]) < PAGE_BYTES
    assert len(pages) >= 4


@pytest.mark.parametrize("before", [0, 1, PAGE_LINES - 1, PAGE_LINES, 2 * PAGE_LINES + 3])
def test_lines_of_uneven_pages(store: Store, before: int) -> None:
    """Where pages have different numbers of lines, lines are still read from any position and in any number."""
    texts = [f"{i}" for i in range(before)]
    texts += [long_text(i) for i in range(11)]
    texts += [f"then {i}" for i in range(PAGE_LINES + 1)]
    texts += [long_text(i) for i in range(9, 20)]
    taken = store.taking(size=97)
    taken.receive(texts)
    store.run(taken.id)
    job = store.kept.get(taken.id)
    assert (job.status, job.total, job.done) == (JobStatus.SUCCEEDED, len(texts), len(texts))
    for start in {0, before - 1, before, before + 7, before + 8, before + 12, len(texts) - 4, len(texts) - 1} - {-1}:
        for count in (1, 2, 9, 5000):
            lines = list(store.kept.lines(job, start, count))
            assert [line.position for line in lines] == list(range(start, min(start + count, len(texts))))
            assert [line.entry.text for line in lines] == texts[start : start + count]
            assert all(line.outcome == GOOD for line in lines)


def test_pages_of_short_lines_are_as_before(store: Store) -> None:
    """Where no page has many bytes, the version before finds every line: pages are arrays of PAGE_LINES lines."""
    taken = store.taking(size=100)
    taken.receive([f"{i}" for i in range(2 * PAGE_LINES + 3)])
    assert sorted(store.redis.hkeys(job_key(taken.id, "in"))) == [b"0", b"1", b"2"]


def test_chunks_have_few_bytes(store: Store) -> None:
    """A chunk of long texts has fewer of them; repeated texts, early and late, still get their outcomes."""
    texts = [long_text(i) for i in range(20)]
    texts += [*texts[:3], "", *texts[-3:]]
    taken = store.taking(size=10**6)  # their bytes bound the chunks, not what they cost
    taken.receive(texts)
    job = store.kept.get(taken.id)
    assert job.chunks == 3
    for number in range(job.chunks):
        todo = store.running.todo(taken.id, number)
        assert todo is not None
        assert sum(map(len, todo.texts[:-1])) < CHUNK_BYTES
    store.run(taken.id)
    job = store.kept.get(taken.id)
    assert (job.done, job.failed, job.duplicates) == (27, 1, 6)
    outcomes = [line.outcome for line in store.kept.lines(job, 0, 100)]
    assert outcomes == [Failed("empty_text") if text == "" else GOOD for text in texts]


def test_memory_of_an_intake(store: Store) -> None:
    """Taking in 60 MB of long lines, and reading them again, takes a fraction of that."""

    def entries() -> Iterator[Entry]:
        for i in range(120):
            yield Entry(long_text(i))

    taken = store.taking(size=500)
    tracemalloc.start()
    try:
        taken.receive(entries())
        job = store.kept.get(taken.id)
        assert sum(len(line.entry.text) for line in store.kept.lines(job, 0, 1000)) == 120 * (PAGE_BYTES // 8)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
