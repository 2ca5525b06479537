"""The body of the `score` task, with the stub engine and on a real server."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Sequence

import pytest
import redis

from model.engine import Scores
from model.engines.stub import StubEngine
from tasks.jobs.incoming import IncomingJobs
from tasks.jobs.job import PAGE_LINES, JobStatus
from tasks.jobs.kept import KeptJobs
from tasks.jobs.keys import job_key
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.metrics import DEFECTS
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.turns import Turn, Turns
from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.outcomes import Failed, Language, Outcome, Remarks, Scored, digest, scored
from tasks.work.scoring import NEWER_PAUSE_S, SUSPECT_LIMIT, LaterVersion, NotStored, Scorer
from tests.support.jobs import MODEL, make_job
from tests.support.stack import Stack

TAG = "stub@-"
FOREIGN = Remarks(Language("de", 0.75), ("unsupported_language",), refused=True)


class CountingEngine(StubEngine):
    """The stub engine, which records the texts that it is given."""

    def __init__(self, *, fail_on: str | None = None) -> None:
        super().__init__(fail_on=fail_on)
        self.calls: list[list[str]] = []

    def score(self, texts: Sequence[str]) -> Scores:
        """See `StubEngine`."""
        self.calls.append(list(texts))
        return super().score(texts)


class RecordedTurns(Turns):
    """Turns that put the chunks whose turn it is into a list instead of the queue."""

    def __init__(self, server: Stack, bench: Bench) -> None:
        sender = ChunkSender(create_celery(server.settings()), server.default_model)
        super().__init__(server.redis, sender, server.default_model, workers=lambda role: 100)
        self._bench = bench

    def send(self, turn: Turn) -> None:
        """See `Turns.send`."""
        self._bench.on_send()
        self._bench.sent.append(turn.chunk_id)


class Bench:
    """A scorer with its parts."""

    def __init__(self, server: Stack) -> None:
        self.redis = server.redis
        self.engine = CountingEngine(fail_on="poison")
        self.cache = PredictionCache(connect(server.url, timeout_s=5, blocking=True), ttl_s=100)
        results = CeleryResults(create_celery(server.settings()), server.redis)
        self.incoming = IncomingJobs(server.redis, results, ttl_s=100)
        self.running = RunningJobs(server.redis, results)
        self.kept = KeptJobs(server.redis, results)
        self.sent: list[str] = []
        self.on_send: Callable[[], None] = lambda: None
        self.turns = RecordedTurns(server, self)
        self.scorer = Scorer(self.engine, self.cache, self.running, self.turns)
        self.remarking = Scorer(self.engine, self.cache, self.running, self.turns, remarks)
        """One that finds every text with `fremd` to be in a language that the model does not read."""

    def job(self, texts: Sequence[str], *, size: int = 3, window: int = 2) -> str:
        """A job of distinct unknown texts."""
        return make_job(self.incoming, self.cache, texts, size=size, window=window)

    def run(self, job_id: str, number: int) -> None:
        """Delivers a chunk of a job."""
        self.scorer.score({"tag": TAG, "job": job_id, "n": number}, f"{job_id}.{number}")

    def outcomes(self, job_id: str) -> list[Outcome | None]:
        """The outcomes of a job's lines."""
        return [line.outcome for line in self.kept.lines(self.kept.get(job_id), 0, 1000)]


def remarks(texts: Sequence[str], scores: Scores) -> list[Remarks]:
    """What the remarking scorer says of texts."""
    return [FOREIGN if "fremd" in text else Remarks(Language("en", 0.5)) for text in texts]


def defects() -> float:
    """The number of defects counted so far."""
    return sum(
        sample.value for metric in DEFECTS.collect() for sample in metric.samples if sample.name.endswith("_total")
    )


def direct(text: str) -> Scored:
    """The engine's answer to a text alone."""
    return scored(StubEngine().score([text]).probabilities[0], False)


@pytest.fixture
def bench(server: Stack) -> Bench:
    """A scorer on an empty server."""
    return Bench(server)


def test_callers_chunk(bench: Bench) -> None:
    """Texts of callers are scored in one call, cached, and sent in the reply to waiting processes."""
    texts = ["good", "bad", "plain"]
    bench.cache.claim(None, TAG, [digest(text) for text in texts], "sentiq:r:me")
    bench.scorer.score({"tag": TAG, "texts": texts}, "c1")
    assert bench.engine.calls == [texts]
    reply = bench.cache.await_reply("sentiq:r:me", 1)
    assert reply is not None
    assert reply.outcomes == {digest(text): direct(text) for text in texts}
    assert bench.cache.get_many(MODEL, [digest(text) for text in texts]) == [direct(text) for text in texts]
    assert bench.redis.keys("sentiq:a:*") == []


def test_delivered_twice(bench: Bench) -> None:
    """A chunk that is redelivered after it was done is not scored again, and still replies to waiting processes."""
    bench.scorer.score({"tag": TAG, "texts": ["good"]}, "c1")
    bench.cache.claim(None, TAG, [digest("good")], "sentiq:r:late")
    bench.scorer.score({"tag": TAG, "texts": ["good"]}, "c1")
    assert bench.engine.calls == [["good"]]
    reply = bench.cache.await_reply("sentiq:r:late", 1)
    assert reply is not None
    assert reply.outcomes == {digest("good"): direct("good")}


def test_remarks(bench: Bench) -> None:
    """What is said of texts goes with their scores into the cache, into replies, and to the lines of jobs, which count
    refused lines under no label. A job of such lines alone has not failed.
    """
    texts = ["good", "good fremd"]
    bench.cache.claim(None, TAG, [digest(text) for text in texts], "sentiq:r:me")
    bench.remarking.score({"tag": TAG, "texts": texts}, "c1")
    reply = bench.cache.await_reply("sentiq:r:me", 1)
    assert reply is not None
    expected = [
        scored(direct(text).scores, False, one)
        for text, one in zip(texts, remarks(texts, StubEngine().score(texts)), strict=True)
    ]
    assert [reply.outcomes[digest(text)] for text in texts] == expected
    assert bench.cache.get_many(MODEL, [digest(text) for text in texts]) == expected

    job_id = bench.job(["fremd eins", "good two", "fremd drei", "poison"])
    for number in range(2):
        bench.remarking.score({"tag": TAG, "job": job_id, "n": number}, f"{job_id}.{number}")
    job = bench.kept.get(job_id)
    assert (job.status, job.done, job.unsupported_language, job.failed) == (JobStatus.SUCCEEDED, 4, 2, 1)
    assert job.labels == {"NEGATIVE": 0, "NEUTRAL": 0, "POSITIVE": 1}
    lines = [outcome.remarks for outcome in bench.outcomes(job_id) if isinstance(outcome, Scored)]
    assert lines == [FOREIGN, Remarks(Language("en", 0.5)), FOREIGN]

    job_id = bench.job(["fremd vier"])
    bench.remarking.score({"tag": TAG, "job": job_id, "n": 0}, f"{job_id}.0")
    assert bench.kept.get(job_id).status == JobStatus.SUCCEEDED


def test_job_chunk(bench: Bench) -> None:
    """A job's chunk stores its outcomes, and the next chunk of its lane is sent; the last one ends the job."""
    texts = ["good", "bad", "plain", "good day", "bad day"]
    job_id = bench.job(texts, size=1, window=3)
    for number in range(5):
        bench.run(job_id, number)
    assert bench.sent == [f"{job_id}.3", f"{job_id}.4"]
    assert bench.outcomes(job_id) == [direct(text) for text in texts]
    assert bench.kept.get(job_id).status == JobStatus.SUCCEEDED


def test_job_chunk_delivered_twice(bench: Bench) -> None:
    """A job's chunk that is redelivered after it was done does nothing."""
    job_id = bench.job(["good", "bad"], size=1, window=1)
    for _ in range(3):
        bench.run(job_id, 0)
    assert bench.engine.calls == [["good"]]
    assert bench.sent == [f"{job_id}.1"]
    assert bench.kept.get(job_id).done == 1


def test_two_workers_on_one_chunk(bench: Bench) -> None:
    """A chunk that two workers score at the same time counts once, and both have the same answers."""
    job_id = bench.job(["good", "bad", "plain"])
    threads = [threading.Thread(target=bench.run, args=(job_id, 0)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job = bench.kept.get(job_id)
    assert (job.status, job.done) == (JobStatus.SUCCEEDED, 3)


@pytest.mark.parametrize("bad", [{0}, {6}, {3}, {2, 3}, {0, 6}, set(range(7))])
def test_bad_texts_stand_alone(bench: Bench, bad: set[int]) -> None:
    """Texts that the engine fails on, however many and in any position, get errors, and all others are scored."""
    texts = [f"poison {i}" if i in bad else f"good {i}" for i in range(7)]
    job_id = bench.job(texts, size=7)
    bench.run(job_id, 0)
    assert bench.outcomes(job_id) == [
        Failed("text_failed") if i in bad else direct(text) for i, text in enumerate(texts)
    ]
    assert bench.kept.get(job_id).failed == len(bad)


def test_failure_is_not_cached(bench: Bench) -> None:
    """A text that failed is scored again in another job."""
    for _ in range(2):
        bench.run(bench.job(["poison"]), 0)
    assert bench.engine.calls == [["poison"], ["poison"]]


def test_known_texts_are_not_scored(bench: Bench) -> None:
    """Texts that others have scored since the job was made are taken from the cache."""
    bench.cache.settle(MODEL, TAG, {digest("good"): direct("good")})
    job_id = bench.job(["good", "bad"])
    bench.run(job_id, 0)
    assert bench.engine.calls == [["bad"]]
    assert bench.outcomes(job_id) == [direct("good"), direct("bad")]


def test_after_a_death_one_by_one(bench: Bench) -> None:
    """A chunk that was begun before and not done is scored text by text, each stored before the next is begun."""
    job_id = bench.job(["a", "b", "c"])
    bench.cache.begin(f"{job_id}.0", MODEL, [])
    bench.run(job_id, 0)
    assert bench.engine.calls == [["a"], ["b"], ["c"]]
    assert bench.outcomes(job_id) == [direct(text) for text in "abc"]
    assert bench.redis.keys("sentiq:a:*") == []


def test_text_that_keeps_killing(bench: Bench) -> None:
    """A text that was begun alone as often as allowed fails, and the rest of its chunk is scored."""
    job_id = bench.job(["a", "killer", "c"])
    bench.cache.begin(f"{job_id}.0", MODEL, [])
    for _ in range(SUSPECT_LIMIT):
        bench.cache.suspect(f"{job_id}.0", digest("killer"))
    bench.run(job_id, 0)
    assert bench.engine.calls == [["a"], ["c"]]
    assert bench.outcomes(job_id) == [direct("a"), Failed("text_failed"), direct("c")]


def test_death_before_the_next_chunk_leaves(bench: Bench) -> None:
    """If a worker dies after its chunk counts and before it sends the next one, the redelivered chunk sends that."""
    job_id = bench.job(["a", "b"], size=1, window=1)

    def die() -> None:
        raise SystemExit

    bench.on_send = die
    with pytest.raises(SystemExit):
        bench.run(job_id, 0)
    bench.on_send = lambda: None
    for _ in range(3):
        bench.run(job_id, 0)
    assert bench.sent == [f"{job_id}.1"]
    assert bench.kept.get(job_id).done == 1
    assert bench.engine.calls == [["a"]]


def test_tries_again(bench: Bench) -> None:
    """A step on Redis is repeated while Redis is away."""
    job_id = bench.job(["a", "b"], size=1, window=1)
    tries = 0

    def away_twice() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise redis.ConnectionError("away")

    bench.on_send = away_twice
    bench.run(job_id, 0)
    assert tries == 3
    assert bench.kept.get(job_id).done == 1


def test_gives_back_when_it_is_to_stop(bench: Bench) -> None:
    """A worker that has to stop while Redis is away gives its chunk back at once, without another attempt."""
    job_id = bench.job(["a", "b"], size=1, window=1)
    tries = 0

    def away() -> None:
        nonlocal tries
        tries += 1
        bench.scorer.stop()
        raise redis.ConnectionError("away")

    bench.on_send = away
    with pytest.raises(NotStored):
        bench.run(job_id, 0)
    assert tries == 1
    assert bench.sent == []


def test_unknown_job(bench: Bench) -> None:
    """A chunk of a job that is gone is not scored and leaves no key."""
    bench.run("0" * 32, 0)
    assert bench.engine.calls == []
    assert bench.redis.dbsize() == 0


def test_chunk_of_a_later_version(bench: Bench) -> None:
    """A chunk that only a later version can read goes back into the queue unchanged, after a pause.

    The pause keeps it from circulating at full speed; a worker that has to stop does not pause.
    """
    job_id = bench.job(["a"])
    began_at = time.monotonic()
    for message in ({"v": 2, "tag": TAG, "texts": ["good"]}, {"v": 2, "tag": TAG, "job": job_id, "n": 0}):
        with pytest.raises(LaterVersion):
            bench.scorer.score(message, "c1")
    assert time.monotonic() - began_at > 2 * NEWER_PAUSE_S
    bench.scorer.stop()
    with pytest.raises(LaterVersion):
        bench.scorer.score({"v": 2}, "c1")
    assert time.monotonic() - began_at < 3 * NEWER_PAUSE_S
    assert bench.engine.calls == []
    assert bench.redis.keys("sentiq:a:*") == []
    assert bench.kept.get(job_id).status == JobStatus.QUEUED


def test_texts_stored_by_a_later_version(bench: Bench) -> None:
    """A chunk whose texts were stored by a later version goes back into the queue for a worker of that version."""
    job_id = bench.job(["a"])
    bench.redis.hset(job_key(job_id, "todo"), "0", zlib.compress(b'{"v":3}'))
    bench.scorer.stop()
    before = defects()
    with pytest.raises(LaterVersion):
        bench.run(job_id, 0)
    assert bench.outcomes(job_id) == [None]
    assert defects() == before


@pytest.mark.parametrize("message", [None, "text", {"tag": TAG}, {"tag": TAG, "texts": ["secret", 5]}])
def test_message_that_nobody_can_read(bench: Bench, caplog: pytest.LogCaptureFixture, message: object) -> None:
    """A message that no worker can read is dropped, logged, and counted as a defect."""
    before = defects()
    bench.scorer.score(message, "c1")
    assert defects() == before + 1
    assert "chunk c1: FormatError" in caplog.text
    assert "secret" not in caplog.text
    assert bench.engine.calls == []


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        b"",
        b"x\x9c garbage",
        zlib.compress(b"no JSON"),
        zlib.compress(b'[["a"],[1,1]]'),
        zlib.compress(b'[["a"]]'),
    ],
)
def test_damaged_chunk_of_a_job(bench: Bench, caplog: pytest.LogCaptureFixture, damaged: bytes | None) -> None:
    """A chunk of which nothing can be read, or that is lost, fails each of its lines, however many share a text; the
    other chunks of its job are scored, and the job ends.
    """
    job_id = bench.job(["a", "b", "c", "b", "a", "d", "e", "b"], size=2, window=1)  # a b, c d, e; b again at the end
    if damaged is None:
        bench.redis.hdel(job_key(job_id, "todo"), "0")
    else:
        bench.redis.hset(job_key(job_id, "todo"), "0", damaged)
    before = defects()
    for number in (0, 0, 1, 2):
        bench.run(job_id, number)
    lost = Failed("internal_error")
    assert bench.outcomes(job_id) == [lost, lost, direct("c"), lost, lost, direct("d"), direct("e"), lost]
    job = bench.kept.get(job_id)
    assert (job.status, job.done, job.failed, sum(job.labels.values())) == (JobStatus.SUCCEEDED, 8, 5, 3)
    assert bench.sent == [f"{job_id}.1", f"{job_id}.2"]
    assert bench.running.expected() == set()
    assert defects() == before + 1
    assert f"chunk {job_id}.0: FormatError: a job's chunk" in caplog.text


def test_damaged_job(bench: Bench) -> None:
    """A job of which no chunk can be read ends as failed, with an error for each line."""
    job_id = bench.job(["a", "b", "a"], size=1, window=2)
    for number in range(2):
        bench.redis.hset(job_key(job_id, "todo"), str(number), b"garbage")
        bench.run(job_id, number)
    assert bench.outcomes(job_id) == [Failed("internal_error")] * 3
    job = bench.kept.get(job_id)
    assert (job.status, job.done, job.failed) == (JobStatus.FAILED, 3, 3)


@pytest.mark.parametrize("damaged", [b"garbage", b"5"])
def test_damaged_repetitions(bench: Bench, damaged: bytes) -> None:
    """If it cannot be read how often a text of a chunk is repeated in later pages, the repetitions count as failed, and
    the job ends.
    """
    texts = ["a", *(f"text {number}" for number in range(PAGE_LINES)), "a"]
    job_id = bench.job(texts, size=PAGE_LINES)
    assert bench.redis.hkeys(job_key(job_id, "late")) == [b"0"]
    bench.redis.hset(job_key(job_id, "late"), "0", damaged)
    for number in range(2):
        bench.run(job_id, number)
    job = bench.kept.get(job_id)
    assert (job.status, job.done, job.failed) == (JobStatus.SUCCEEDED, len(texts), 1)


class DefectiveEngine(CountingEngine):
    """An engine with a defect outside of scoring: the first read of its identity raises."""

    asked = 0

    @property
    def identity(self) -> str:
        """See `Engine`."""
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError(" ".join(["secret", "text"]))
        return self._given

    @identity.setter
    def identity(self, given: str) -> None:
        self._given = given


def test_defect_ends_as_an_error_of_each_text(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in Sentiq ends a chunk with `internal_error` for each line; the error's message is not logged."""
    job_id = bench.job(["one", "two"], size=2)
    Scorer(DefectiveEngine(), bench.cache, bench.running, bench.turns).score(
        {"tag": TAG, "job": job_id, "n": 0}, f"{job_id}.0"
    )
    assert bench.outcomes(job_id) == [Failed("internal_error")] * 2
    assert bench.kept.get(job_id).status == JobStatus.FAILED
    assert "RuntimeError" in caplog.text
    assert "secret text" not in caplog.text


def test_defect_is_told_to_callers(bench: Bench) -> None:
    """A caller whose text meets a defect in Sentiq gets the error at once, and nothing is cached."""
    key = digest("one")
    bench.cache.claim(None, TAG, [key], "sentiq:r:test")
    Scorer(DefectiveEngine(), bench.cache, bench.running, bench.turns).score({"tag": TAG, "texts": ["one"]}, "chunk")
    reply = bench.cache.await_reply("sentiq:r:test", timeout_s=5)
    assert reply is not None
    assert reply.outcomes == {key: Failed("internal_error")}
    assert bench.redis.keys("sentiq:p:*") == []
