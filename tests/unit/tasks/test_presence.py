"""Worker marks, and what a web process knows about workers, on a real server."""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from tasks.store.connections import connect
from tasks.store.presence import MARK_TTL_S, REFRESH_S, KnownModel, Presence, mark_keys
from tasks.wire import WorkerMark
from tests.support.stack import Stack

MARK = WorkerMark("interactive-1", "interactive", "stub@1/stub", "stub@-", "cpu", 100.0, 1.0, "here")


@pytest.fixture
def presence(server: Stack) -> Presence:
    """Presence on an empty server."""
    return Presence(server.redis)


def test_announced_until_withdrawn(presence: Presence) -> None:
    """An announced worker is listed with all its facts until it withdraws."""
    batch = replace(MARK, id="batch-2", role="batch", started_at=0.5)
    presence.announce(MARK)
    presence.announce(batch)
    assert presence.ready() == [batch, MARK]
    presence.withdraw(batch)
    assert presence.ready() == [MARK]


def test_marks_expire(presence: Presence, server: Stack) -> None:
    """A mark that is not refreshed expires, well after the next refresh was due; then the worker is not listed."""
    presence.announce(MARK)
    for key in mark_keys("interactive-1"):
        assert REFRESH_S * 3 < server.redis.ttl(key) <= MARK_TTL_S
        server.redis.delete(key)
    assert presence.ready() == []
    assert server.redis.smembers("sentiq:workers") == set()


def test_foreign_id(presence: Presence, server: Stack) -> None:
    """An id that is not UTF-8, of whatever program has written it, does not keep the workers from being listed."""
    presence.announce(MARK)
    server.redis.sadd("sentiq:workers", b"\xff")
    assert presence.ready() == [MARK]


def test_marks_of_the_version_before(presence: Presence, server: Stack) -> None:
    """A worker of the version before is listed, with the host from its id.

    A mark for web processes of that version has exactly the fields that they know.
    """
    key, key_before = mark_keys("batch-a-host-7-abcdef")
    told: dict[str, Any] = {
        "id": "batch-a-host-7-abcdef",
        "role": "batch",
        "model": "stub@1/stub",
        "tag": "stub@-",
        "device": "cpu",
    }
    told |= {"texts_per_s": 100.0, "started_at": 1.0}
    server.redis.set(key_before, json.dumps(told), ex=MARK_TTL_S)
    server.redis.sadd("sentiq:workers", told["id"])
    (found,) = presence.ready()
    assert found == WorkerMark(**told, host="a-host")
    presence.announce(found)
    assert json.loads(server.redis.get(key_before)) == told
    assert json.loads(server.redis.get(key)) == told | {"host": "a-host", "v": 1, "description": None}


@pytest.mark.parametrize("mark", [b'{"v":2}', b"nonsense"])
def test_unreadable_mark(presence: Presence, server: Stack, caplog: pytest.LogCaptureFixture, mark: bytes) -> None:
    """A worker whose mark cannot be read is left out, and that is logged only once."""
    worker = f"batch-{uuid.uuid4().hex}"
    presence.announce(MARK)
    server.redis.set(mark_keys(worker)[0], mark, ex=MARK_TTL_S)
    server.redis.sadd("sentiq:workers", worker)
    for _ in range(3):
        assert presence.ready() == [MARK]
    assert [worker in record.getMessage() for record in caplog.records] == [True]
    assert server.redis.sismember("sentiq:workers", worker)


def test_workers_are_shared_among_busy_web_processes(presence: Presence, server: Stack) -> None:
    """A web process knows the workers for each busy web process; one that stops asking soon does not count."""
    for number in range(3):
        presence.announce(replace(MARK, id=f"interactive-{number}"))
    first, second = (KnownModel(presence, "stub@-", max_age_s=0, me=name) for name in ("a", "b"))
    assert [known.identity and known.share("interactive") for known in (first, second, first)] == [3.0, 1.5, 1.5]
    server.redis.zadd("sentiq:webs", {"b": 1.0})
    assert first.identity
    assert first.share("interactive") == 3.0
    assert first.share("batch") == 1.0


def test_identity_is_the_interactive_workers(presence: Presence) -> None:
    """The model that callers get is that of the interactive worker, and stays known when that worker is gone."""
    presence.announce(replace(MARK, role="batch"))
    assert presence.identity("stub@-") is None
    presence.announce(MARK)
    presence.withdraw(MARK)
    assert presence.identity("stub@-") == "stub@1/stub"
    assert presence.identity("other@-") is None


def test_known_model(presence: Presence) -> None:
    """A web process knows the identity and rates of its model's workers, and a cautious guess for an unknown role."""
    presence.announce(replace(MARK, id="other", tag="other@-", texts_per_s=9000.0))
    known = KnownModel(presence, "stub@-", max_age_s=0)
    assert known.identity is None
    guess = known.texts_per_s("interactive")
    assert 1 < guess < 100
    presence.announce(MARK)
    assert known.identity == "stub@1/stub"
    assert (known.texts_per_s("interactive"), known.texts_per_s("batch")) == (100.0, guess)


def test_asked_once_in_a_while(presence: Presence) -> None:
    """Redis is not asked again at once: a change is seen only after `max_age_s`."""
    presence.announce(MARK)
    known = KnownModel(presence, "stub@-", max_age_s=3600)
    assert known.identity == "stub@1/stub"
    presence.announce(replace(MARK, model="stub@2/stub"))
    assert known.identity == "stub@1/stub"


def test_first_callers_all_know(presence: Presence) -> None:
    """When many callers ask a new process at once, none is told that there is no model while Redis is being asked."""
    presence.announce(MARK)
    for _ in range(20):
        known, start = KnownModel(presence, "stub@-"), threading.Barrier(8)

        def ask(_: int, known: KnownModel = known, start: threading.Barrier = start) -> str | None:
            start.wait()
            return known.identity

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(8))) == {"stub@1/stub"}


def test_server_away() -> None:
    """Without the server, each caller gets the error."""
    away = KnownModel(Presence(connect("unix:///nowhere/valkey.sock", timeout_s=0.5)), "stub@-")
    for _ in range(2):
        with pytest.raises(redis.RedisError):
            away.identity  # noqa: B018
