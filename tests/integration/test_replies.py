"""The reply is a hint, the cache is the truth: a lost reply delays an answer, and the answer is never lost."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.outcomes import Scored, digest
from tests.support.stack import Stack
from tests.support.waiting import wait_until

REPLIES_ASTRAY = """
import tasks.store.scripts
source = tasks.store.scripts.source
def astray(package, name):
    script = source(package, name)
    if name == "cache_settle":
        for call in ("'RPUSH', ", "'EXPIRE', "):
            assert call + "reply_key" in script
            script = script.replace(call + "reply_key", call + "'sentiq:r:nobody'")
    return script
tasks.store.scripts.source = astray
from tasks.worker import main
main(["interactive"])
"""


def test_lost_reply(make_stack: Callable[..., Stack]) -> None:
    """If the reply never comes, the caller still gets the answer, which is found in the cache."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    worker = stack.start_process("interactive", "-c", REPLIES_ASTRAY)
    stack.workers.append(worker)
    stack.wait_for_worker(worker)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: stack.predict(f"good {uuid.uuid4().hex}", prefer="wait=20"), range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert stack.texts_scored() == 10


def test_replies_flushed(make_stack: Callable[..., Stack]) -> None:
    """If Redis loses everything while a caller waits, the text is scored a second time in a job, and no answer is
    wrong.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.5").start("interactive", "batch")
    text = f"good {uuid.uuid4().hex}"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stack.predict, text, prefer="wait=3")
        wait_until(lambda: next(stack.redis.scan_iter("sentiq:a:*"), None), what="the chunk to be begun")
        stack.redis.flushall()
        answer = waiting.result()
    if answer.status_code == 202:
        (item,) = stack.items(stack.ended(answer.json()))
        assert item["label"] == "POSITIVE"
    else:
        assert answer.json()["label"] == "POSITIVE"
    assert wait_until(
        lambda: stack.predict(f"good {uuid.uuid4().hex}").status_code == 200, what="the next caller's answer"
    )


def test_foreign_replies(make_stack: Callable[..., Stack]) -> None:
    """Replies that cannot be read, that nobody waits for, or of a later version do not prevent later ones from being
    read.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start("interactive")
    keys: set[bytes] = set()

    def reply_key() -> bytes | None:
        # The process's reply key is in the in-flight marks of its texts.
        for key in stack.redis.scan_iter("sentiq:f:*"):
            keys.update(stack.redis.smembers(key))
        return next(iter(keys), None)

    with ThreadPoolExecutor(1) as pool:
        worker = stack.workers[0]
        worker.kill()
        waiting = pool.submit(stack.predict, f"good {uuid.uuid4().hex}", prefer="wait=40")
        key = wait_until(reply_key, what="a mark with the web process's reply key")
        unknown = {"model": "stub@1/stub", "rows": {digest("nobody's"): [0.1, 0.2, 0.7, 0]}}
        for message in ("nonsense", "{}", "[]", '{"model": 1, "rows": {"x": [1]}}', '{"v": 2}', json.dumps(unknown)):
            stack.redis.rpush(key, message)
        stack.redis.expire(key, 60)
        stack.start_worker("interactive")
        assert waiting.result().status_code == 200


def test_answer_known_before_it_is_sent(service: Stack) -> None:
    """A text that another process has stored in the meantime is answered from the cache, without the engine."""
    text = uuid.uuid4().hex
    assert service.predict(f"warm {text}").status_code == 200
    before = service.texts_scored()
    cache = PredictionCache(connect(service.url, timeout_s=1), ttl_s=60)
    cache.settle("stub@1/stub", service.settings().model_tag, {digest(text): Scored((0.125, 0.25, 0.625), False)})
    answer = service.predict(text).json()
    assert answer["scores"] == {"NEGATIVE": 0.125, "NEUTRAL": 0.25, "POSITIVE": 0.625}
    assert service.texts_scored() == before
