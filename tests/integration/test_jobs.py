"""`/batch_predict` and its jobs on a running service: every line gets its answer, once, in order."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from tasks.queue.app import ChunkSender, create_celery
from tests.support.stack import Stack
from tests.support.texts import direct, new_texts
from tests.support.waiting import wait_until

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")


def scores(item: dict[str, Any]) -> tuple[float, ...]:
    """A line's scores in the order of the labels."""
    return tuple(item["scores"][label] for label in LABELS)


def test_mixed_lines(service: Stack) -> None:
    """Duplicates, known texts, empty ones, one that is too long and one that fails: each line has its own right answer,
    in order.
    """
    known = new_texts(1)[0]
    assert service.predict(known).status_code == 200
    a, b = new_texts(2)
    texts = [a, known, "", b, f"  {a} ", " \t", "x" * 100_001, f"poison {uuid.uuid4().hex}", a, "", known]
    before = service.texts_scored()
    job = service.ended(service.submit(texts))
    items = service.items(job)
    assert [item["position"] for item in items] == list(range(len(texts)))
    assert [item["text"] for item in items] == texts
    failed = {2: "empty_text", 5: "empty_text", 6: "text_too_long", 7: "text_failed", 9: "empty_text"}
    assert {item["position"]: item["error"]["code"] for item in items if item["status"] == "failed"} == failed
    done = [item for item in items if item["status"] == "done"]
    assert [scores(item) for item in done] == direct([item["text"] for item in done])
    assert {item["position"] for item in done if item["cached"]} == {1, 10}
    assert all(item["confidence"] == max(item["scores"].values()) for item in done)
    assert all(item["model"] == "stub@1/stub" for item in done)
    assert job["status"] == "succeeded"
    assert (job["total"], job["done"], job["failed"], job["cached"], job["duplicates"]) == (11, 11, 5, 2, 3)
    assert sum(job["labels"].values()) + job["failed"] == job["total"]
    for label in LABELS:
        assert job["labels"][label] == sum(item["label"] == label for item in done)
    assert service.texts_scored() - before == 2
    times = [datetime.fromisoformat(job[name]) for name in ("created_at", "started_at", "finished_at", "expires_at")]
    assert times == sorted(times)


def test_more_chunks_than_the_window(service: Stack) -> None:
    """A job with more chunks than may be in the queue at once ends complete, and its pages have every line once,
    whatever their size.
    """
    texts = new_texts(1100)
    job = service.submit(texts)
    facts = service.redis.hgetall(f"sentiq:j:{job['id']}")
    assert int(facts[b"chunks"]) > int(facts[b"window"])
    job = service.ended(job)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 1100, 0)
    pages = [service.items(job, limit=limit) for limit in (499, 500, 501, 5000)]
    for items in pages:
        assert [item["position"] for item in items] == list(range(1100))
        assert [item["text"] for item in items] == texts
    assert [scores(item) for item in pages[0]] == direct(texts)
    assert pages[1:] == pages[:-1]


def test_page_by_page(service: Stack) -> None:
    """Pages of one line lead through the whole job; a page past its end is empty and has no next."""
    texts = new_texts(5)
    job = service.ended(service.submit(texts))
    assert [item["text"] for item in service.items(job, limit=1)] == texts
    past = service.http.get(f"{job['links']['results']}?cursor=5").json()
    assert (past["items"], past["next"]) == ([], None)


def test_lines_while_running(service: Stack) -> None:
    """While a job runs, its lines can be read: those without an answer are pending, and their number only falls."""
    texts = new_texts(600)
    job = service.submit(texts)
    page = service.http.get(f"{job['links']['results']}?limit=5000").json()
    assert [item["text"] for item in page["items"]] == texts
    assert {item["status"] for item in page["items"]} <= {"pending", "done"}
    assert any(item["status"] == "pending" and "label" not in item for item in page["items"])
    seen = [page["job"]["done"]]

    def over() -> bool:
        now = service.http.get(job["links"]["self"]).json()
        seen.append(now["done"])
        return bool(now["status"] == "succeeded")

    wait_until(over, what="the job to end")
    assert seen == sorted(seen)
    assert seen[-1] == 600


def test_job_of_known_texts(service: Stack) -> None:
    """A job with only cached and invalid texts has ended by the time that it is accepted."""
    texts = new_texts(3)
    for text in texts:
        service.predict(text)
    job = service.submit([*texts, ""])
    assert (job["status"], job["done"], job["cached"], job["failed"]) == ("succeeded", 4, 3, 1)
    assert service.submit(["", " "])["status"] == "failed"


def test_answers_of_a_job_are_cached(service: Stack) -> None:
    """A text that a job has scored is a cache hit for a caller, with the same scores."""
    texts = new_texts(20)
    items = service.items(service.ended(service.submit(texts)))
    answers = [service.predict(text).json() for text in texts]
    assert all(answer["cached"] for answer in answers)
    assert [scores(answer) for answer in answers] == [scores(item) for item in items]


def test_same_texts_in_two_jobs(service: Stack) -> None:
    """If a job is submitted while an earlier one with the same texts is still running, none of them is scored again."""
    blocker, texts = service.submit(new_texts(250)), new_texts(100)
    before = service.texts_scored()
    first, second = service.submit(texts), service.submit(list(reversed(texts)))
    done = [service.ended(job) for job in (blocker, first, second)]
    assert [scores(item) for item in service.items(first)] == [scores(item) for item in reversed(service.items(second))]
    assert done[2]["done"] == 100
    assert service.texts_scored() - before <= 350


def test_wait_for_a_job(service: Stack) -> None:
    """With `Prefer: wait` the answer comes when the job has ended, and says that the preference was applied."""
    job = service.submit(new_texts(50))
    answer = service.http.get(job["links"]["self"], headers={"Prefer": "wait=30"})
    assert answer.json()["status"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=30"


def test_wait_at_submission(service: Stack) -> None:
    """With `Prefer: wait` a submission is answered when the job has ended, or with its state after so many seconds."""
    answer = service.http.post("/batch_predict", json={"texts": new_texts(50)}, headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["status"]) == (202, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert (
        service.http.post("/batch_predict", json={"texts": new_texts(50)}, headers={"Prefer": "wait=0"}).json()["done"]
        < 50
    )


@pytest.mark.parametrize("times", [2, 5])
def test_redelivered_chunk_counts_once(service: Stack, times: int) -> None:
    """A chunk that is delivered again after it was finished is neither scored nor counted again."""
    texts = new_texts(10)
    job = service.ended(service.submit(texts))
    before, items = service.texts_scored(), service.items(job)
    errors = sum(worker.log.count("Traceback") for worker in service.workers)
    sender = ChunkSender(create_celery(service.settings()), service.default_model)
    for _ in range(times):
        sender.send_job_chunk(job["id"], 0)
    # Chunks are taken in order: when a later job has ended, the repeated chunks have been taken.
    service.ended(service.submit(new_texts(1)))
    assert service.texts_scored() - before == 1
    assert service.http.get(job["links"]["self"]).json() == job
    assert service.items(job) == items
    assert sum(worker.log.count("Traceback") for worker in service.workers) == errors


def test_job_of_an_odd_chunk(service: Stack) -> None:
    """A chunk of a job that does not exist, for instance because it has expired, harms neither the worker nor other
    jobs.
    """
    ChunkSender(create_celery(service.settings()), service.default_model).send_job_chunk(uuid.uuid4().hex, 0)
    assert service.ended(service.submit(new_texts(3)))["status"] == "succeeded"


def test_one_bad_line_among_many(service: Stack) -> None:
    """Only the text for which the engine raises an error fails; all others in its chunk are answered."""
    texts = new_texts(100)
    texts[37] = f"poison {uuid.uuid4().hex}"
    job = service.ended(service.submit(texts))
    assert (job["done"], job["failed"]) == (100, 1)
    items = service.items(job)
    assert [item["position"] for item in items if item["status"] == "failed"] == [37]
    assert [scores(item) for item in items if item["status"] == "done"] == direct(texts[:37] + texts[38:])


def test_live_callers_beside_a_job(service: Stack) -> None:
    """Callers of /predict get their answers while a job is running: none has to wait for the job."""
    job = service.submit(new_texts(1000))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(service.predict, new_texts(60)))
    assert service.http.get(job["links"]["self"]).json()["status"] in ("queued", "running")
    assert {answer.status_code for answer in answers} == {200}
    service.ended(job)


def test_surrogates_in_a_job(service: Stack) -> None:
    """Half an emoji in one line of a job is read as U+FFFD; the other lines are unchanged."""
    body = json.dumps({"texts": ["good \ud83d", "fine 😀", "\x00"]})
    answer = service.http.post("/batch_predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    items = service.items(service.ended(answer.json()))
    assert [item["text"] for item in items] == ["good \ufffd", "fine 😀", "\x00"]
    assert [item["status"] for item in items] == ["done", "done", "failed"]
