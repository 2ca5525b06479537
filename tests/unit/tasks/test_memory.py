"""What a server refuses when its memory is full or nearly so; and what goes on: known texts, marks, running jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from tasks.errors import StorageFull
from tasks.jobs.job import Entry, JobStatus
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import waiting
from tasks.store.connections import connect
from tasks.store.memory import CALLERS_SHARE, JOBS_SHARE, Memory
from tasks.store.outcomes import digest
from tasks.store.presence import KnownModel, Presence
from tasks.submit.away import redis_or_unavailable
from tasks.submit.recent import RecentPredictions
from tasks.submit.sender import TextSender
from tests.support.jobs import MODEL, TakenIn
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.unit.tasks.test_presence import MARK
from tests.unit.tasks.test_scoring import TAG, Bench, direct

Filled = Callable[[float], None]


@pytest.fixture
def filled(server: Stack) -> Iterator[Filled]:
    """Lets a share of the server's memory be used: more than 1 is full, 0 is without a limit."""
    (before,) = server.redis.config_get("maxmemory").values()
    # So that a share of it is more than the buffers of connections; in parts, as the buffer of a large one counts too.
    ballast = [f"ballast:{i}" for i in range(30)]
    for name in ballast:
        server.redis.set(name, b"x" * 1_000_000, ex=600)

    def fill(share: float) -> None:
        used = int(server.redis.info("memory")["used_memory"])
        server.redis.config_set("maxmemory", int(used / share) if share else 0)

    yield fill
    server.redis.config_set("maxmemory-policy", "noeviction")
    server.redis.config_set("maxmemory", before)
    server.redis.delete(*ballast)


@pytest.mark.parametrize(
    ("share", "jobs", "callers"), [(0, True, True), (0.5, True, True), (0.82, False, True), (1.5, False, False)]
)
def test_shares(server: Stack, filled: Filled, share: float, jobs: bool, callers: bool) -> None:
    """Jobs are the first that have no room, then callers who wait; a server without a limit has room for all."""
    filled(share)
    assert Memory(server.redis).has_room(JOBS_SHARE) is jobs
    assert Memory(server.redis).has_room(CALLERS_SHARE) is callers


def test_a_server_that_evicts_has_room(server: Stack, filled: Filled) -> None:
    """A cache that evicts is always full, and makes room by itself."""
    server.redis.config_set("maxmemory-policy", "allkeys-lru")
    filled(0.99)
    assert Memory(server.redis).has_room(JOBS_SHARE)


def test_a_server_that_is_away() -> None:
    """A server that is away is told at once, before anything is written: a caller waits for one timeout, not two."""
    memory = Memory(connect("unix:///nowhere/valkey.sock", timeout_s=0.2))
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            memory.has_room(JOBS_SHARE)


def test_a_user_who_may_not_ask(server: Stack, filled: Filled) -> None:
    """If the user of Redis may not ask how much is used, nothing is refused before the server itself does."""
    filled(0.95)
    server.redis.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "-info")
    try:
        client = connect(server.url.replace("unix://", "unix://narrow:secret@"), timeout_s=1.0)
        assert Memory(client).has_room(JOBS_SHARE)
    finally:
        server.redis.execute_command("ACL", "DELUSER", "narrow")


def test_asked_now_and_then(server: Stack, filled: Filled) -> None:
    """The server is not asked for each write, and a change is soon noticed."""
    memory = Memory(server.redis)

    def asked() -> int:
        return int(server.redis.info("commandstats")["cmdstat_info"]["calls"])

    before = asked()
    for _ in range(100):
        assert memory.has_room(JOBS_SHARE)
    assert asked() - before <= 3
    filled(1.5)
    wait_until(lambda: not memory.has_room(JOBS_SHARE), what="the full memory to be noticed", timeout_s=2)


@pytest.fixture
def bench(server: Stack) -> Bench:
    """The job store, the cache and a scorer on an empty server."""
    return Bench(server)


def test_jobs_are_refused_before_it_is_full(bench: Bench, filled: Filled) -> None:
    """With little memory left no job begins and none goes on coming in; what was accepted runs to its end."""
    running = bench.job(["good", "bad", "plain", "more"], size=1, window=1)
    coming = TakenIn(bench.incoming, bench.cache)
    filled(0.85)
    wait_until(lambda: not Memory(bench.redis).has_room(JOBS_SHARE), what="little room")
    bench.incoming._memory._asked_at = -1e9
    with pytest.raises(StorageFull):
        coming.receive([Entry("a")])
    with pytest.raises(StorageFull):
        TakenIn(bench.incoming, bench.cache)
    for number in range(4):
        bench.run(running, number)
    assert bench.kept.get(running).status is JobStatus.SUCCEEDED
    assert bench.outcomes(running) == [direct(text) for text in ("good", "bad", "plain", "more")]


def test_predictions_of_jobs_are_not_cached_then(bench: Bench, filled: Filled) -> None:
    """With little memory left, the predictions of jobs stay out of the cache; those of callers who wait are cached."""
    first, second = (bench.job([text]) for text in ("good", "bad"))
    bench.run(first, 0)
    filled(0.85)
    bench.cache._memory._asked_at = -1e9
    bench.run(second, 0)
    bench.scorer.score({"tag": TAG, "texts": ["plain"]}, "c1")
    known = bench.cache.get_many(MODEL, [digest(text) for text in ("good", "bad", "plain")])
    assert known == [direct("good"), None, direct("plain")]


def test_a_full_server_lets_go(bench: Bench, filled: Filled) -> None:
    """Even on a server that refuses every write that takes room, jobs are cancelled and removed, which makes room."""
    ended, running = bench.job(["good"]), bench.job(["bad", "plain"], size=1)
    bench.run(ended, 0)
    filled(2)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        bench.redis.set("a", "b", ex=1)
    bench.kept.remove(ended)
    assert bench.kept.cancel(running).status is JobStatus.CANCELLED
    bench.kept.remove(running)
    assert bench.redis.keys("sentiq:j:*") == []


def test_a_full_server_is_told(bench: Bench, filled: Filled) -> None:
    """What a full server refuses is told as that, not as a server that is away."""
    filled(2)
    with pytest.raises(StorageFull), redis_or_unavailable():
        bench.redis.set("a", "b", ex=1)


def test_workers_are_there_while_it_is_full(server: Stack, filled: Filled) -> None:
    """Workers and web processes go on telling that they are there."""
    presence = Presence(server.redis)
    presence.announce(MARK)
    presence.webs("one")
    filled(2)
    server.redis.delete(*server.redis.keys("sentiq:w*:*"))
    presence.announce(MARK)
    assert [mark.id for mark in presence.ready()] == [MARK.id]
    assert presence.webs("two") == 2


def test_known_texts_beside_unknown_ones(server: Stack, bench: Bench, filled: Filled) -> None:
    """In one claim, known texts are answered, and only unknown ones are refused; of these no mark is left."""
    Presence(server.redis).announce(MARK)
    bench.cache.settle(MARK.model, MARK.tag, {"known": direct("good")})
    sender = TextSender(
        bench.cache,
        ChunkSender(create_celery(server.settings()), server.default_model),
        KnownModel(Presence(server.redis), MARK.tag, me="me"),
        RecentPredictions(),
        tag=MARK.tag,
        reply_key="sentiq:r:me",
        memory=Memory(server.redis),
    )
    filled(2)
    known, to_send = sender.claim({"unknown": "a", "known": "good"})
    assert list(known) == ["known"]
    with pytest.raises(StorageFull):
        sender.send(dict.fromkeys(to_send, "a"), [])
    assert server.redis.keys("sentiq:f:*") == []
    assert waiting(server.redis, "interactive") == 0


def test_a_worker_waits_for_room(bench: Bench, filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot store a chunk because there is no room waits for it, however long: nothing is lost."""
    monkeypatch.setattr("tasks.work.scoring._STORE_TRIES_S", ())
    monkeypatch.setattr("tasks.work.scoring._NO_ROOM_PAUSE_S", 0.01)
    job_id = bench.job(["good"])
    tries: list[int] = []
    store_results = bench.running.store_results

    def counted(*arguments: object) -> None:
        tries.append(1)
        store_results(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.running, "store_results", counted)
    score = bench.engine.score

    def then_full(texts: list[str]) -> object:
        filled(2)
        return score(texts)

    monkeypatch.setattr(bench.engine, "score", then_full)
    worker = threading.Thread(target=bench.run, args=(job_id, 0))
    worker.start()
    wait_until(lambda: len(tries) > 20, what="the worker to have tried")
    assert bench.kept.get(job_id).done == 0
    filled(0)
    worker.join(5)
    assert bench.kept.get(job_id).status is JobStatus.SUCCEEDED
