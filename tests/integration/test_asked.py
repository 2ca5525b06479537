"""What may be asked of a text on a running service: all of a long text, a target, its sentences, and why."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import uuid4

import pytest

from tests.support.stack import Stack
from tests.support.texts import new_text


def ask(stack: Stack, text: str, **more: Any) -> dict[str, Any]:
    """The answer to a text, of which more is asked."""
    response = stack.http.post("/predict", json={"text": text, **more})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def long_text() -> str:
    """A text whose first 256 words, which the stub reads at once, are bad, and whose rest is good."""
    return f"{new_text('It is bad.')} " + "It is bad. " * 100 + "I love this, it is great and good. " * 200


def test_long_text_is_read_whole(service: Stack) -> None:
    """All of a long text counts, not only its beginning; the answer says in how many windows it was read, and the
    cached one is the same.
    """
    text = long_text()
    fresh, cached = ask(service, text), ask(service, text)
    assert (fresh["label"], fresh["truncated"]) == ("POSITIVE", False)
    assert fresh["windows"] > 5
    assert (cached["cached"], cached["scores"], cached["windows"]) == (True, fresh["scores"], fresh["windows"])
    assert ask(service, new_text())["windows"] == 1
    (line,) = service.items(service.ended(service.submit([text])))
    assert (line["windows"], line["scores"]) == (fresh["windows"], fresh["scores"])


def test_sentences(service: Stack) -> None:
    """Each sentence has its place in the text as it was sent, and the answer that it gets alone."""
    text = f"  {new_text('I love it &amp; it is great')}.\nBut the end is horrible!  \U0001f600 A chair."
    found = ask(service, text, sentences=True)
    assert [one["label"] for one in found["sentences"]] == ["POSITIVE", "NEGATIVE", "NEUTRAL"]
    for one in found["sentences"]:
        assert text[one["offset"] : one["offset"] + one["length"]] == one["text"]
        alone = ask(service, one["text"])
        assert (alone["cached"], alone["scores"], alone["confidence"]) == (True, one["scores"], one["confidence"])
    assert found["scores"] == ask(service, text)["scores"]


def test_words_weigh_what_the_score_changes_by(service: Stack) -> None:
    """A word's weight is the text's confidence less the score that the same label has without the word; the word that
    makes the label weighs most.
    """
    text = f"{new_text('The show was')}, for me, horrible and in a hall!"
    found = ask(service, text, explain=True)
    assert found["label"] == "NEGATIVE"
    heaviest = max(found["words"], key=lambda word: word["weight"])
    assert heaviest["text"] == "horrible"
    assert [word["text"] for word in found["words"]][-3:] == ["a", "hall", "!"]
    for word in found["words"]:
        rest = text[: word["offset"]] + text[word["offset"] + word["length"] :]
        left = ask(service, rest)["scores"]["NEGATIVE"]
        assert word["weight"] == pytest.approx(found["confidence"] - left, abs=1e-6)


def test_many_words_are_weighed_in_groups(service: Stack) -> None:
    """Of a text with more than 64 words, a few in a row have one weight, and together they hold the text; a word that
    is alone has none, because nothing is left without it.
    """
    # Short, so that all of it has room in the queue of a slow machine.
    found = ask(service, f"{uuid4().hex[:8]} " + "a b c d " * 17 + "awful", explain=True)
    assert len(found["words"]) <= 64
    assert "awful" in found["words"][-1]["text"]
    assert max(found["words"], key=lambda word: abs(word["weight"])) == found["words"][-1]
    (alone,) = ask(service, "good", explain=True)["words"]
    assert (alone["text"], alone["weight"]) == ("good", None)


def test_target(service: Stack) -> None:
    """Towards a target, what is about it is scored, as a text of its own."""
    name = new_text("Zed").replace(" ", "")
    text = f"I love the Pixel. But @{name.lower()} is awful. It is broken. The Galaxy is good."
    found = ask(service, text, target=name)
    assert (found["label"], found["target"]) == ("NEGATIVE", name)
    assert [part["text"] for part in found["about"]] == [f"But @{name.lower()} is awful.", "It is broken."]
    about = ask(service, " ".join(part["text"] for part in found["about"]))
    assert (about["cached"], about["scores"]) == (True, found["scores"])
    assert ask(service, text, target="pixel")["label"] == "POSITIVE"


def test_target_that_is_not_named(service: Stack) -> None:
    """A text that does not name the target has no label, and says why."""
    found = ask(service, new_text(), target="Nobody")
    assert (found["label"], found["scores"], found["warnings"]) == (None, None, ["not_mentioned"])


def test_all_at_once(service: Stack) -> None:
    """A target, sentences and words may be asked for together: all sentences, and the words of what is scored."""
    text = f"{new_text('The Pixel is great')}. The Galaxy is bad."
    found = ask(service, text, target="galaxy", sentences=True, explain=True)
    assert (found["label"], len(found["sentences"])) == ("NEGATIVE", 2)
    assert [word["text"] for word in found["words"]] == ["The", "Galaxy", "is", "bad", "."]


def test_jobs_towards_a_target_with_sentences(service: Stack) -> None:
    """A job has one target for all its lines, and its lines have their sentences; a line that does not name the target
    has no label, and is counted apart. Each line counts once, however many sentences it has.
    """
    first = f"{new_text('The Pixel is great')}. It rained. The Galaxy is bad."
    texts = [first, "The Galaxy is bad.", first, new_text("A pixel, awful")]
    response = service.http.post("/batch_predict", json={"texts": texts, "target": "Pixel", "sentences": True})
    job = service.ended(response.json())
    assert (job["target"], job["total"], job["done"], job["failed"]) == ("Pixel", 4, 4, 0)
    assert (job["status"], job["not_mentioned"]) == ("succeeded", 1)
    assert job["labels"] == {"NEGATIVE": 1, "NEUTRAL": 0, "POSITIVE": 2}
    lines = service.items(job)
    assert [line.get("label") for line in lines] == ["POSITIVE", None, "POSITIVE", "NEGATIVE"]
    assert (lines[1]["status"], lines[1]["warnings"]) == ("done", ["not_mentioned"])
    assert [one["label"] for one in lines[0]["sentences"]] == ["POSITIVE", "NEUTRAL", "NEGATIVE"]
    assert lines[0]["sentences"] == lines[2]["sentences"]
    told = ask(service, first, target="Pixel", sentences=True)
    assert (told["scores"], told["sentences"]) == (lines[0]["scores"], lines[0]["sentences"])


def test_upload_towards_a_target(service: Stack) -> None:
    """An upload names its target in the query; the CSV of the results tells the windows of each line."""
    upload = f'id,text\n1,{new_text("The Pixel is great")}\n2,nothing\n3,"{long_text()}"\n'
    response = service.http.post(
        "/batch_predict?target=it", content=upload.encode(), headers={"Content-Type": "text/csv"}
    )
    job = service.ended(response.json())
    table = service.http.get(f"{job['links']['results']}?format=csv").text
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["warnings"] for row in rows] == ["not_mentioned", "not_mentioned", ""]
    assert int(rows[2]["windows"]) > 5


def test_slow_answers_become_jobs(service: Stack) -> None:
    """Whoever does not wait gets a job, whose line has all that was asked for."""
    text = f"{new_text('The Pixel is great')}. The Galaxy is bad."
    response = service.http.post(
        "/predict",
        json={"text": text, "target": "Galaxy", "sentences": True, "explain": True},
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202
    (line,) = service.items(service.ended(response.json()))
    told = ask(service, text, target="Galaxy", sentences=True, explain=True)
    assert {name: line[name] for name in ("label", "scores", "sentences", "words")} == {
        name: told[name] for name in ("label", "scores", "sentences", "words")
    }


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"target": "#"}, "invalid_field"),
        ({"target": "x" * 101}, "invalid_field"),
        ({"sentences": 1}, "invalid_field"),
        ({"explain": True, "text": "word " * 400}, "too_long_to_explain"),
        ({"sentences": True, "text": "One. " * 501}, "too_many_sentences"),
        ({"target": "x", "text": " "}, "empty_text"),
    ],
)
def test_what_cannot_be_asked(service: Stack, more: dict[str, Any], code: str) -> None:
    """What cannot be answered is refused with a code that says why."""
    response = service.http.post("/predict", json={"text": "good", **more})
    assert (response.status_code, response.json()["code"]) == (422, code)
