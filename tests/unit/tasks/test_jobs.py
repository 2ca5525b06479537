"""The job store and the intake of texts, on a real server and with Celery's real result backend."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.labels import LABELS
from tasks.cost import SHORT_BYTES, cost
from tasks.errors import JobCancelled, JobNotFound, TooManyTexts, UploadTooSlow
from tasks.jobs.incoming import IncomingJobs
from tasks.jobs.job import PAGE_LINES, Entry, Header, Job, JobStatus, job_facts
from tasks.jobs.kept import MOST_LOOKED_AT, KeptJobs
from tasks.jobs.keys import CALLBACKS, ENDED, INDEX, UNFINISHED, chunk_id, chunk_of, job_key, job_keys
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.queue.app import create_celery
from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.outcomes import Failed, Language, Outcome, Remarks, Scored, digest
from tasks.wire import ChunkResult, FormatError
from tests.support.jobs import MODEL, TakenIn, cleaned, make_job
from tests.support.stack import Stack

POSITIVE, NEGATIVE = Scored((0.1, 0.2, 0.7), False), Scored((0.7, 0.2, 0.1), True, Remarks(Language("en", 0.9)))
TAG = "stub@-"


class Store:
    """The job store together with the cache."""

    def __init__(self, server: Stack) -> None:
        self.redis = server.redis
        self.results = CeleryResults(create_celery(server.settings()), server.redis)
        self.incoming = IncomingJobs(server.redis, self.results, ttl_s=100)
        self.running = RunningJobs(server.redis, self.results)
        self.kept = KeptJobs(server.redis, self.results)
        self.cache = PredictionCache(server.redis, ttl_s=100)

    def make(self, texts: Sequence[str], *, size: int = 2, window: int = 2, callback_url: str | None = None) -> str:
        """Makes a complete job; returns its id."""
        return make_job(self.incoming, self.cache, texts, size=size, window=window, callback_url=callback_url)

    def taking(self, *, size: int = 2, window: int = 2, max_texts: int = 10_000) -> TakenIn:
        """A job whose texts have still to come in."""
        return TakenIn(self.incoming, self.cache, size=size, window=window, max_texts=max_texts)

    def run(self, job_id: str, number: int, outcomes: Sequence[Outcome]) -> int | None:
        """Does a chunk like a worker; returns the chunk that has to be sent next."""
        todo = self.running.todo(job_id, number)
        assert todo is not None
        assert len(todo.texts) == len(outcomes)
        self.running.store_results(job_id, number, outcomes, MODEL)
        return self.running.finish(job_id, number, outcomes, todo.weights, MODEL)

    def outcomes(self, job_id: str) -> list[Outcome | None]:
        """The outcomes of the job's lines."""
        return [line.outcome for line in self.kept.lines(self.kept.get(job_id), 0, 10_000)]

    def know(self, text: str, outcome: Scored) -> None:
        """Puts a text's prediction into the cache."""
        self.cache.settle(MODEL, TAG, {digest(text): outcome})


@pytest.fixture
def store(server: Stack) -> Store:
    """A store on an empty server."""
    return Store(server)


def test_from_queued_to_succeeded(store: Store) -> None:
    """A job is queued, runs from its first chunk on and succeeds with its last; lines and counts are always right."""
    job_id = store.make(["a", "b", "", "a", "c"])
    job = store.kept.get(job_id)
    assert (job.status, job.total, job.done, job.failed, job.duplicates) == (JobStatus.QUEUED, 5, 1, 1, 1)
    assert store.outcomes(job_id) == [None, None, Failed("empty_text"), None, None]
    assert store.running.todo(job_id, 0) is not None
    assert store.kept.get(job_id).status == JobStatus.RUNNING
    store.run(job_id, 1, [NEGATIVE])
    job = store.kept.get(job_id)
    assert (job.status, job.done) == (JobStatus.RUNNING, 2)
    assert store.outcomes(job_id) == [None, None, Failed("empty_text"), None, NEGATIVE]
    store.run(job_id, 0, [POSITIVE, Failed("text_failed")])
    job = store.kept.get(job_id)
    assert (job.status, job.done, job.failed, job.eta_s) == (JobStatus.SUCCEEDED, 5, 2, None)
    assert job.labels == {"NEGATIVE": 1, "NEUTRAL": 0, "POSITIVE": 2}
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    lines = list(store.kept.lines(job, 0, 9))
    assert [(line.position, line.entry.text) for line in lines] == list(enumerate(["a", "b", "", "a", "c"]))
    assert store.outcomes(job_id) == [POSITIVE, Failed("text_failed"), Failed("empty_text"), POSITIVE, NEGATIVE]


def test_chunk_counts_once(store: Store) -> None:
    """A chunk that is done twice, with any outcomes, counts once; a chunk that is done is not given out again."""
    job_id = store.make(["a", "b", "c"])
    store.run(job_id, 0, [POSITIVE, POSITIVE])
    before = store.kept.get(job_id)
    assert store.running.todo(job_id, 0) is None
    store.running.finish(job_id, 0, [NEGATIVE, Failed("text_failed")], [1, 1], "stub@2/stub")
    assert store.kept.get(job_id) == before


def test_window(store: Store) -> None:
    """A window of first chunks is sent as they come in; each is followed by the chunk that is a window behind it."""
    taken = store.taking(size=2, window=2)
    taken.receive(map(str, range(9)))
    assert taken.sent == [0, 1]
    assert [store.run(taken.id, n, [POSITIVE] * (1 if n == 4 else 2)) for n in range(5)] == [2, 3, 4, None, None]
    assert store.kept.get(taken.id).status == JobStatus.SUCCEEDED


def test_chunk_that_was_awaited_leaves_at_once(store: Store) -> None:
    """A chunk that comes in after its predecessor in the lane was done is sent by the intake; others are not."""
    taken = store.taking(size=PAGE_LINES, window=1)

    def texts() -> Iterator[str]:
        for i in range(3 * PAGE_LINES):
            if i == 2 * PAGE_LINES - 1:  # two of three pages are stored when the third begins
                assert taken.sent == [0]
                assert store.run(taken.id, 0, [POSITIVE] * PAGE_LINES) is None
            yield str(i)

    taken.receive(texts())
    assert taken.sent == [0, 1]
    assert store.run(taken.id, 1, [POSITIVE] * PAGE_LINES) == 2


def test_chunks_run_while_the_rest_comes_in(store: Store) -> None:
    """A job runs, counts and can be read while it is coming in, but does not end before it is complete."""
    taken = store.taking(size=PAGE_LINES)

    def texts() -> Iterator[str]:
        for i in range(2 * PAGE_LINES):
            if i == PAGE_LINES:
                store.run(taken.id, 0, [POSITIVE] * PAGE_LINES)
                job = store.kept.get(taken.id)
                assert (job.receiving, job.status, job.total, job.done) == (
                    True,
                    JobStatus.RUNNING,
                    PAGE_LINES,
                    PAGE_LINES,
                )
                assert store.outcomes(taken.id) == [POSITIVE] * PAGE_LINES
            yield str(i)

    taken.receive(texts())
    job = store.kept.get(taken.id)
    assert (job.receiving, job.status, job.total, job.done) == (False, JobStatus.RUNNING, 2 * PAGE_LINES, PAGE_LINES)
    store.run(taken.id, 1, [NEGATIVE] * PAGE_LINES)
    assert store.kept.get(taken.id).status == JobStatus.SUCCEEDED


def test_late_repetition(store: Store) -> None:
    """A line that repeats a text of an earlier chunk is not scored again: it counts with that chunk, or at once."""
    taken = store.taking(size=2, window=9)

    def texts() -> Iterator[str]:
        yield from ["a", "b", "c", "d", *[""] * (PAGE_LINES - 4)]
        store.run(taken.id, 0, [POSITIVE, NEGATIVE])
        yield from ["a", "b", "b", "c", "c"]

    taken.receive(texts())
    job = store.kept.get(taken.id)
    assert (job.chunks, job.duplicates, job.done) == (2, 5, PAGE_LINES - 4 + 5)
    store.run(taken.id, 1, [POSITIVE, Failed("text_failed")])
    job = store.kept.get(taken.id)
    assert (job.status, job.done, job.failed) == (JobStatus.SUCCEEDED, job.total, PAGE_LINES - 4 + 1)
    assert job.labels == {"NEGATIVE": 3, "NEUTRAL": 0, "POSITIVE": 5}
    assert store.outcomes(taken.id)[-5:] == [POSITIVE, NEGATIVE, NEGATIVE, POSITIVE, POSITIVE]


def test_chunks_of_long_texts(store: Store) -> None:
    """A chunk has fewer texts if they are long, also over several pages; each line gets its own text's outcome."""
    taken = store.taking(size=30, window=1000)
    texts = [f"{number} {'x' * (3 * SHORT_BYTES if number % 7 < 3 else 1)}" for number in range(PAGE_LINES + 100)]
    taken.receive([*texts, texts[3], texts[-1]])
    job = store.kept.get(taken.id)
    sizes = []
    for number in range(job.chunks):
        todo = store.running.todo(taken.id, number)
        assert todo is not None
        spent = sum(map(cost, todo.texts))
        assert number == job.chunks - 1 or 30 <= spent < 30 + cost(texts[0])
        sizes.append(len(todo.texts))
        outcomes = [Scored((0.1, int(text.split()[0]) / 10_000, 0.9), False) for text in todo.texts]
        store.running.store_results(taken.id, number, outcomes, MODEL)
        store.running.finish(taken.id, number, outcomes, todo.weights, MODEL)
    assert sum(sizes) == len(texts)
    assert max(sizes) < 30
    assert job.work == pytest.approx(1000 * sum(map(cost, texts)) / 30, abs=job.chunks)
    found = [round(10_000 * outcome.scores[1]) for outcome in store.outcomes(taken.id) if isinstance(outcome, Scored)]
    assert found == [*range(len(texts)), 3, len(texts) - 1]
    assert store.kept.get(taken.id).status == JobStatus.SUCCEEDED


def test_page_sent_twice_counts_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is stored twice, because the connection broke before the answer, counts once."""
    taken = store.taking(size=2)
    append = store.incoming.append

    def twice(job_id: str, page: object) -> list[int]:
        first = append(job_id, page)  # type: ignore[arg-type]
        assert append(job_id, page) == first  # type: ignore[arg-type]
        return first

    monkeypatch.setattr(store.incoming, "append", twice)
    taken.receive(["a", "b", "", "a", "c"])
    job = store.kept.get(taken.id)
    assert (job.total, job.done, job.failed, job.duplicates, job.chunks) == (5, 1, 1, 1, 2)
    assert taken.sent == [0, 1]


def test_known_texts(store: Store) -> None:
    """Known texts have their outcome and model at once; a job of known texts ends as soon as it has come in."""
    store.know("a", POSITIVE)
    store.know("b", NEGATIVE)
    job = store.kept.get(store.make(["a", "b", "a"]))
    assert (job.status, job.done, job.cached, job.duplicates, job.chunks) == (JobStatus.SUCCEEDED, 3, 3, 1, 0)
    assert job.labels == {"NEGATIVE": 1, "NEUTRAL": 0, "POSITIVE": 2}
    assert [(line.cached, line.model) for line in store.kept.lines(job, 0, 9)] == [(True, MODEL)] * 3


def test_known_text_that_is_forgotten(store: Store) -> None:
    """A text that was known in an early page and then left the cache is scored once for later pages."""
    store.know("a", POSITIVE)
    taken = store.taking(size=2)

    def texts() -> Iterator[str]:
        yield from ["a", *[""] * (PAGE_LINES - 1)]
        store.redis.delete(*store.redis.keys("sentiq:p:*"))
        yield from ["a", "a", "b"]

    taken.receive(texts())
    job = store.kept.get(taken.id)
    assert (job.cached, job.duplicates, job.chunks) == (1, 2, 1)
    todo = store.running.todo(taken.id, 0)
    assert todo is not None
    assert (todo.texts, todo.weights) == (["a", "b"], [2, 1])


def test_all_failed(store: Store) -> None:
    """A job fails if every line has an error; with one good line it succeeds."""
    store.know("a", POSITIVE)
    assert store.kept.get(store.make([""])).status == JobStatus.FAILED
    assert store.kept.get(store.make(["", "a"])).status == JobStatus.SUCCEEDED
    job_id = store.make(["b"])
    store.run(job_id, 0, [Failed("text_failed")])
    assert store.kept.get(job_id).status == JobStatus.FAILED


@pytest.mark.parametrize("total", [1, PAGE_LINES - 1, PAGE_LINES, PAGE_LINES + 1, 3 * PAGE_LINES + 7])
def test_any_window_of_lines(store: Store, total: int) -> None:
    """Lines can be read from any position and in any number, across pages and chunks."""
    texts = [f"text {i}" for i in range(total)]
    job = store.kept.get(store.make(texts, size=97, window=100))
    for start in {0, 1, total // 2, PAGE_LINES - 1, PAGE_LINES, total - 1, total, total + 5}:
        for count in (1, 2, PAGE_LINES, 5000):
            assert [line.entry.text for line in store.kept.lines(job, start, count)] == texts[start : start + count]


words = st.sampled_from(["a", "b", "c", " a ", "known", "", "bad", *(f"t{i}" for i in range(20))])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(words, min_size=1, max_size=60),
    size=st.integers(1, 7),
    pad=st.integers(0, 2),
    order=st.randoms(use_true_random=False),
)
def test_results_line_up(store: Store, texts: list[str], size: int, pad: int, order: st.DataObject) -> None:
    """Each line of any job has the right outcome in its place, each text is scored once, and the counts are right.

    The jobs have any mix of repeated, known, empty and failing texts, any number of pages, and chunks done in any
    order.
    """

    def outcome(text: str) -> Outcome:
        key = cleaned(text) if text.strip() else ""
        if key == "":
            return Failed("empty_text")
        return Failed("text_failed") if key == "bad" else NEGATIVE if key < "t1" else Scored((0.1, 0.2, 0.7), False)

    store.know("known", NEGATIVE)
    texts = [*texts, *[f"p{i % 700}" for i in range(pad * PAGE_LINES)], *texts]
    job_id = store.make(texts, size=size, window=10_000)
    job = store.kept.get(job_id)
    numbers = list(range(job.chunks))
    order.shuffle(numbers)  # type: ignore[attr-defined]
    scored: list[str] = []
    for number in numbers:
        todo = store.running.todo(job_id, number)
        assert todo is not None
        scored += todo.texts
        store.running.store_results(job_id, number, [outcome(text) for text in todo.texts], MODEL)
        store.running.finish(job_id, number, [outcome(text) for text in todo.texts], todo.weights, MODEL)
    job = store.kept.get(job_id)
    lines = store.kept.lines(job, 0, len(texts))
    assert [(line.position, line.entry.text, line.outcome) for line in lines] == [
        (i, text, outcome(text)) for i, text in enumerate(texts)
    ]
    assert Counter(scored) == Counter({cleaned(text) for text in texts if text.strip() and text != "known"})
    expected = Counter(LABELS[o.decided] if isinstance(o, Scored) else "failed" for o in map(outcome, texts))
    assert job.labels == {label: expected[label] for label in LABELS}
    assert (job.total, job.done, job.failed, job.cached) == (
        len(texts),
        len(texts),
        expected["failed"],
        texts.count("known"),
    )
    known = [cleaned(text) for text in texts if text.strip()]
    assert job.duplicates == len(known) - len(set(known))
    assert job.status == (JobStatus.FAILED if expected["failed"] == len(texts) else JobStatus.SUCCEEDED)


def test_what_came_with_a_text(store: Store) -> None:
    """A line is returned with its id and other columns, and the job with its header."""
    job_id = "1" * 32
    store.incoming.begin(job_id, chunk_size=2, window=2, header=Header(("x", "text", "é"), 1))
    taken = store.taking()
    entries = [Entry("a", 7, ("1", "2")), Entry("b", "seven", ("", "ü")), Entry("c")]
    taken.receive(entries)
    assert [line.entry for line in store.kept.lines(store.kept.get(taken.id), 0, 9)] == entries
    assert store.kept.get(taken.id).has_ids
    assert not store.kept.get(store.make(["a"])).has_ids
    assert store.kept.get(job_id).header == Header(("x", "text", "é"), 1)


def test_fingerprint(store: Store) -> None:
    """Submissions have the same fingerprint exactly if texts, ids and columns are the same, in the same order."""
    same = [store.taking().receive(["a", "b"]) for _ in range(2)]
    others: list[list[str | Entry]] = [
        ["b", "a"],
        ["a"],
        ["a", "b", "b"],
        ["ab", ""],
        [Entry("a", "1"), "b"],
        [Entry("a", 1), "b"],
    ]
    others += [[Entry("a", None, ("x",)), "b"], [" a", "b"]]
    found = [store.taking().receive(other) for other in others]
    assert same[0] == same[1]
    assert len({same[0], *found}) == 1 + len(others)


def test_too_many_texts(store: Store) -> None:
    """The first text beyond the limit is refused with its line number; nothing more is read."""
    taken = store.taking(max_texts=3)
    texts = iter(["a", "b", "c", "d", "e"])
    with pytest.raises(TooManyTexts) as refused:
        taken.receive(texts)
    assert refused.value.line == 4
    assert next(texts) == "e"


def test_discarded(store: Store) -> None:
    """Nothing is left of a discarded job or its chunks' results, even if a chunk is still being scored."""
    taken = store.taking(size=2)
    taken.receive(["a", "b", "c", "d", "a"])
    store.run(taken.id, 0, [POSITIVE, POSITIVE])
    todo = store.running.todo(taken.id, 1)
    assert todo is not None
    store.incoming.discard(taken.id)
    store.running.store_results(taken.id, 1, [POSITIVE, POSITIVE], MODEL)
    assert store.running.finish(taken.id, 1, [POSITIVE, POSITIVE], todo.weights, MODEL) is None
    assert store.redis.keys(f"*{taken.id}*") == []
    assert store.redis.zcard(INDEX) == store.redis.scard(UNFINISHED) == 0


def test_cancelled(store: Store) -> None:
    """No further chunk of a cancelled job begins; those that have begun end and count, and results stay readable."""
    job_id = store.make(["a", "b", "c", "d"], size=2, window=1)
    todo = store.running.todo(job_id, 0)
    assert todo is not None
    job = store.kept.cancel(job_id)
    assert (job.status, job.done) == (JobStatus.CANCELLED, 0)
    store.running.store_results(job_id, 0, [POSITIVE, NEGATIVE], MODEL)
    assert store.running.finish(job_id, 0, [POSITIVE, NEGATIVE], todo.weights, MODEL) is None
    assert store.running.todo(job_id, 1) is None
    job = store.kept.get(job_id)
    assert (job.status, job.done, job.finished_at is not None) == (JobStatus.CANCELLED, 2, True)
    assert store.outcomes(job_id) == [POSITIVE, NEGATIVE, None, None]
    assert store.redis.smembers(UNFINISHED) == set()


def test_cancelled_twice_and_too_late(store: Store) -> None:
    """Cancelling twice, or after the end, changes nothing; an unknown job is not found."""
    job_id = store.make(["a"])
    first = store.kept.cancel(job_id)
    assert store.kept.cancel(job_id) == first
    ended = store.make(["b"])
    store.run(ended, 0, [POSITIVE])
    before = store.kept.get(ended)
    assert store.kept.cancel(ended) == before
    with pytest.raises(JobNotFound):
        store.kept.cancel("0" * 32)
    assert store.redis.keys(f"*{'0' * 32}*") == []


def test_cancelled_while_it_comes_in(store: Store) -> None:
    """The intake of a job that is cancelled meanwhile gets an error."""
    taken = store.taking()

    def texts() -> Iterator[str]:
        yield "a"
        store.kept.cancel(taken.id)

    with pytest.raises(JobCancelled):
        taken.receive(texts())


def test_too_slow(store: Store) -> None:
    """Texts of an expired upload are refused, and make no key."""
    taken = store.taking()

    def texts() -> Iterator[str]:
        yield "a"
        store.redis.delete(*store.redis.keys(f"*{taken.id}*"))

    with pytest.raises(UploadTooSlow):
        taken.receive(texts())
    with pytest.raises(UploadTooSlow):
        store.incoming.seal(taken.id)
    assert store.redis.keys(f"*{taken.id}*") == []


def test_newest_first(store: Store) -> None:
    """Jobs are listed newest first and in pages, all or those in one state; expired jobs are left out."""
    ids = [store.make([text]) for text in "abcdef"]
    store.run(ids[1], 0, [POSITIVE])
    store.run(ids[4], 0, [POSITIVE])
    store.redis.delete(*job_keys(ids[2]))
    expected = [ids[i] for i in (5, 4, 3, 1, 0)]

    def pages(status: JobStatus | None, limit: int) -> list[str]:
        found, before = store.kept.newest(None, status, limit)
        while before is not None:
            page, before = store.kept.newest(before, status, limit)
            found += page
        return [job.id for job in found]

    for limit in (1, 2, 5, 100):
        assert pages(None, limit) == expected
        assert pages(JobStatus.SUCCEEDED, limit) == [ids[4], ids[1]]
        assert pages(JobStatus.QUEUED, limit) == [ids[5], ids[3], ids[0]]
        assert pages(JobStatus.CANCELLED, limit) == []


def test_jobs_of_one_instant(store: Store) -> None:
    """Jobs made at the same time are all listed, each once."""
    ids = [store.make([text]) for text in "abcdef"]
    now = time.time()
    store.redis.zadd(INDEX, dict.fromkeys(ids, now))
    for job_id in ids:
        store.redis.hset(job_key(job_id), "created_at", now)
    found, before = store.kept.newest(None, None, 2)
    while before is not None:
        page, before = store.kept.newest(before, None, 2)
        found += page
    assert [job.id for job in found] == sorted(ids, reverse=True)


def test_a_list_is_not_searched_to_its_end(store: Store) -> None:
    """However many jobs there are in other states, a page reads a limited number of them and says where to go on."""
    wanted = store.make(["a"])
    store.run(wanted, 0, [POSITIVE])
    job = store.redis.hgetall(job_key(store.make(["b"])))
    now, pipe = time.time(), store.redis.pipeline(transaction=False)
    for number in range(3 * MOST_LOOKED_AT):
        job_id = f"{number:032x}"
        pipe.hset(job_key(job_id), mapping=job)
        pipe.expire(job_key(job_id), 600)
        pipe.zadd(INDEX, {job_id: now + number})
    pipe.execute()
    before = store.redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    found, end = store.kept.newest(None, JobStatus.SUCCEEDED, 50)
    assert not found
    assert end is not None
    assert store.redis.info("commandstats")["cmdstat_hgetall"]["calls"] - before <= MOST_LOOKED_AT
    while end is not None:
        page, end = store.kept.newest(end, JobStatus.SUCCEEDED, 50)
        found += page
    assert [job.id for job in found] == [wanted]


def test_successor_that_was_not_sent(store: Store) -> None:
    """A redelivered chunk that is done gives the next chunk to send, until that one is sent or done."""
    job_id = store.make(["a", "b", "c"], size=1, window=1)
    assert store.running.following(job_id, 0) is None
    assert store.run(job_id, 0, [POSITIVE]) == 1
    assert store.running.following(job_id, 0) == 1
    store.running.sent(job_id, 1)
    assert store.running.following(job_id, 0) is None
    store.run(job_id, 1, [POSITIVE])
    store.run(job_id, 2, [POSITIVE])
    assert store.running.following(job_id, 1) is None
    assert store.running.following(job_id, 2) is None


def test_expected(store: Store) -> None:
    """The chunks that should be under way are, for each job that has not ended, the first one not done in each lane."""

    def expected() -> list[int]:
        chunks = [chunk_of(task_id) for task_id in store.running.expected()]
        return sorted(number for job, number in chunks if job == job_id)

    job_id = store.make(list("abcdefg"), size=1, window=3)
    other = store.make(["z"])
    assert store.running.expected() == {chunk_id(other, 0), *(chunk_id(job_id, number) for number in (0, 1, 2))}
    store.run(job_id, 1, [POSITIVE])
    store.run(job_id, 4, [POSITIVE])
    assert expected() == [0, 2]
    for number in (0, 2, 3, 5, 6):
        store.run(job_id, number, [POSITIVE])
    assert expected() == []
    store.kept.cancel(other)
    assert store.running.expected() == set()


def test_foreign_id(store: Store) -> None:
    """An id that is not UTF-8, of whatever program has written it, keeps jobs neither from being listed nor from being
    looked after.
    """
    job_id = store.make(["a"])
    store.redis.sadd(UNFINISHED, b"\xff")
    store.redis.zadd(INDEX, {b"\xff": time.time()})
    assert store.running.expected() == {chunk_id(job_id, 0)}
    assert [job.id for job in store.kept.newest(None, None, 10, None)[0]] == [job_id]


@pytest.mark.parametrize(
    ("field", "value"),
    [("window", "x"), ("total", "many"), ("created_at", None), ("analysis", "{"), (b"\xff", b"\xff")],
)
def test_damaged_job(store: Store, field: str, value: str | None) -> None:
    """A job whose facts are damaged or of another version cannot be read itself, but keeps other jobs neither from
    being listed nor from being looked after.
    """
    damaged, whole = store.make(["a"]), store.make(["b"])
    if value is None:
        store.redis.hdel(job_key(damaged), field)
    else:
        store.redis.hset(job_key(damaged), field, value)
    with pytest.raises(FormatError):
        store.kept.get(damaged)
    assert [job.id for job in store.kept.newest(None, None, 10, None)[0]] == [whole]
    assert chunk_id(whole, 0) in store.running.expected()


def test_callback_is_due_with_the_end(store: Store) -> None:
    """A job's callback, if it has one, is due when the job ends or is cancelled, and has the job's final state."""
    url = "https://example.org/told"
    done, cancelled, silent = (
        store.make([text], callback_url=address) for text, address in (("a", url), ("b", url), ("c", None))
    )
    store.run(silent, 0, [POSITIVE])
    assert store.redis.zcard(CALLBACKS) == 0
    store.run(done, 0, [POSITIVE])
    store.kept.cancel(cancelled)
    assert {member.decode() for member in store.redis.zrange(CALLBACKS, 0, -1)} == {done, cancelled}
    told = store.running.callback(done)
    assert told is not None
    assert told[0] == url
    assert b'"status":"succeeded"' in told[1]
    assert store.running.callback(silent) is None
    assert store.running.callback("0" * 32) is None


def test_revision(store: Store) -> None:
    """Every change of a job changes its revision."""
    job_id = store.make(["a", "b"], size=1)
    seen = [store.kept.revision(job_id)]
    for step in (lambda: store.run(job_id, 0, [POSITIVE]), lambda: store.kept.cancel(job_id)):
        step()
        seen.append(store.kept.revision(job_id))
    assert seen == sorted(set(seen))
    with pytest.raises(JobNotFound):
        store.kept.revision("0" * 32)


def test_times_are_rfc_3339() -> None:
    """Times in a job that callers get are in RFC 3339."""
    job = Job(id="1", created_at=0.0, expires_at=86_400.5, chunk_size=1, window=1)
    assert job_facts(job)["created_at"] == "1970-01-01T00:00:00.000Z"
    assert job_facts(job)["expires_at"] == "1970-01-02T00:00:00.500Z"


def test_unknown(store: Store) -> None:
    """An unknown job is not found and has no chunks to do; finishing or sending one of them makes no key."""
    with pytest.raises(JobNotFound):
        store.kept.get("0" * 32)
    assert store.running.todo("0" * 32, 0) is None
    assert store.running.finish("0" * 32, 0, [POSITIVE], [1], MODEL) is None
    assert store.running.following("0" * 32, 0) is None
    store.running.sent("0" * 32, 0)
    assert store.redis.dbsize() == 0


def test_expired_in_between(store: Store) -> None:
    """A job that expires while it is read or worked on is not found, and none of its keys is made again."""
    job_id = store.make(["a"])
    job, todo = store.kept.get(job_id), store.running.todo(job_id, 0)
    assert todo is not None
    store.redis.delete(*store.redis.keys("sentiq:j:*"))
    with pytest.raises(JobNotFound):
        list(store.kept.lines(job, 0, 1))
    store.running.store_results(job_id, 0, [POSITIVE], MODEL)
    store.running.finish(job_id, 0, [POSITIVE], todo.weights, MODEL)
    assert store.redis.keys(f"*{job_id}*") == []


def test_everything_expires_with_the_job(store: Store) -> None:
    """While a job comes in, its keys live for two minutes; after that, all its keys expire together with the job."""
    taken = store.taking(size=2, window=1)

    def texts() -> Iterator[str]:
        yield from map(str, range(PAGE_LINES))
        assert all(100 < store.redis.ttl(key) <= 120 for key in store.redis.keys(f"sentiq:j:{taken.id}*"))
        yield from ["0", "1", "4"]

    taken.receive(texts())
    assert store.run(taken.id, 0, [POSITIVE, POSITIVE]) == 1
    store.running.sent(taken.id, 1)
    ends = {key: store.redis.ttl(key) for key in store.redis.keys(f"sentiq:j:{taken.id}*")}
    assert len(ends) == 6
    assert all(0 < end <= 100 for end in ends.values())
    assert all(store.redis.ttl(key) > 100 for key in (INDEX, UNFINISHED))
    job = store.kept.get(taken.id)
    assert 90 < job.expires_at - time.time() <= 100


def test_done_texts_are_not_kept_twice(store: Store) -> None:
    """A chunk's copy of its texts is deleted when it is done."""
    job_id = store.make(["a"])
    store.run(job_id, 0, [POSITIVE])
    assert not store.redis.exists(job_key(job_id, "todo"))


def test_results_are_celerys(store: Store, server: Stack) -> None:
    """Any Celery client finds a chunk's result under the task's id, and the first result stays."""
    app = create_celery(server.settings())
    store.results.store("0" * 32 + ".7", ChunkResult(MODEL, [(1.0, 0.0, 0.0, 0)]))
    store.results.store("0" * 32 + ".7", ChunkResult(MODEL, []))
    result = app.AsyncResult("0" * 32 + ".7")
    assert (result.state, result.result) == (
        "SUCCESS",
        {"model": MODEL, "rows": [[1.0, 0.0, 0.0, 0]], "v": 1, "remarks": []},
    )
    assert result.date_done is not None
    store.results.forget(["0" * 32 + ".7"])
    assert app.AsyncResult("0" * 32 + ".7").state == "PENDING"


def test_ends_are_published(store: Store, server: Stack) -> None:
    """A job's end is published once, however it ends."""
    with server.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(ENDED)
        done, cancelled = store.make(["a"]), store.make(["b"])
        store.run(done, 0, [POSITIVE])
        store.kept.cancel(cancelled)
        server.redis.publish(ENDED, "last")
        told: list[str] = []
        while "last" not in told:
            if (message := channel.get_message(timeout=5)) is not None:
                told.append(message["data"].decode())
    assert told == [done, cancelled, "last"]


def test_result_backend_away(server: Stack) -> None:
    """An unreachable result backend raises a Redis error, on which workers retry, so no chunk is lost."""
    results = CeleryResults(create_celery(server.settings()), connect("unix:///nowhere/valkey.sock", timeout_s=1.0))
    with pytest.raises(redis.RedisError):
        results.store("0" * 32 + ".0", ChunkResult(MODEL, []))
    with pytest.raises(redis.RedisError):
        results.fetch(["0" * 32 + ".0"])
