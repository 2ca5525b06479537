"""Workers' replies, and look-ups of lost ones, on a real server."""

from __future__ import annotations

import pytest

from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.outcomes import Answer, Failed, Scored
from tasks.store.presence import KnownModel, Presence
from tasks.submit.coalescer import Claimed, Coalescer
from tasks.submit.queue_limit import QueueLimit
from tasks.submit.recent import RecentPredictions
from tasks.submit.replies import LOST_REPLY_S, Replies
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.unit.tasks.test_presence import MARK

TAG = MARK.tag
REPLY_KEY = "sentiq:r:web"
GOOD = Scored((0.1, 0.2, 0.7), False)


class Web:
    """The listening part of a web process; tests take its coalescer's steps and set its clock."""

    def __init__(self, server: Stack) -> None:
        self.now = 1000.0
        self.cache = PredictionCache(server.redis, ttl_s=60)
        self.recent = RecentPredictions()
        self.coalescer: Coalescer[Answer] = Coalescer(
            lambda texts: Claimed({}, self.cache.claim(None, TAG, list(texts), REPLY_KEY).to_send),
            lambda *_: None,
            lambda keys: (),
            queue_limit=QueueLimit(max_texts=100),
            chunk_limit=lambda _: 100,
            max_under_way=lambda: 100,
            expire_after_s=60,
            clock=lambda: self.now,
            start=lambda run: None,
        )
        self.replies = Replies(
            PredictionCache(connect(server.url, timeout_s=1.0, blocking=True), ttl_s=60),
            self.cache,
            KnownModel(Presence(server.redis), TAG),
            self.recent,
            self.coalescer,
            reply_key=REPLY_KEY,
            clock=lambda: self.now,
        )

    def send_all(self) -> None:
        """Sends all texts that have gathered."""
        while self.coalescer.take_step(wait=False):
            pass


@pytest.fixture
def web(server: Stack) -> Web:
    """A web process on an empty server with a worker mark."""
    Presence(server.redis).announce(MARK)
    return Web(server)


def test_reply(web: Web) -> None:
    """A worker's reply reaches the callers of its texts; its predictions are remembered, its failures are not."""
    good, bad, later = (web.coalescer.submit(key, "text") for key in ("good", "bad", "later"))
    web.send_all()
    web.cache.settle(MARK.model, TAG, {"good": GOOD, "bad": Failed("text_failed")})
    web.replies.receive()
    assert good.result(0) == Answer(GOOD, MARK.model, cached=False)
    assert bad.result(0) == Answer(Failed("text_failed"), MARK.model, cached=False)
    assert not later.done()
    assert web.recent.get(MARK.model, "good") == GOOD
    assert web.recent.get(MARK.model, "bad") is None


def test_lost_reply(server: Stack, web: Web) -> None:
    """When no reply comes, texts that have waited longer than a reply takes are looked up in the cache, others not."""
    old = web.coalescer.submit("old", "text")
    web.send_all()
    web.now += LOST_REPLY_S + 0.1
    young, unknown = web.coalescer.submit("young", "text"), web.coalescer.submit("unknown", "text")
    web.send_all()
    web.now += 0.1
    web.cache.settle(MARK.model, TAG, {"old": GOOD, "young": GOOD})
    server.redis.delete(REPLY_KEY)
    web.replies.receive()
    assert old.result(0) == Answer(GOOD, MARK.model, cached=False)
    assert not young.done()
    web.now += LOST_REPLY_S + 0.1
    web.replies.receive()
    assert young.done()
    assert not unknown.done()


def test_looked_up_now_and_then(web: Web) -> None:
    """The cache is not asked in each round, but once in LOST_REPLY_S."""
    lost = web.coalescer.submit("lost", "text")
    web.send_all()
    web.now += LOST_REPLY_S + 0.1
    web.replies.receive()
    web.cache.settle(MARK.model, "another tag", {"lost": GOOD})  # which replies to nobody here
    web.now += LOST_REPLY_S - 0.1
    web.replies.receive()
    assert not lost.done()
    web.now += 0.2
    web.replies.receive()
    assert lost.done()


def test_unreadable_reply(server: Stack, web: Web) -> None:
    """After a reply that cannot be read, all texts are looked up at once, even new ones."""
    young = web.coalescer.submit("young", "text")
    web.send_all()
    web.now += 0.01
    web.cache.settle(MARK.model, "another tag", {"young": GOOD})  # which replies to nobody here
    server.redis.rpush(REPLY_KEY, "nonsense")
    web.replies.receive()
    assert young.result(0) == Answer(GOOD, MARK.model, cached=False)


def test_listens_on(server: Stack, web: Web) -> None:
    """Once started, it goes on listening, whatever is sent to it."""
    first = web.coalescer.submit("first", "text")
    web.send_all()
    web.replies.start()
    for message in ("nonsense", "{}", '{"model": 1, "rows": {"x": [1]}}'):
        server.redis.rpush(REPLY_KEY, message)
    server.redis.expire(REPLY_KEY, 60)
    web.cache.settle(MARK.model, TAG, {"first": GOOD})
    wait_until(first.done, what="the reply after those that cannot be read")
    assert first.result(0).outcome == GOOD
