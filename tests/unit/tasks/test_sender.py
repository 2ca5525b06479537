"""Claiming, sending and giving up callers' texts, on a real server."""

from __future__ import annotations

import pytest
import redis

from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import waiting
from tasks.settings import Settings
from tasks.store.cache import PredictionCache
from tasks.store.memory import Memory
from tasks.store.outcomes import Answer, Scored
from tasks.store.presence import KnownModel, Presence
from tasks.submit.recent import RecentPredictions
from tasks.submit.sender import TextSender
from tasks.tracing import Origin
from tests.support.stack import Stack
from tests.unit.tasks.test_presence import MARK

TAG = MARK.tag
GOOD = Scored((0.1, 0.2, 0.7), False)
NOWHERE = "unix:///nowhere/valkey.sock"


class Web:
    """The sending part of a web process."""

    def __init__(self, server: Stack, name: str, broker_url: str) -> None:
        self.cache = PredictionCache(server.redis, ttl_s=60)
        self.recent = RecentPredictions()
        app = create_celery(Settings(redis_url=server.url, celery_broker_url=broker_url))
        self.sender = TextSender(
            self.cache,
            ChunkSender(app, server.default_model),
            KnownModel(Presence(server.redis), TAG),
            self.recent,
            tag=TAG,
            reply_key=f"sentiq:r:{name}",
            memory=Memory(server.redis),
        )


@pytest.fixture
def web(server: Stack) -> Web:
    """A web process on an empty server with a worker mark."""
    Presence(server.redis).announce(MARK)
    return Web(server, "web", server.url)


def marks(server: Stack) -> set[str]:
    """The digests of all texts with an in-flight mark."""
    return {key.decode().rpartition(":")[2] for key in server.redis.scan_iter("sentiq:f:*")}


def test_claim(server: Stack, web: Web) -> None:
    """A claim finds each text known, to be sent here, or under way elsewhere; known predictions are remembered."""
    web.cache.settle(MARK.model, TAG, {"known": GOOD})
    Web(server, "another", server.url).sender.claim({"elsewhere": "text"})
    known, to_send = web.sender.claim({"known": "text", "mine": "text", "elsewhere": "text"})
    assert known == {"known": Answer(GOOD, MARK.model, cached=True)}
    assert list(to_send) == ["mine"]
    assert marks(server) == {"mine", "elsewhere"}
    assert web.recent.get(MARK.model, "known") == GOOD
    assert web.recent.get(MARK.model, "mine") is None


def test_send(server: Stack, web: Web) -> None:
    """Texts are sent as one message into the callers' queue, and their marks stay."""
    texts = {"a": "text a", "b": "text b"}
    web.sender.claim(texts)
    web.sender.send(texts, [Origin(("request",)), Origin()])
    assert waiting(server.redis, "interactive") == 1
    assert marks(server) == {"a", "b"}


def test_failed_sending_gives_the_marks_back(server: Stack) -> None:
    """Without the broker, sending raises and leaves no marks, which would keep other processes from sending."""
    web = Web(server, "web", NOWHERE)
    web.sender.claim({"a": "text"})
    assert marks(server) == {"a"}
    with pytest.raises(redis.RedisError):
        web.sender.send({"a": "text"}, [])
    assert marks(server) == set()


def test_give_up(server: Stack, web: Web) -> None:
    """Giving up ends a claim, or returns its text if another process relies on it and it has to be sent."""
    web.sender.claim({"mine": "text", "relied on": "text"})
    Web(server, "another", server.url).sender.claim({"relied on": "text"})
    assert web.sender.give_up(["mine", "relied on"]) == ["relied on"]
    assert marks(server) == {"relied on"}
