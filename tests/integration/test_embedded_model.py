"""The embedded model in a whole service: answers are those of the engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.engine import Engine
from model.engines.registry import load_engine
from model.text import clean
from tasks.store.outcomes import scored
from tests.support.keys import keys_without_end
from tests.support.stack import Stack

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
CLEAR = {
    "What a show, I loved every minute of it!": "POSITIVE",
    "Best day ever, thank you all so much 😍": "POSITIVE",
    "The meeting is on Tuesday at 9 am in room 4.": "NEUTRAL",
    "Worst customer service I have ever had, never again.": "NEGATIVE",
    "I hate this, it is broken and nobody helps": "NEGATIVE",
}


@pytest.fixture(scope="module")
def real() -> Iterator[Stack]:
    """A service on the embedded model, on the CPU."""
    stack = Stack(model="default", ENGINE="compiled", DEVICE="cpu", WEB_CONCURRENCY=1, PREDICT_TIMEOUT=30)
    stack.start("interactive", "batch")
    yield stack
    leaked = keys_without_end(stack.redis)
    stack.close()
    assert not leaked, f"keys without a TTL: {leaked}"


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The same engine, without a service."""
    return load_engine("default", engine="compiled", device="cpu", threads=1)


def direct(engine: Engine, texts: list[str]) -> list[tuple[float, ...]]:
    """The engine's own scores."""
    scores = engine.score([clean(text) for text in texts])
    return [scored(row, False).scores for row in scores.probabilities]


def test_clear_texts(real: Stack) -> None:
    """Clear texts get the right labels."""
    assert {text: real.predict(text).json()["label"] for text in CLEAR} == CLEAR


def test_callers_get_what_the_engine_says(real: Stack, engine: Engine) -> None:
    """Texts of many callers and lengths, batched as they come, get the same scores as from the engine alone, and so do
    cache hits.
    """
    texts = [f"{text} {uuid.uuid4().hex[:6]}" + " and so on" * (i % 20) for i, text in enumerate(list(CLEAR) * 8)]
    with ThreadPoolExecutor(8) as pool:
        fresh = list(pool.map(real.predict, texts))
    assert {answer.status_code for answer in fresh} == {200}
    expected = direct(engine, texts)
    assert [tuple(answer.json()["scores"][label] for label in LABELS) for answer in fresh] == [
        pytest.approx(row, abs=2e-3) for row in expected
    ]
    again = [real.predict(text).json() for text in texts]
    assert all(answer["cached"] for answer in again)
    assert [answer["scores"] for answer in again] == [answer.json()["scores"] for answer in fresh]


def test_job_gets_what_the_engine_says(real: Stack, engine: Engine) -> None:
    """A job's lines have the same scores as from the engine alone, in the input's order."""
    texts = [f"{text} {uuid.uuid4().hex[:6]}" + " once more" * (i % 30) for i, text in enumerate(list(CLEAR) * 12)]
    items = real.items(real.ended(real.submit(texts)))
    assert [tuple(item["scores"][label] for label in LABELS) for item in items] == [
        pytest.approx(row, abs=2e-3) for row in direct(engine, texts)
    ]


def test_long_and_odd_texts(real: Stack) -> None:
    """A text that is longer than the model reads at once is read whole, and its answer says in how many windows; emoji,
    a letter of another alphabet, single and drawn-out characters are scored.
    """
    long = real.predict("word " * 10_000).json()
    assert (long["truncated"], long["windows"] > 60) == (False, True)
    for text in ("😀", "ש", "!", "\ufffd", "a" * 50_000):
        answer = real.predict(text)
        assert answer.status_code == 200
        assert sum(answer.json()["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_health_names_the_model(real: Stack) -> None:
    """`/health` says which model answers, on which device and how fast."""
    workers = real.http.get("/health").json()["workers"]
    assert {worker["model"].split("@")[0] for worker in workers} == {"default"}
    assert {worker["device"] for worker in workers} == {"cpu"}


def test_model_tells_its_figures(real: Stack) -> None:
    """`/model` gives the measured figures of exactly the weights that answer, for each dev file and the test file."""
    told = real.http.get("/model").json()
    assert told["model"] == real.http.get("/health").json()["workers"][0]["model"]
    assert {one["split"] for one in told["figures"]} == {"dev", "test"}
    for one in told["figures"]:
        assert one["macro_recall"] == pytest.approx(sum(one["recall"].values()) / 3, abs=0.02)
