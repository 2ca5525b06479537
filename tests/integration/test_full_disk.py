"""A full disk under the append-only file: what is known is answered, what needs room is refused in so many words."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.integration.test_patch_full_server import full
from tests.support.disks import small_disk
from tests.support.stack import Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until


def test_known_texts_are_answered(make_stack: Callable[..., Stack]) -> None:
    """A web process that starts while the disk is full answers, from Redis, what Redis knows, alone or among unknown
    texts; the rest is 503 `storage_full`, at once. When there is room again, everything is accepted.
    """
    stack = make_stack(WEB_CONCURRENCY=1)
    with small_disk(stack.folder / "valkey", "16m"):
        stack.start("interactive", "batch")
        known = [f"a known day {number}" for number in range(35)]
        for text in known:
            assert stack.predict(text, prefer="wait=20").status_code == 200
        job = stack.ended(stack.submit(["good", "bad"]))
        assert stack.web is not None
        stack.web.terminate()
        with full(stack):
            web = stack.start_web()
            answer = stack.predict(known[0])
            assert (answer.status_code, answer.json()["cached"]) == (200, True)
            for body in ({"text": "nobody knows this"}, {"texts": ["nor this", "nor that"]}):
                path = "/predict" if "text" in body else "/batch_predict"
                refused = stack.http.post(path, json=body)
                assert (refused.status_code, refused.json()["code"]) == (503, "storage_full"), refused.text
                assert int(refused.headers["Retry-After"]) > 0
                assert refused.elapsed.total_seconds() < 1  # the broker, if it were asked, would take two
            pairs = zip(known[5:], new_texts(30), strict=True)
            with ThreadPoolExecutor(20) as pool:  # many at once, so that known and unknown texts are claimed together
                statuses = pool.map(lambda text: stack.predict(text).status_code, itertools.chain(*pairs))
            assert list(statuses) == [200, 503] * 30
            prefer = {"Prefer": "return=representation"}
            batch = stack.http.post("/batch_predict", json={"texts": known[:5]}, headers=prefer)
            assert batch.status_code == 200, batch.text
            assert [item["label"] for item in stack.items(job)] == ["POSITIVE", "NEGATIVE"]
            assert web.log.count("Redis stores nothing, as its disk is full") == 1
        wait_until(
            lambda: stack.predict("nobody knows this", prefer="wait=30").status_code == 200,
            what="an unknown text's answer",
        )
        assert stack.ended(stack.submit(["one more", "and more"]))["status"] == "succeeded"
        for process in (web, *stack.workers, stack.server):
            assert process is not None
            process.kill()
