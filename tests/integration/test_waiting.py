"""Callers who cannot be answered at once get the address of a job, or are told when to come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.keys import keys_without_end
from tests.support.stack import Stack
from tests.support.texts import new_text
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def _workerless() -> Iterator[Stack]:
    stack = Stack(WEB_CONCURRENCY=1, QUEUE_LIMIT=4, PREDICT_TIMEOUT=0.2)
    stack.start()
    yield stack
    stack.close()


@pytest.fixture
def workerless(_workerless: Stack) -> Iterator[Stack]:
    """A service without a worker, in which 4 texts may wait, for 0.2 s. A key that is left without a TTL fails the
    test.
    """
    yield _workerless
    leaked = keys_without_end(_workerless.redis)
    assert not leaked, f"keys without a TTL: {leaked}"


def test_worker_away_then_back(make_stack: Callable[..., Stack]) -> None:
    """Without a worker a caller gets 202 and an address; once there is a worker, the answer is at that address."""
    stack = make_stack(WEB_CONCURRENCY=1, PREDICT_TIMEOUT=0.3).start()
    text = new_text()
    answer = stack.predict(text)
    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json()["links"]["self"]
    assert int(answer.headers["Retry-After"]) >= 1
    job = answer.json()
    assert (job["status"], job["total"], job["done"]) == ("queued", 1, 0)
    assert [item["status"] for item in stack.items(job)] == ["pending"]
    stack.start_worker("batch")
    stack.start_worker("interactive")
    assert stack.ended(job)["status"] == "succeeded"
    (item,) = stack.items(job)
    assert item["text"] == text
    assert item["label"] == "POSITIVE"
    wait_until(lambda: stack.predict(text).json()["cached"], what="the web process to know the workers' model")
    again = stack.predict(text).json()
    assert again["scores"] == item["scores"]
    assert stack.predict(new_text()).status_code == 200


def test_respond_async(service: Stack) -> None:
    """With `respond-async` an unknown text gets 202, with the preference marked as applied, and a cached one 200."""
    text = new_text()
    answer = service.predict(text, prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    service.ended(answer.json())
    known = service.predict(text, prefer="respond-async")
    assert known.status_code == 200
    assert known.json()["cached"]


@pytest.mark.parametrize(
    "prefer", ["wait=0", "respond-async, wait=0", "WAIT=0", 'wait="0"', "handling=lenient, wait=0"]
)
def test_do_not_wait(service: Stack, prefer: str) -> None:
    """`wait=0` is 202 at once, however it is spelt."""
    assert service.predict(new_text(), prefer=prefer).status_code == 202


@pytest.mark.parametrize(
    "prefer", ["wait=30", "respond-async, wait=30", "wait=999999", "wait=x", "nonsense;;==,", "wait=-1", ""]
)
def test_wait_long_enough(service: Stack, prefer: str) -> None:
    """A caller who is willing to wait, or whose preference is not understood, gets an answer."""
    assert service.predict(new_text(), prefer=prefer).status_code == 200


def test_wait_outlasts_the_timeout(workerless: Stack) -> None:
    """`Prefer: wait` waits longer than PREDICT_TIMEOUT: if the worker comes late, the answer is still a 200."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(workerless.predict, new_text(), prefer="wait=60")
        worker = workerless.start_worker("interactive")
        assert waiting.result().status_code == 200
    worker.terminate()


def wait_until_empty(stack: Stack) -> None:
    """Waits until no text waits: texts whose callers have left keep their places until their chunk has expired."""
    wait_until(
        lambda: stack.metric("sentiment_waiting_texts") == 0, what="the last callers' places to be free", timeout_s=40
    )


def test_queue_full(workerless: Stack) -> None:
    """As many texts as QUEUE_LIMIT allows may wait; other callers get 429 with a time to come back, and are counted."""
    wait_until_empty(workerless)
    before = workerless.metric("sentiment_rejected_total", code="queue_full")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: workerless.predict(new_text(), prefer="wait=3"), range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] * 4 + [429] * 6
    for refused in (answer for answer in answers if answer.status_code == 429):
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.json()["code"] == "queue_full"
        assert (refused.headers["RateLimit-Limit"], refused.headers["RateLimit-Remaining"]) == ("4", "0")
        assert "4 texts may wait here at once" in refused.json()["detail"]
    assert workerless.metric("sentiment_rejected_total", code="queue_full") - before == 6
    wait_until_empty(workerless)
    assert workerless.predict(new_text()).status_code == 202


def test_same_text_takes_one_place(workerless: Stack) -> None:
    """However many callers wait for one text, it takes one place."""
    text = new_text()
    wait_until_empty(workerless)
    with ThreadPoolExecutor(20) as pool:
        statuses = {
            answer.status_code for answer in pool.map(lambda _: workerless.predict(text, prefer="wait=1"), range(20))
        }
    assert statuses == {202}


def test_one_job_does_not_fill_the_queue(workerless: Stack) -> None:
    """Jobs do not count for QUEUE_LIMIT: they wait in Redis, and are accepted without a worker."""
    job = workerless.submit([new_text() for _ in range(50)])
    assert job["status"] == "queued"


def test_longest_page(workerless: Stack) -> None:
    """A page of JSON has 5,000 lines at most, and the next one begins where it ends."""
    job = workerless.submit([""] * 5001)
    page = workerless.http.get(f"{job['links']['results']}?limit=6000").json()
    assert len(page["items"]) == 5000
    assert [item["position"] for item in workerless.http.get(page["next"]).json()["items"]] == [5000]
