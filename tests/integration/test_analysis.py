"""Analyses with other classes than sentiment's, declared in `tests.support.analyses`, in real processes: everything
that shows or counts classes follows the declaration.
"""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from model.analysis import Analysis
from tasks.errors import EX_CONFIG
from tests.support import analyses
from tests.support.keys import keys_without_end
from tests.support.stack import STUB, Stack
from tests.support.texts import new_text
from tests.support.waiting import wait_until
from webapp.client import Sentiq

AFTER = ("truncated", "error", "model", "language", "language_sureness", "uncertain", "warnings", "windows")
"""The columns after those of the scores."""
RESULT_COLUMNS = {
    "SPAM": ["position", "status", "label", "confidence", "ham", "spam", *AFTER],
    "TOPICS": [
        *("position", "status", "label", "confidence"),
        *("sport", "music", "film", "food", "travel", "science", "score_status", "true-crime", "home 2", "any_other"),
        *AFTER,
    ],
}


class Asked:
    """A running service with an analysis, and the answers that it should give."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.analysis: Analysis = getattr(analyses, name)
        self.stack = Stack(WEB_CONCURRENCY=2, ANALYSIS=f"tests.support.analyses:{name}")

    def texts(self) -> list[tuple[str, str]]:
        """A new text for each class that the stub engine recognises by a word, with the class."""
        return [(new_text(label.lower()), label) for label in self.analysis.classes if " " not in label]

    def schema(self, name: str) -> Draft202012Validator:
        """A schema of the API's document."""
        document = self.stack.http.get("/openapi.json").json()
        return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


@pytest.fixture(scope="module", params=["SPAM", "TOPICS"])
def _asked(request: pytest.FixtureRequest) -> Iterator[Asked]:
    asked = Asked(request.param)
    asked.stack.start("interactive", "batch")
    yield asked
    asked.stack.close()


@pytest.fixture
def asked(_asked: Asked) -> Iterator[Asked]:
    """A service with two classes, and one with ten. A key that is left without a TTL fails the test."""
    yield _asked
    assert not keys_without_end(_asked.stack.redis)


def test_series_from_the_start(asked: Asked) -> None:
    """The metrics page has a series for each class and source, and for texts without a label, even before a text got
    it, and no others.
    """
    page = asked.stack.http.get("/metrics").text
    (family,) = [f for f in text_string_to_metric_families(page) if f.name == "sentiment_predictions"]
    found = {(s.labels["label"], s.labels["source"]) for s in family.samples if s.name.endswith("_total")}
    labels = (*asked.analysis.classes, "unsupported_language")
    assert found == {(label, source) for label in labels for source in ("fresh", "cache")}


def test_predict(asked: Asked) -> None:
    """A text gets a class and a score for each class, the same from the cache, and is counted under its class."""
    schema, stack = asked.schema("PredictionResponse"), asked.stack
    for text, label in asked.texts():
        before = {s: stack.metric("sentiment_predictions_total", label=label, source=s) for s in ("fresh", "cache")}
        fresh, cached = stack.predict(text).json(), stack.predict(text).json()
        after = {s: stack.metric("sentiment_predictions_total", label=label, source=s) for s in ("fresh", "cache")}
        assert (fresh["label"], fresh["cached"], cached["cached"]) == (label, False, True)
        assert tuple(fresh["scores"]) == asked.analysis.classes
        assert fresh["confidence"] == fresh["scores"][label] == max(fresh["scores"].values())
        assert {**cached, "cached": False, "processing_time_ms": 0} == {**fresh, "processing_time_ms": 0}
        assert fresh["model"] == f"stub@1/stub{asked.analysis.suffix}"
        assert after == {source: count + 1 for source, count in before.items()}
        schema.validate(fresh)
    wrong = [fresh | {"label": "POSITIVE"}, fresh | {"scores": {"NEGATIVE": 0, "NEUTRAL": 0, "POSITIVE": 1}}]
    assert not any(schema.is_valid(answer) for answer in wrong)


def test_batch_at_once(asked: Asked) -> None:
    """A small batch that is answered at once has the same classes, and its lines are counted under them."""
    texts = asked.texts()
    before = asked.stack.metric("sentiment_predictions_total", source="fresh")
    answer = asked.stack.http.post(
        "/batch_predict",
        json={"texts": [*(text for text, _ in texts), ""]},
        headers={"Prefer": "return=representation, wait=20"},
    )
    assert answer.status_code == 200, answer.text
    *items, empty = answer.json()["items"]
    assert [item["label"] for item in items] == [label for _, label in texts]
    assert all(tuple(item["scores"]) == asked.analysis.classes for item in items)
    assert empty["error"] == {"code": "empty_text"}
    assert asked.stack.metric("sentiment_predictions_total", source="fresh") == before + len(texts)
    asked.schema("BatchResponse").validate(answer.json())


def test_job(asked: Asked) -> None:
    """A job counts its lines by class, cached ones too, and its results have the classes in each format."""
    stack, texts = asked.stack, asked.texts()
    stack.predict(texts[0][0])
    lines = [(text, label) for n, (text, label) in enumerate(texts) for text in [text, *[new_text(label.lower())] * n]]
    job = stack.ended(stack.submit([*(text for text, _ in lines), "poison", ""]))
    assert (job["status"], job["done"], job["failed"], job["cached"]) == ("succeeded", len(lines) + 2, 2, 1)
    labels = [label for _, label in lines]
    assert job["labels"] == {label: labels.count(label) for label in asked.analysis.classes}
    *items, poison, empty = stack.items(job)
    assert [item["label"] for item in items] == labels
    assert (poison["error"]["code"], empty["error"]["code"]) == ("text_failed", "empty_text")
    asked.schema("ResultsResponse").validate(stack.http.get(job["links"]["results"]).json())
    assert [item["label"] for item in ndjson(stack, job)[:-2]] == labels
    header, *rows = csv.reader(stack.http.get(f"{job['links']['results']}?format=csv").text.splitlines())
    assert header == ["text", *RESULT_COLUMNS[asked.name]]
    assert {len(row) for row in rows} == {len(header)}
    for row, item in zip(rows[:-2], items, strict=True):
        told = dict(zip(header, row, strict=True))
        assert (told["label"], told["status"], told["error"]) == (item["label"], "done", "")
        assert [float(score) for score in row[5 : 5 + len(asked.analysis.classes)]] == list(item["scores"].values())
    assert [dict(zip(header, row, strict=True))["error"] for row in rows[-2:]] == ["text_failed", "empty_text"]


def ndjson(stack: Stack, job: dict[str, Any]) -> list[dict[str, Any]]:
    """A job's lines as NDJSON."""
    return [json.loads(line) for line in stack.http.get(f"{job['links']['results']}?format=ndjson").text.splitlines()]


def test_documents(asked: Asked) -> None:
    """The API's document and `/model` name these classes and none of sentiment's; `/model` has no figures for them."""
    classes = list(asked.analysis.classes)
    document = asked.stack.http.get("/openapi.json").json()
    assert document["components"]["schemas"]["Scores"]["required"] == classes
    assert list(document["components"]["schemas"]["Scores"]["properties"]) == classes
    assert asked.analysis.name in document["info"]["description"]
    assert "NEUTRAL" not in json.dumps(document)
    model = asked.stack.http.get("/model").json()
    told = {"model": f"stub@1/stub{asked.analysis.suffix}", "labels": classes, "figures": []}
    assert {name: model[name] for name in told} == told
    assert model["classes"] == [{"name": name, "label": name} for name in classes]
    asked.schema("ModelResponse").validate(model)


def test_client(asked: Asked) -> None:
    """The Python client returns whatever classes the service has."""
    texts = asked.texts()
    with Sentiq(str(asked.stack.http.base_url)) as sentiq:
        assert sentiq.predict(texts[-1][0]).label == texts[-1][1]
        job = sentiq.wait(sentiq.submit([text for text, _ in texts]))
        assert job.labels == dict.fromkeys(asked.analysis.classes, 0) | {label: 1 for _, label in texts}
        assert [line.label for line in sentiq.results(job)] == [label for _, label in texts]


def test_beside_sentiment(make_stack: Callable[..., Stack]) -> None:
    """With services of two analyses on one Redis, each text is answered by its own service, cached or fresh, alone or
    in a job, also under the same Idempotency-Key. Each service shows the analysis of the other's jobs.
    """
    sentiment = make_stack(WEB_CONCURRENCY=1)
    spam = make_stack(WEB_CONCURRENCY=1, REDIS_URL=sentiment.url, ANALYSIS="tests.support.analyses:SPAM")
    spam.redis = sentiment.redis
    sentiment.start("interactive", "batch")
    spam.start_web()
    for role in ("interactive", "batch"):
        spam.start_worker(role)
    wanted = {"sentiment": (sentiment, "POSITIVE", 3), "spam": (spam, "SPAM", 2)}
    assert all(stack.http.get("/health").json()["missing"] == [] for stack, _, _ in wanted.values())
    known = [new_text("good spam") for _ in range(10)]
    for cached in (False, True):
        for stack, label, scores in wanted.values():
            for text in known:
                answer = stack.predict(text).json()
                assert (answer["label"], len(answer["scores"]), answer["cached"]) == (label, scores, cached)
    texts = [*known, *(new_text("good spam") for _ in range(400))]
    jobs = {}
    for name, (stack, _, _) in wanted.items():
        headers = {"Idempotency-Key": uuid.UUID(int=1).hex}
        jobs[name] = stack.http.post("/batch_predict", json={"texts": texts}, headers=headers).json()
    for name, (stack, label, scores) in wanted.items():
        job = stack.ended(jobs[name])
        assert (job["status"], job["labels"][label], job["cached"]) == ("succeeded", len(texts), len(known))
        for other, _, _ in wanted.values():
            assert other.http.get(job["links"]["self"]).json()["labels"] == job["labels"]
            items = other.items(job)
            assert {(item["label"], len(item["scores"])) for item in items} == {(label, scores)}
    assert {stack.texts_scored() for stack, _, _ in wanted.values()} == {len(texts)}


def test_web_and_workers_differ(make_stack: Callable[..., Stack]) -> None:
    """A web process whose ANALYSIS differs from its workers' is not ready and says why. Its callers' texts become jobs,
    which are answered once there is a worker with the same ANALYSIS.
    """
    workers = make_stack(model=STUB)
    web = make_stack(
        WEB_CONCURRENCY=1, REDIS_URL=workers.url, ANALYSIS="tests.support.analyses:SPAM", PREDICT_TIMEOUT=0.2
    )
    web.redis = workers.redis
    workers.start_server()
    workers.start_worker("interactive")
    web.start_web()
    why = "the same ANALYSIS here as at the workers that are ready"

    def missing() -> list[str]:
        names: list[str] = web.http.get("/health").json()["missing"]
        return names

    assert missing() == ["interactive worker", "batch worker", why]
    assert web.http.get("/health").json()["workers"] == []
    late = web.predict(new_text("spam"))
    assert late.status_code == 202
    web.start_worker("batch")
    assert missing() == ["interactive worker", why]
    assert web.items(web.ended(late.json()))[0]["label"] == "SPAM"
    web.start_worker("interactive")
    assert missing() == []


@pytest.mark.parametrize(
    "arguments",
    [("-m", "tasks.worker", "batch"), ("-m", "gunicorn", "-c", "webapp/server/gunicorn_conf.py", "webapp.wsgi:app")],
    ids=["worker", "web"],
)
def test_refused_at_start(make_stack: Callable[..., Stack], arguments: tuple[str, ...]) -> None:
    """With an ANALYSIS that does not exist, the start fails with one sentence that names it."""
    process = make_stack(ANALYSIS="nowhere:MOODS").start_process("refused", *arguments)
    wait_until(lambda: not process.running, what="the process to end", timeout_s=30)
    assert process.status == EX_CONFIG
    assert process.log.strip().splitlines() == [
        (
            "Sentiq cannot start: ANALYSIS: the analysis nowhere:MOODS cannot be loaded: ModuleNotFoundError:"
            " No module named 'nowhere'"
        )
    ]
