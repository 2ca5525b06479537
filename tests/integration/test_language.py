"""Texts in languages that the model does not read, uncertain ones and ones without words, as callers see them."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable

import httpx

from tests.support.stack import Stack
from webapp.client import Sentiq

GERMAN = "Ich warte jetzt seit zwei Stunden am Bahnhof und niemand sagt uns etwas, {}."
ENGLISH = "I have been waiting at the station for two hours and nobody says a good word, {}."


def new(text: str) -> str:
    """A text that no test has sent before."""
    return text.format(uuid.uuid4().hex[:6].translate(str.maketrans("0123456789", "ghijklmnop")))


def body(answer: httpx.Response) -> dict[str, object]:
    """The body of an answer with a prediction."""
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_refused(make_stack: Callable[..., Stack]) -> None:
    """A text that is surely in a language that the model does not read has no label, fresh or cached, by `/predict`, by
    a job and in its files, and is counted apart in all of them; other texts say their language and have a label.
    """
    stack = make_stack(model="stub", WEB_CONCURRENCY=1, MODEL_LANGUAGES="en").start("interactive", "batch")
    foreign, known = new(GERMAN), new(ENGLISH)
    for cached in (False, True):
        found = body(stack.predict(foreign, prefer="wait=20"))
        assert [found[name] for name in ("label", "confidence", "scores", "cached")] == [None, None, None, cached]
        assert found["warnings"] == ["unsupported_language"]
        assert found["language"] == {"code": "de", "sureness": found["language"]["sureness"]}  # type: ignore[index]
    found = body(stack.predict(known, prefer="wait=20"))
    assert (found["label"], found["warnings"], found["uncertain"]) == ("POSITIVE", [], False)
    assert found["language"]["code"] == "en"  # type: ignore[index]
    assert body(stack.predict("@anna 123", prefer="wait=20"))["warnings"] == ["no_words"]
    assert stack.metric("sentiment_predictions_total", label="unsupported_language", source="fresh") == 1
    assert stack.metric("sentiment_predictions_total", label="unsupported_language", source="cache") == 1
    assert stack.metric("sentiment_text_warnings_total", warning="unsupported_language") == 1

    job = stack.ended(stack.submit([foreign, new(GERMAN), known, "", new(ENGLISH)]))
    counts = [job[name] for name in ("status", "done", "failed", "unsupported_language")]
    assert counts == ["succeeded", 5, 1, 2]
    assert job["labels"] == {"NEGATIVE": 0, "NEUTRAL": 0, "POSITIVE": 2}
    items = stack.items(job)
    assert [(item["status"], item.get("label")) for item in items] == [
        ("done", None),
        ("done", None),
        ("done", "POSITIVE"),
        ("failed", None),
        ("done", "POSITIVE"),
    ]
    assert [item.get("warnings") for item in items] == [["unsupported_language"]] * 2 + [[], None, []]
    answer = stack.http.get(job["links"]["results"], params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["label"], row["negative"], row["language"], row["warnings"]) for row in rows[:2]] == [
        ("", "", "de", "unsupported_language")
    ] * 2
    assert [(row["label"], row["language"], row["uncertain"], row["warnings"]) for row in rows[2:]] == [
        ("POSITIVE", "en", "false", ""),
        ("", "", "", ""),
        ("POSITIVE", "en", "false", ""),
    ]
    with Sentiq(str(stack.http.base_url)) as sentiq:
        prediction = sentiq.predict(foreign)
        assert (prediction.label, prediction.warnings) == (None, ["unsupported_language"])
        assert prediction.language is not None
        assert prediction.language["code"] == "de"


def test_scored_all_the_same(make_stack: Callable[..., Stack]) -> None:
    """With OTHER_LANGUAGES=score such a text has its label and the warning; below UNCERTAIN_BELOW an answer is
    uncertain. `/model` says which languages and which threshold.
    """
    given = {"MODEL_LANGUAGES": "en", "OTHER_LANGUAGES": "score", "UNCERTAIN_BELOW": "0.999"}
    stack = make_stack(model="stub", WEB_CONCURRENCY=1, **given).start("interactive", "batch")
    found = body(stack.predict(new(GERMAN), prefer="wait=20"))
    assert (found["label"] is None, found["warnings"]) == (False, ["unsupported_language"])
    found = body(stack.predict(new(ENGLISH), prefer="wait=20"))
    assert (found["uncertain"], found["warnings"]) == (True, ["uncertain"])
    told = stack.http.get("/model").json()
    assert (told["languages"], told["uncertain_below"]) == (["en"], 0.999)
    job = stack.ended(stack.submit([new(GERMAN)]))
    assert (job["unsupported_language"], sum(job["labels"].values())) == (0, 1)
