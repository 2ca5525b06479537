"""LABELS=own: a model of seven emotions serves them as they are, in real processes, with a real checkpoint."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from model.checkpoint import own_analysis
from model.engine import Engine
from model.engines.registry import load_engine
from model.text import clean
from tasks.errors import EX_CONFIG
from tasks.store.outcomes import Scored, scored
from tests.support.checkpoints import SENTENCES, make, need_torch
from tests.support.keys import keys_without_end
from tests.support.stack import Stack
from tests.support.waiting import wait_until

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise/shock")
CLASSES = (*EMOTIONS[:-1], "surprise_shock")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of seven emotions; the name of one cannot be the name of a class."""
    need_torch()
    return make("distilbert", tmp_path_factory.mktemp("models") / "emotions", EMOTIONS)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    """A service of this model; a key that is left without a TTL fails the tests."""
    made = Stack(
        model=str(folder), LABELS="own", ENGINE="pipeline", DEVICE="cpu", WEB_CONCURRENCY=1, PREDICT_TIMEOUT=30
    )
    made.start("interactive", "batch")
    yield made
    leaked = keys_without_end(made.redis)
    made.close()
    assert not leaked, f"keys without a TTL: {leaked}"


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    """The same engine, without a service."""
    return load_engine(str(folder), engine="pipeline", device="cpu", analysis=own_analysis(str(folder)))


def direct(engine: Engine, texts: list[str]) -> list[Scored]:
    """What the engine itself says of the texts."""
    return [scored(row, False) for row in engine.score([clean(text) for text in texts]).probabilities]


def test_predict(stack: Stack, engine: Engine) -> None:
    """A text gets one of the emotions and a score for each of them, fresh and from the cache, and is counted so."""
    for text, told in zip(SENTENCES, direct(engine, list(SENTENCES)), strict=True):
        label = CLASSES[told.decided]
        before = {s: stack.metric("sentiment_predictions_total", label=label, source=s) for s in ("fresh", "cache")}
        fresh, cached = stack.predict(text).json(), stack.predict(text).json()
        after = {s: stack.metric("sentiment_predictions_total", label=label, source=s) for s in ("fresh", "cache")}
        assert (fresh["label"], fresh["cached"], cached["cached"]) == (label, False, True)
        assert tuple(fresh["scores"]) == tuple(cached["scores"]) == CLASSES
        assert list(fresh["scores"].values()) == pytest.approx(told.scores, abs=1e-3)
        assert fresh["model"] == cached["model"] == engine.identity
        assert after == {source: count + 1 for source, count in before.items()}
    assert len({CLASSES[told.decided] for told in direct(engine, list(SENTENCES))}) > 1


def test_job(stack: Stack, engine: Engine) -> None:
    """A job counts its lines by emotion, and its results have them in JSON and CSV."""
    texts = [f"{text} {number}" for number, text in enumerate(SENTENCES * 10)]
    labels = [CLASSES[told.decided] for told in direct(engine, texts)]
    job = stack.ended(stack.submit([*texts, ""]))
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", len(texts) + 1, 1)
    assert job["labels"] == {label: Counter(labels)[label] for label in CLASSES}
    *items, empty = stack.items(job)
    assert [item["label"] for item in items] == labels
    assert empty["error"]["code"] == "empty_text"
    header, *rows = csv.reader(stack.http.get(f"{job['links']['results']}?format=csv").text.splitlines())
    first = header.index("confidence") + 1
    assert tuple(header[first : first + len(CLASSES)]) == CLASSES
    assert [row[header.index("label")] for row in rows[:-1]] == labels
    for row, item in zip(rows[:-1], items, strict=True):
        assert [float(score) for score in row[first : first + len(CLASSES)]] == list(item["scores"].values())


def test_documents(stack: Stack) -> None:
    """The API's document, `/model` and the metrics name these classes, and none of sentiment's."""
    document = stack.http.get("/openapi.json").json()
    assert document["components"]["schemas"]["Scores"]["required"] == list(CLASSES)
    assert stack.http.get("/model").json()["labels"] == list(CLASSES)
    (family,) = [
        found
        for found in text_string_to_metric_families(stack.http.get("/metrics").text)
        if found.name == "sentiment_predictions"
    ]
    assert {sample.labels["label"] for sample in family.samples if sample.name.endswith("_total")} == {
        *CLASSES,
        "unsupported_language",
    }
    assert stack.http.get("/health").json()["missing"] == []


def test_worker_without_it_says_what_to_write(make_stack: Callable[..., Stack], folder: Path) -> None:
    """Without LABELS=own, the worker of this model ends with one sentence that has both ways out."""
    stack = make_stack(model=str(folder), ENGINE="pipeline", DEVICE="cpu")
    stack.start_server()
    process = stack.start_process("refused", "-m", "tasks.worker", "interactive")
    wait_until(lambda: not process.running, what="the worker to end", timeout_s=60)
    assert process.status == EX_CONFIG
    last = process.log.strip().splitlines()[-1]
    assert 'LABEL_MAP=\'{"anger": "?", "disgust": "?"' in last
    assert "LABELS=own" in last
    assert "Traceback" not in process.log


def test_web_that_cannot_read_the_model(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """Where the web process can neither find the model on the disk nor reach a hub, its start ends with a sentence."""
    stack = make_stack(model="me/emotions", LABELS="own", HF_HUB_OFFLINE=1, HF_HOME=str(tmp_path))
    process = stack.start_process(
        "refused", "-m", "gunicorn", "-c", "webapp/server/gunicorn_conf.py", "webapp.wsgi:app"
    )
    wait_until(lambda: not process.running, what="the process to end", timeout_s=30)
    assert process.status == EX_CONFIG
    (line,) = process.log.strip().splitlines()
    assert line.startswith(
        "Sentiq cannot start: LABELS: with own, web and workers read the model's classes from its config.json:"
        " me/emotions is no folder here, and was not found on the Hugging Face hub"
    )
