"""The protocols for redis-py agree with redis-py itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.client import PubSub
from redis.commands.core import Script

from tasks.store import client
from tasks.store.connections import connect
from tests.support.stack import Stack

THEIRS: dict[type, type] = {
    client.Client: redis.Redis,
    client.Pipeline: redis.client.Pipeline,
    client.Channel: PubSub,
    client.Script: Script,
}


def methods() -> Iterator[tuple[str, Any, Any]]:
    """Each method of a protocol, with the method of redis-py that it stands for."""
    for ours, theirs in THEIRS.items():
        for name, method in vars(ours).items():
            if inspect.isfunction(method) and (name == "__call__" or not name.startswith("_")):
                yield f"{ours.__name__}.{name}", method, getattr(theirs, name)


@pytest.mark.parametrize(("method", "theirs"), [pytest.param(*pair, id=name) for name, *pair in methods()])
def test_signature(method: Any, theirs: Any) -> None:
    """redis-py's methods take the arguments of the protocols, under the same names."""
    parameters = list(inspect.signature(method).parameters.values())
    taken = inspect.signature(theirs)
    by_name = {one.name: None for one in parameters if one.kind is one.KEYWORD_ONLY}
    taken.bind(*(one.name for one in parameters if one.name not in by_name), **by_name)
    if not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        taken.bind(**{one.name: None for one in parameters})


def test_answers(server: Stack) -> None:
    """The answers of a real server have the types in the protocol."""
    ours = connect(server.url, timeout_s=1.0, blocking=True)
    assert ours.ping() is True
    assert (ours.set("a", "1", ex=60), ours.set("a", b"2", px=60_000, nx=True)) == (True, None)
    assert (ours.get("a"), ours.get("b"), ours.mget(["a", "b"])) == (b"1", None, [b"1", None])
    assert (ours.expire("a", 60), ours.delete("a", "b")) == (True, 1)
    pipe = ours.pipeline(transaction=True)
    pipe.hset("h", mapping={"field": 1})
    pipe.sadd("s", "one", "two")
    pipe.zadd("z", {"member": 1.5})
    for name in ("h", "s", "z"):
        pipe.expire(name, 60)
    assert pipe.execute() == [1, 2, 1, True, True, True]
    assert (ours.hget("h", "field"), ours.hget("h", "none")) == (b"1", None)
    assert (ours.hgetall("h"), ours.hmget("h", ["field", 2])) == ({b"field": b"1"}, [b"1", None])
    assert (ours.smembers("s"), ours.srem("s", "one")) == ({b"one", b"two"}, 1)
    assert ours.zadd("z", {b"member": 2.5, "other": 1.0}, xx=True) == 0
    assert ours.zrangebyscore("z", 0, "+inf") == [b"member"]
    assert ours.zrevrange("z", 0, -1, withscores=True) == [(b"member", 2.5)]
    assert ours.zrevrangebyscore("z", 9, "-inf", start=0, num=1, withscores=True) == [(b"member", 2.5)]
    assert ours.zrem("z", "member") == 1
    server.redis.rpush("l", "pushed")
    assert ours.blpop(["l"], timeout=1) == (b"l", b"pushed")
    assert ours.blpop(["l"], timeout=0.01) is None
    with ours.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe("c")
        assert channel.get_message(timeout=0.0) is None
        server.redis.publish("c", "told")
        message = None
        while message is None:
            message = channel.get_message(timeout=1.0)
        assert message["data"] == b"told"


def test_more_callers_than_connections(server: Stack) -> None:
    """Whoever asks while all connections of a client are in use gets an answer as soon as one is free; if none is in
    time, it is as if the server were away.
    """
    asked = connect(server.url, timeout_s=0.5)
    pool: Any = asked.connection_pool  # type: ignore[attr-defined]
    taken = [pool.get_connection() for _ in range(pool.max_connections)]
    with pytest.raises(redis.ConnectionError):
        asked.get("nothing")
    patient = connect(server.url, timeout_s=30.0)
    pool = patient.connection_pool  # type: ignore[attr-defined]
    held = [pool.get_connection() for _ in range(pool.max_connections)]
    with ThreadPoolExecutor(8) as others:
        waiting = [others.submit(patient.get, "nothing") for _ in range(8)]
        assert not any(one.done() for one in waiting)
        pool.release(held.pop())
        assert [one.result(timeout=30) for one in waiting] == [None] * 8
    for connection in (*taken, *held):
        connection.disconnect()
