"""`/predict` on a running service: the same answer every time, for every kind of text."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from model.engines.stub import StubEngine
from model.text import clean
from tasks.store.outcomes import digest, scored
from tests.support.stack import STUB, Stack
from tests.support.texts import new_text
from tests.support.waiting import wait_until

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")


def test_fresh_then_cached(service: Stack) -> None:
    """The second answer to a text comes from the cache, and equals the first and the engine's own to the last digit."""
    text = new_text("I love this show, it is great")
    first, second = service.predict(text), service.predict(text)
    assert (first.status_code, second.status_code) == (200, 200)
    fresh, cached = first.json(), second.json()
    assert (fresh.pop("cached"), cached.pop("cached")) == (False, True)
    assert fresh.pop("processing_time_ms") > 0
    assert cached.pop("processing_time_ms") > 0
    assert fresh == cached
    assert fresh["text"] == text
    assert fresh["label"] == "POSITIVE"
    assert fresh["model"] == "stub@1/stub"
    assert fresh["truncated"] is False
    assert fresh["confidence"] == max(fresh["scores"].values())
    direct = StubEngine.from_name(STUB).score([clean(text)])
    assert tuple(fresh["scores"][label] for label in LABELS) == scored(direct.probabilities[0], False).scores


def test_known_here_and_elsewhere(service: Stack) -> None:
    """A text that the process has in memory is answered without Flask, with the same body, headers and counts as with
    Flask.

    A parameter of the content type is enough to make a request take the long way.
    """
    text = new_text('good \u00e9 \U0001f600 \\ "quoted"')
    body = json.dumps({"text": text}).encode()
    for _ in range(10):  # by then each process has it in memory, almost certainly
        service.predict(text)
    counted = {
        "sentiment_predictions_total": {"label": "POSITIVE", "source": "cache"},
        "flask_http_request_total": {"method": "POST", "status": "200"},
        "flask_http_request_duration_seconds_count": {"method": "POST", "url_rule": "/predict", "status": "200"},
    }
    before = {name: service.metric(name, **labels) for name, labels in counted.items()}
    met = service.metric("sentiment_cache_lookups_total", result="recent")
    id_ = {"X-Request-ID": uuid.uuid4().hex}
    answers = [
        service.http.post("/predict", content=body, headers={"Content-Type": mimetype} | id_)
        for mimetype in ("application/json", "application/json; charset=utf-8")
        for _ in range(5)
    ]
    assert service.metric("sentiment_cache_lookups_total", result="recent") == met + 10
    assert {name: service.metric(name, **labels) for name, labels in counted.items()} == {
        n: v + 10 for n, v in before.items()
    }
    bodies = [answer.json() for answer in answers]
    assert all(found.pop("processing_time_ms") > 0 for found in bodies)
    assert all(list(found) == list(bodies[0]) and found == bodies[0] for found in bodies)
    assert bodies[0]["cached"] is True
    names = [sorted(name for name in answer.headers if name != "date") for answer in answers]
    assert names[0] == names[-1]
    assert {answer.headers["X-Request-ID"] for answer in answers} == set(id_.values())
    wrong = service.http.post(
        "/predict", content=body, headers={"Content-Type": "application/json", "X-Request-ID": "a b"}
    )
    assert wrong.headers["X-Request-ID"] != "a b"


@pytest.mark.parametrize("body", ['{"text": "good", "more": 1}', '{"text": ["good"]}', '["good"]', "5", '{"text": ""}'])
def test_nothing_but_a_text_is_answered(service: Stack, body: str) -> None:
    """An invalid request is refused even if its text is cached."""
    service.predict("good")
    assert service.http.post("/predict", content=body, headers={"Content-Type": "application/json"}).status_code == 422


def test_known_no_longer_than_in_the_cache(make_stack: Callable[..., Stack]) -> None:
    """A text expires in the processes' memory when it expires in the cache: after CACHE_TTL it is scored again."""
    stack = make_stack(CACHE_TTL=2, WEB_CONCURRENCY=1).start("interactive")
    text = new_text()
    assert not stack.predict(text).json()["cached"]
    assert stack.predict(text).json()["cached"]
    wait_until(lambda: not stack.redis.keys("sentiq:p:*"), what="the prediction to leave the cache")
    assert not stack.predict(text).json()["cached"]


def test_spellings_share_an_answer(service: Stack) -> None:
    """Texts that are the same once cleaned are scored once; each caller gets back the text as it was sent."""
    word = uuid.uuid4().hex
    first = service.predict(f"@ann see  https://a.example/{word} {word}").json()
    second = service.predict(f"@bob  see https://b.example/x\t{word}").json()
    assert second["cached"]
    assert second["scores"] == first["scores"]
    assert second["text"] == f"@bob  see https://b.example/x\t{word}"


def test_fifty_callers_one_scoring(make_stack: Callable[..., Stack]) -> None:
    """When fifty callers send the same unknown text at once to two Gunicorn processes, it is scored once, and all get
    the same answer.
    """
    # So slow that a second chunk with the text would be begun while the first is being scored.
    stack = make_stack(model="stub?delay_s=0.5", WEB_CONCURRENCY=2, PREDICT_TIMEOUT=20).start("interactive")
    text, address = new_text(), f"{stack.http.base_url}/predict"
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: httpx.post(address, json={"text": text}, timeout=30, trust_env=False), range(50))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()["scores"]) for answer in answers}) == 1
    assert stack.texts_scored() == 1


def test_many_texts_at_once(service: Stack) -> None:
    """Of many callers at once each gets the answer to their own text, with the scores of the engine alone."""
    texts = [new_text("good" if i % 2 else "bad") for i in range(200)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(service.predict, texts))
    assert {answer.status_code for answer in answers} == {200}
    direct = StubEngine.from_name("stub").score([clean(text) for text in texts]).probabilities
    got = [tuple(answer.json()["scores"][label] for label in LABELS) for answer in answers]
    assert got == [scored(row, False).scores for row in direct]


@pytest.mark.parametrize("text", ["", " ", "\t\r\n ", "\u00a0\u2003\u3000", "\x00", "\x00\x01\x1f\x7f"])
def test_nothing_to_score(service: Stack, text: str) -> None:
    """An empty or blank text, or one with only control characters, is refused: there is nothing to score."""
    answer = service.predict(text)
    assert answer.status_code == 422
    assert answer.json()["code"] == "empty_text"


@pytest.mark.parametrize(
    "text",
    [
        "😀😡🎉",
        "👨‍👩‍👧‍👦🏳️‍🌈",
        "שלום, מה שלומך היום?",
        "\u202eright to left\u202c مرحبا بالعالم",
        "good\x00morning",
        "e\u0301" * 1000,
        "\u200b",
        "\ufffd",
        "a" * 99_000,
        '"; DROP TABLE tweets; -- {{7*7}} %s %n \\u0000 </script>',
    ],
    ids=[
        "emoji",
        "joined emoji",
        "hebrew",
        "bidi marks",
        "NUL",
        "combining",
        "zero width",
        "replacement",
        "one long word",
        "injection",
    ],
)
def test_unusual_text(service: Stack, text: str) -> None:
    """Every other text gets an answer with the text as it was sent, and is cached."""
    first, second = service.predict(text), service.predict(text)
    assert (first.status_code, second.status_code) == (200, 200), first.text
    assert first.json()["text"] == text
    assert second.json()["cached"]
    assert first.json()["scores"] == second.json()["scores"]


@pytest.mark.parametrize("escape", [r"\ud83d", r"\uDE00", r"\ud83d\ud83d", r"\ude00\ud83d"])
def test_lone_surrogate(service: Stack, escape: str) -> None:
    """Half an emoji, which some broken clients send, is read as U+FFFD and answered."""
    body = f'{{"text": "great {escape} {uuid.uuid4().hex}"}}'
    answer = service.http.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert "\ufffd" in answer.json()["text"]
    assert not any("\ud800" <= char <= "\udfff" for char in answer.json()["text"])


def test_ten_thousand_words(service: Stack) -> None:
    """A text that is longer than the model reads at once is read whole, and the answer says in how many windows."""
    answer = service.predict(new_text("word " * 10_000))
    assert answer.status_code == 200
    assert (answer.json()["truncated"], answer.json()["windows"] > 60) == (False, True)


def test_one_megabyte(service: Stack) -> None:
    """A text with more characters than MAX_TEXT_CHARS is refused; the answer names the limit and does not repeat the
    text.
    """
    answer = service.predict("x" * 1_000_000)
    assert answer.status_code == 422
    assert answer.json()["code"] == "text_too_long"
    assert "100000" in answer.json()["detail"]
    assert len(answer.content) < 1000


def test_engine_failure_is_an_error(service: Stack) -> None:
    """If the engine raises an error for a text, the answer is an error, never NEUTRAL and never cached; the next call
    scores it anew.
    """
    text = new_text("poison")
    before = service.metric("sentiment_texts_failed_total")
    for _ in range(2):
        answer = service.predict(text)
        assert answer.status_code == 422
        assert answer.json()["code"] == "text_failed"
        assert text not in answer.text
    assert service.metric("sentiment_texts_failed_total") - before == 2
    assert service.redis.exists(f"sentiq:p:stub@1/stub:{digest(clean(text))}") == 0


def test_neighbours_of_a_failure(service: Stack) -> None:
    """Callers whose texts are in one chunk with a failing text get their answers."""
    texts = [new_text("poison" if i == 7 else "fine") for i in range(30)]
    with ThreadPoolExecutor(30) as pool:
        statuses = [answer.status_code for answer in pool.map(service.predict, texts)]
    assert statuses == [422 if i == 7 else 200 for i in range(30)]


def test_no_text_in_store_log_or_metrics(service: Stack) -> None:
    """A caller's text is in no Redis key, no cached value, no log line and no metric."""
    secret = uuid.uuid4().hex
    assert service.predict(f"great {secret}").status_code == 200
    assert service.predict(f"poison {secret}").status_code == 422
    assert service.predict(secret * 4000).status_code == 422
    for key in service.redis.scan_iter("sentiq:[pfraw]:*"):
        assert secret.encode() not in key
        if service.redis.type(key) == b"string":
            assert secret.encode() not in (service.redis.get(key) or b"")
    assert service.web is not None
    for process in [service.web, *service.workers]:
        assert secret not in process.log
    assert secret not in service.http.get("/metrics").text
