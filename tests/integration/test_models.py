"""Several models in one service, in real processes: each text is scored by the model that its request names."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from model.labels import LABELS
from tasks.errors import EX_CONFIG
from tasks.queue.queues import list_names
from tasks.store.compilations import Compilations
from tasks.wire import CompilingMark
from tests.support.keys import keys_without_end
from tests.support.stack import Stack
from tests.support.texts import direct, new_text, new_texts
from tests.support.waiting import wait_until
from webapp.client import Sentiq

GERMAN = {"name": "stub?delay_s=0.004", "revision": "de"}
MODELS = json.dumps({"de": GERMAN, "german": GERMAN, "fr": "stub@fr"})
"""Besides the default model: one with two names, and one that has no worker."""
IDENTITIES = {None: "stub@1/stub", "*": "stub@1/stub", "de": "stub@de/stub", "german": "stub@de/stub"}


@pytest.fixture(scope="module")
def _several() -> Iterator[Stack]:
    stack = Stack(WEB_CONCURRENCY=2, MODELS=MODELS).start("interactive", "batch")
    for role in ("interactive", "batch"):
        stack.start_worker(role, model="de")
    yield stack
    stack.close()


@pytest.fixture
def several(_several: Stack) -> Iterator[Stack]:
    """A service with workers of two of its three models. A key that is left without a TTL fails the test."""
    yield _several
    assert not keys_without_end(_several.redis)


def ask(stack: Stack, text: str, model: str | None, **headers: str) -> httpx.Response:
    """Asks for a text's prediction by the model with this name."""
    named = {} if model is None else {"model": model}
    return stack.http.post("/predict", json={"text": text} | named, headers=headers)


def scores(answer: dict[str, Any]) -> tuple[float, ...]:
    """The scores of an answer, in the order of the labels."""
    return tuple(answer["scores"][label] for label in LABELS)


@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=20"}], ids=["plain", "with a preference"])
@pytest.mark.parametrize("name", IDENTITIES)
def test_predict(several: Stack, name: str | None, headers: dict[str, str]) -> None:
    """A text is scored by the model that is named, and found in the cache under each name of that model alone."""
    text = new_text()
    revision = IDENTITIES[name].removeprefix("stub@").removesuffix("/stub")
    answer = ask(several, text, name, **headers).json()
    assert (answer["model"], answer["cached"]) == (IDENTITIES[name], False)
    assert scores(answer) == pytest.approx(direct([text], None if revision == "1" else revision)[0])
    known = {IDENTITIES[name]}
    for other, identity in IDENTITIES.items():
        again = ask(several, text, other, **headers).json()
        assert (again["model"], again["cached"]) == (identity, identity in known)
        known.add(identity)
        assert (scores(again) == scores(answer)) is (identity == IDENTITIES[name])


def test_the_same_text_at_once(several: Stack) -> None:
    """Callers who ask several models for one text at the same time get each an answer of the model asked."""
    text, answers = new_text(), dict[tuple[str, int], dict[str, Any]]()

    def caller(name: str, number: int) -> None:
        answers[name, number] = ask(several, text, name, Prefer="wait=20").json()

    threads = [threading.Thread(target=caller, args=(name, number)) for name in ("*", "de") for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {(name, answer["model"]) for (name, _), answer in answers.items()} == {
        ("*", "stub@1/stub"),
        ("de", "stub@de/stub"),
    }
    assert len({scores(answer) for answer in answers.values()}) == 2


def unknown(several: Stack) -> dict[str, httpx.Response]:
    """The answers to all kinds of requests that name a model which does not exist."""
    post = several.http.post
    form = {"files": {"file": ("texts.txt", b"good\n")}, "data": {"model": "it"}}
    return {
        "predict": ask(several, new_text(), "it"),
        "predict with a preference": ask(several, new_text(), "it", Prefer="respond-async"),
        "job": post("/batch_predict", json={"texts": ["good"], "model": "it"}),
        "at once": post(
            "/batch_predict",
            json={"texts": ["good"], "model": "it"},
            headers={"Prefer": "return=representation"},
        ),
        "upload": post("/batch_predict?model=it", content=b"good", headers={"Content-Type": "text/plain"}),
        "form": post("/batch_predict", **form),  # type: ignore[arg-type]
        "model": several.http.get("/model?model=it"),
    }


def test_unknown_name(several: Stack) -> None:
    """A name that no model has is refused with the list of names, and nothing is accepted."""
    before = several.redis.zcard("sentiq:jobs")
    for kind, answer in unknown(several).items():
        problem = answer.json()
        assert (kind, answer.status_code, problem["code"]) == (kind, 422, "unknown_model")
        assert "`de`, `german`, `fr`" in problem["detail"]
        assert "it`" not in problem["detail"]
    assert several.redis.zcard("sentiq:jobs") == before


@pytest.mark.parametrize("model", [3, ["de"], {"name": "de"}])
def test_no_name_at_all(several: Stack, model: object) -> None:
    """What is no string is refused as a field of the wrong type; null counts as no name."""
    for address, body in (("/predict", {"text": "good"}), ("/batch_predict", {"texts": ["good"]})):
        refused = several.http.post(address, json=body | {"model": model})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
        assert [fault["field"] for fault in refused.json()["errors"]] == ["model"]
        assert several.http.post(address, json=body | {"model": None}).status_code in (200, 202)


def test_one_model_has_no_names(service: Stack) -> None:
    """A service with one model knows no names, and says so; its own may be asked for as `*`."""
    answer = ask(service, new_text(), "de")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_model")
    assert "one model, without a name" in answer.json()["detail"]
    assert ask(service, new_text(), "*").json()["model"] == "stub@1/stub"


def submitted(several: Stack, texts: list[str], kind: str) -> dict[str, Any]:
    """A job of the model `de`, submitted in one of several forms."""
    lines, plain = "\n".join(texts).encode(), {"Content-Type": "text/plain"}
    post = several.http.post
    if kind == "json":
        answer = post("/batch_predict", json={"texts": texts, "model": "de"})
    elif kind == "large json":
        answer = post("/batch_predict", json={"texts": [*texts, "x" * 90_000], "model": "de"})
    elif kind == "query":
        answer = post("/batch_predict?model=de", content=lines, headers=plain)
    else:
        answer = post("/batch_predict?model=fr", files={"file": ("a.txt", lines)}, data={"model": "de"})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


@pytest.mark.parametrize("kind", ["json", "large json", "query", "form"])
def test_job(several: Stack, kind: str) -> None:
    """A job is scored by the model that it names, however it names it, and says which one it was; a field of the form
    takes precedence over the query.
    """
    texts = new_texts(300)
    known = ask(several, texts[0], None).json()
    job = submitted(several, texts, kind)
    assert (job["requested_model"], job["cached"]) == ("de", 0)
    ended = several.ended(job)
    assert (ended["status"], ended["requested_model"], ended["model"]) == ("succeeded", "de", "stub@de/stub")
    items = several.items(ended)[: len(texts)]
    assert {item["model"] for item in items} == {"stub@de/stub"}
    assert [scores(item) for item in items] == [pytest.approx(one) for one in direct(texts, "de")]
    assert scores(items[0]) != scores(known)
    document = several.http.get("/openapi.json").json()
    schema = {"$ref": "#/components/schemas/JobResponse", "components": document["components"]}
    Draft202012Validator(schema).validate(ended)
    listed = several.http.get("/jobs").json()["items"]
    assert next(one for one in listed if one["id"] == job["id"])["requested_model"] == "de"


def test_job_without_a_name(several: Stack) -> None:
    """A job that names no model looks as it does in a service with one model."""
    ended = several.ended(several.submit(new_texts(3)))
    assert "requested_model" not in ended
    assert ended["model"] == "stub@1/stub"


def test_batch_at_once(several: Stack) -> None:
    """A small batch that is answered at once is scored by the model that it names."""
    texts = new_texts(5)
    for name, revision in (("de", "de"), (None, None)):
        body = {"texts": texts} | ({} if name is None else {"model": name})
        answer = several.http.post(
            "/batch_predict", json=body, headers={"Prefer": "return=representation, wait=20"}
        ).json()
        assert [scores(item) for item in answer["items"]] == [pytest.approx(one) for one in direct(texts, revision)]
        assert {item["model"] for item in answer["items"]} == {IDENTITIES[name]}


def test_idempotency_key(several: Stack) -> None:
    """The same Idempotency-Key with the same texts and model gives the same job; with another model it is another
    request.
    """
    texts, headers = new_texts(3), {"Idempotency-Key": uuid.uuid4().hex}

    def submit(**model: str) -> httpx.Response:
        return several.http.post("/batch_predict", json={"texts": texts} | model, headers=headers)

    first, again = submit(model="de"), submit(model="de")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert (submit().status_code, submit().json()["code"]) == (409, "idempotency_mismatch")
    assert submit(model="*").json()["code"] == "idempotency_mismatch"


def test_lost_chunk(several: Stack) -> None:
    """A chunk of a named model that the broker has lost is sent again to that model's workers."""
    job = several.http.post("/batch_predict", json={"texts": new_texts(2500), "model": "german"}).json()
    lists = list_names("batch@de")
    lost = wait_until(
        lambda: next((m for name in lists for m in several.redis.lrange(name, 0, 0)), None), what="a message"
    )
    assert any(several.redis.lrem(name, 1, lost) for name in lists)
    worker = several.workers[3]
    wait_until(lambda: "sending it again" in worker.log, what="the chunk to be sent again")
    ended = several.ended(job)
    assert (ended["done"], ended["failed"], ended["model"]) == (2500, 0, "stub@de/stub")


def test_model_without_workers(several: Stack) -> None:
    """A model that no worker serves: 503 with its name, for texts and jobs, and nothing is accepted. What is wrong with
    the request is told first.
    """
    before = several.redis.zcard("sentiq:jobs")
    answers = {
        "predict": ask(several, new_text(), "fr"),
        "not waiting": ask(several, new_text(), "fr", Prefer="respond-async"),
        "job": several.http.post("/batch_predict", json={"texts": ["good"], "model": "fr"}),
        "at once": several.http.post(
            "/batch_predict", json={"texts": ["good"], "model": "fr"}, headers={"Prefer": "return=representation"}
        ),
    }
    for kind, answer in answers.items():
        assert (kind, answer.status_code, answer.json()["code"]) == (kind, 503, "model_not_served")
        assert "`fr`" in answer.json()["detail"]
        assert answer.headers["Retry-After"] == "2"
    assert several.redis.zcard("sentiq:jobs") == before
    assert several.metric("sentiment_pending_total") == 0
    assert ask(several, " ", "fr").json()["code"] == "empty_text"


def test_model_that_is_compiled(several: Stack) -> None:
    """The 503 for a named model that is not there yet because its workers compile it says how far they are."""
    compilations = Compilations(several.redis)
    marks = [
        CompilingMark("batch-1", "batch", "stub@fr", "camembert", "waiting for another process", None, 41.0),
        CompilingMark("interactive-1", "interactive", "stub@fr", "camembert", "quantising", 0.4, 23.1),
    ]
    for mark in marks:
        compilations.tell(mark)
    try:
        detail = ask(several, new_text(), "fr").json()["detail"]
        assert "as it is still being compiled (quantising 40 %, 23 s)" in detail
    finally:
        for mark in marks:
            compilations.withdraw(mark.id)
    assert "compiled" not in ask(several, new_text(), "fr").json()["detail"]


def test_told_of_each(several: Stack) -> None:
    """`/health`, `/model` and the metrics tell each model apart; the service is ready without workers of a model other
    than the default one.
    """
    answer = several.http.get("/health")
    health = answer.json()
    assert (answer.status_code, health["status"]) == (200, "ready")
    assert health["missing"] == ["interactive worker of fr", "batch worker of fr"]
    assert {(one["role"], one["name"], one["model"]) for one in health["workers"]} == {
        (role, name, IDENTITIES[name]) for role in ("interactive", "batch") for name in ("*", "de")
    }
    ask(several, new_text(), None), ask(several, new_text(), "de")
    named = {name: several.http.get("/model", params={"model": name}).json()["model"] for name in ("*", "german", "fr")}
    assert named == {"*": "stub@1/stub", "german": "stub@de/stub", "fr": None}
    assert several.http.get("/model").json()["model"] == "stub@1/stub"
    for role in ("interactive", "batch"):
        ready = {name: several.metric("sentiment_workers_ready", role=role, model=name) for name in ("*", "de", "fr")}
        assert ready == {"*": 1, "de": 1, "fr": 0}
        assert several.metric("sentiment_workers_ready", role=role) == 2
        assert several.metric("sentiment_queue_messages", queue=role, model="fr") == 0
    several.redis.rpush("interactive@fr", '{"headers": {"sent_at": 1.0}}')
    several.redis.expire("interactive@fr", 60)
    assert several.metric("sentiment_queue_messages", queue="interactive", model="fr") == 1
    assert several.metric("sentiment_queue_oldest_seconds", queue="interactive", model="fr") > 1e9
    assert several.metric("sentiment_queue_messages", queue="interactive", model="de") == 0
    several.redis.delete("interactive@fr")


def test_client(several: Stack) -> None:
    """The Python client asks for a model by its name."""
    text = new_text()
    with Sentiq(str(several.http.base_url)) as sentiq:
        assert sentiq.predict(text).model == "stub@1/stub"
        assert sentiq.predict(text, model="de").model == "stub@de/stub"
        job = sentiq.wait(sentiq.submit([text, new_text()], model="german"))
        assert (job.requested_model, job.model, job.cached) == ("german", "stub@de/stub", 1)
        assert sentiq.wait(sentiq.submit([text])).requested_model is None


def test_workers_of_one_die(make_stack: Callable[..., Stack]) -> None:
    """When all workers of a model are gone, its callers get 503 for unknown texts and still the known ones, while the
    other model goes on. A job of it that was accepted before is done once a worker is back.
    """
    stack = make_stack(model="stub", WEB_CONCURRENCY=1, PREDICT_TIMEOUT=0.5, MODELS=MODELS).start("interactive")
    workers = [stack.start_worker(role, model="de") for role in ("interactive", "batch")]
    known = new_text()
    assert ask(stack, known, "de", Prefer="wait=20").json()["cached"] is False
    for worker in workers:
        worker.kill()
    job = stack.http.post("/batch_predict", json={"texts": new_texts(20), "model": "de"}).json()

    def code() -> str | None:
        found: str | None = ask(stack, new_text(), "de").json().get("code")
        return found

    wait_until(lambda: code() == "model_not_served", what="the marks of the dead workers to expire", timeout_s=30)
    assert ask(stack, known, "de").json()["cached"] is True
    stack.redis.delete(*stack.redis.keys("sentiq:p:stub@de*"))
    assert ask(stack, known, "german").json()["cached"] is True  # this process has it in memory
    assert ask(stack, new_text(), None, Prefer="wait=20").json()["model"] == "stub@1/stub"
    assert stack.http.get("/health").json()["missing"][1:3] == ["interactive worker of de", "batch worker of de"]
    stack.start_worker("batch", model="de")
    assert stack.ended(job)["model"] == "stub@de/stub"
    wait_until(
        lambda: ask(stack, new_text(), "de").status_code == 202, what="texts to become jobs, for the batch worker"
    )


@pytest.mark.parametrize(
    ("models", "why"),
    [
        (MODELS, "--model: there is no model 'it'; MODELS has *, de, german, fr"),
        ("", "--model: there is no model 'it'; MODELS has nothing (set MODELS, as in the web processes)"),
        (
            "{",
            'MODELS: must be a JSON object of models by name, for example {"de": "oliverguhr/german-sentiment-bert",',
        ),
    ],
)
def test_worker_of_an_unknown_model(make_stack: Callable[..., Stack], models: str, why: str) -> None:
    """A worker that is told to serve a model which MODELS does not have ends with one sentence that says so."""
    process = make_stack(MODELS=models).start_process("refused", "-m", "tasks.worker", "batch", "--model", "it")
    wait_until(lambda: not process.running, what="the process to end", timeout_s=30)
    assert process.status == EX_CONFIG
    (line,) = process.log.strip().splitlines()
    assert line.startswith(f"Sentiq cannot start: {why}")
