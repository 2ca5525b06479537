"""Small batches that are answered at once, as `Prefer: return=representation` asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack
from tests.support.texts import new_text
from webapp.api.jobs import _AT_ONCE_TEXTS


def ask(stack: Stack, body: Any, prefer: str = "return=representation", **headers: str) -> httpx.Response:
    """POST /batch_predict."""
    return stack.http.post("/batch_predict", json=body, headers={"Prefer": prefer} | headers)


def test_batch_is_answered_at_once(service: Stack) -> None:
    """The lines come in input order, as in a job's results, cached, repeated and failed ones too; no job is made."""
    known, fresh, bad = new_text(), new_text(), new_text("bad")
    service.predict(known)
    jobs = service.http.get("/jobs").json()
    texts = [fresh, " ", known, "poison " + fresh, bad, fresh]
    response = ask(service, {"texts": texts})
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "return=representation"
    items = response.json()["items"]
    assert [item["text"] for item in items] == texts
    assert [item["position"] for item in items] == list(range(6))
    assert [item.get("label", item.get("error", {}).get("code")) for item in items] == [
        "POSITIVE",
        "empty_text",
        "POSITIVE",
        "text_failed",
        "NEGATIVE",
        "POSITIVE",
    ]
    assert [item.get("cached") for item in items] == [False, None, True, None, False, False]
    assert service.http.get("/jobs").json() == jobs
    job = service.ended(service.submit(texts))
    for at_once, line in zip(items, service.items(job), strict=True):
        assert {**at_once, "cached": None} == {**line, "cached": None}


def test_ids_at_once(service: Stack) -> None:
    """Objects with an id are answered at once, too, each with its id; with more keys they are a job with columns."""
    texts = [new_text(), {"text": new_text("bad"), "id": 7}, {"text": new_text(), "id": "a1"}]
    answer = ask(service, {"texts": texts})
    assert answer.status_code == 200
    assert [(item.get("id"), item["label"]) for item in answer.json()["items"]] == [
        (None, "POSITIVE"),
        (7, "NEGATIVE"),
        ("a1", "POSITIVE"),
    ]
    answer = ask(service, {"texts": [*texts, {"text": "good", "stars": 5}]})
    assert answer.status_code == 202
    items = service.items(service.ended(answer.json()))
    assert [(item.get("id"), item["columns"]["stars"]) for item in items] == [
        (None, ""),
        (7, ""),
        ("a1", ""),
        (None, "5"),
    ]


def test_texts_of_one_batch_travel_together(service: Stack) -> None:
    """The unknown texts of a batch are sent in few messages, not in one each."""
    before = service.metric("sentiment_chunk_texts_count"), service.metric("sentiment_chunk_texts_sum")
    assert ask(service, {"texts": [new_text() for _ in range(40)]}).status_code == 200
    after = service.metric("sentiment_chunk_texts_count"), service.metric("sentiment_chunk_texts_sum")
    assert after[1] - before[1] == 40
    assert after[0] - before[0] <= 4


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"texts": ["good"] * (_AT_ONCE_TEXTS + 1)}, {}),
        ({"texts": ["good"]}, {"Idempotency-Key": "k"}),
        ({"texts": ["good"]}, {"Prefer": "respond-async"}),
        ({"texts": ["good"]}, {"Prefer": "return=minimal"}),
    ],
)
def test_what_becomes_a_job(service: Stack, body: dict[str, Any], headers: dict[str, str]) -> None:
    """A batch becomes a job if it is not small, has an Idempotency-Key, or its caller does not ask for the predictions
    themselves.
    """
    response = ask(service, body, **headers)
    assert response.status_code == 202
    assert "representation" not in response.headers.get("Preference-Applied", "")
    assert service.ended(response.json())["status"] == "succeeded"


@pytest.mark.parametrize("body", [{"texts": []}, {"texts": [1]}, {"body": "a"}])
def test_wrong_batch(service: Stack, body: Any) -> None:
    """A body that is not a batch of texts is refused with the same words, whatever the caller prefers."""
    wanted, plain = ask(service, body), ask(service, body, prefer="")
    assert wanted.status_code == plain.status_code == 422
    assert wanted.json()["errors"] == plain.json()["errors"]


def test_too_slow_becomes_a_job(make_stack: Callable[..., Stack]) -> None:
    """Without a worker, a batch becomes a job with all its texts after PREDICT_TIMEOUT."""
    stack = make_stack(WEB_CONCURRENCY=1, PREDICT_TIMEOUT=0.2, QUEUE_LIMIT=3).start()
    for count in (2, 10):  # the second batch does not even find room to wait
        response = ask(stack, {"texts": [new_text() for _ in range(count)]})
        assert response.status_code == 202
        assert response.json()["total"] == count
