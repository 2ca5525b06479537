"""Labels and comparisons of streams on a running service."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.stack import Stack

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
_WORDS = ("awful", "plain", "great")
"""What the stub takes for each label."""

Line = dict[str, str]


def lines(
    segment: str, count: int, seed: int, shares: tuple[float, float, float], *, flattered: float = 0.0, day: int = 1
) -> list[Line]:
    """Texts of a segment. What people would say of each is its last word; the model sees the first, and takes a part of
    the negative ones (`flattered`) for positive.
    """
    rng = random.Random(seed)
    found = []
    for number in range(count):
        truth = rng.choices(range(3), shares)[0]
        seen = 2 if truth == 0 and rng.random() < flattered else truth
        found.append(
            {
                "text": f"{_WORDS[seen]} {uuid.uuid4().hex[:12]} t{truth}",
                "segment": segment,
                "time": f"2026-05-{day:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
            }
        )
    return found


def send(service: Stack, name: str, some: Iterable[Line], **query: str) -> None:
    """Sends texts into a stream and waits until they are counted."""
    body = "\n".join(map(json.dumps, some))
    answer = service.http.post(
        f"/streams/{name}/texts", content=body, params=query, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 202, answer.text
    assert service.ended(answer.json())["status"] == "succeeded"


def get(service: Stack, path: str, **query: Any) -> dict[str, Any]:
    """An answer as JSON."""
    answer = service.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def label(service: Stack, name: str, by: str, segment: str, count: int) -> list[str]:
    """Labels so many texts of a segment as its person would; returns their ids."""
    items = get(service, f"/streams/{name}/sample", by=by, segment=segment, limit=count)["items"]
    said = [{"id": item["id"], "label": LABELS[int(item["text"][-1])]} for item in items]
    answer = service.http.post(f"/streams/{name}/labels", json={"by": by, "labels": said})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["accepted"], answer.json()["refused"]) == (len(said), [])
    return [item["id"] for item in items]


def near(estimate: dict[str, float], truth: float) -> bool:
    """Whether the truth is no further away than two widths of the interval: the labelled texts are drawn at random, and
    one interval in twenty does not hold it.
    """
    return abs(estimate["estimate"] - truth) < 2 * (estimate["high"] - estimate["low"])


@pytest.fixture
def stream(service: Stack) -> str:
    """The name of an empty stream that keeps texts to label."""
    name = f"labels-{uuid.uuid4().hex[:8]}"
    assert service.http.put(f"/streams/{name}", json={"keep_sample": True}).status_code == 201
    return name


def test_labels_turn_round_what_the_model_gets_wrong(service: Stack, stream: str) -> None:
    """The model flatters Alpha: by its counts Alpha is ahead, and that is said to be raw, with the labels that are
    missing. With 100 labels of each, Beta is ahead, as it is in truth; series is corrected too. Deleting the stream
    deletes its labels.
    """
    send(service, stream, lines("Alpha", 700, 1, (0.5, 0.2, 0.3), flattered=0.95))
    send(service, stream, lines("Beta", 700, 2, (0.2, 0.3, 0.5)))
    path = f"/streams/{stream}/compare"
    (raw,) = get(service, path, a="Alpha", b="Beta")["items"]
    assert (raw["verdict"], raw["method"]) == ("ahead", "raw")
    assert raw["sentence"].startswith("By the model's own counts, Alpha is ahead of Beta")
    assert "100 more for Alpha and 100 more for Beta" in raw["note"]

    label(service, stream, "anna", "Alpha", 100)
    half = get(service, path, a="Alpha", b="Beta")
    assert half["items"][0]["method"] == "raw"
    assert "100 more for Beta." in half["items"][0]["note"]
    assert [one["counted"] for one in half["labels"]] == [100, 0]

    label(service, stream, "anna", "Beta", 100)
    (found,) = get(service, path, a="Alpha", b="Beta")["items"]
    assert (found["verdict"], found["method"]) == ("behind", "corrected")
    assert found["sentence"].startswith("Beta is ahead of Alpha")
    assert near(found["net"], (0.3 - 0.5) - (0.5 - 0.2))

    item = next(
        one for one in get(service, f"/streams/{stream}/series", bucket="day")["items"] if one["segment"] == "Alpha"
    )
    assert item["labels"] == 100
    assert item["method"].startswith("corrected")
    assert near(item["negative"], 0.5)

    assert service.http.delete(f"/streams/{stream}").status_code == 204
    assert not list(service.redis.scan_iter("sentiq:s:*:labels"))


def test_two_people_and_what_they_agree_on(service: Stack, stream: str) -> None:
    """Two people get different texts at first; then some of the other one's, and how far they agree is told."""
    send(service, stream, lines("Alpha", 300, 3, (0.4, 0.2, 0.4)))
    anna = label(service, stream, "anna", "Alpha", 50)
    ben = label(service, stream, "ben", "Alpha", 50)
    assert set(ben) - set(anna) == set(ben[:40])
    assert set(ben) & set(anna) == set(ben[40:])
    answer = get(service, f"/streams/{stream}/labels")
    (pair,) = answer["agreement"]
    assert (pair["first"], pair["second"], pair["texts"], pair["equal"], pair["kappa"]) == ("anna", "ben", 10, 10, 1.0)
    assert answer["labels"][0] | {"note": ""} == {
        "segment": "Alpha",
        "counted": 90,
        "needed": 10,
        "cannot_tell": 0,
        "set_aside": 0,
        "note": "",
    }


def test_labels_of_picked_texts_do_not_count(service: Stack, stream: str) -> None:
    """Whoever labels only the negative texts of those that were given out has labels that are set aside; an id that
    nobody was given is refused, and the other labels of that request are stored.
    """
    send(service, stream, lines("Alpha", 400, 4, (0.5, 0.0, 0.5)))
    items = get(service, f"/streams/{stream}/sample", by="anna", limit=300)["items"]
    picked = [{"id": item["id"], "label": "negative"} for item in items if item["text"].endswith("t0")]
    answer = service.http.post(f"/streams/{stream}/labels", json=[*picked, {"id": "0" * 16, "label": "cannot tell"}])
    assert answer.json()["refused"] == [*(one["id"] for one in picked), "0" * 16][-1:]
    assert answer.json()["accepted"] == len(picked)
    (found,) = answer.json()["labels"]
    assert found["counted"] < 20
    assert found["set_aside"] > 100
    (alpha,) = get(service, f"/streams/{stream}/series", bucket="day")["items"]
    assert alpha["method"] == "raw"


def test_names_are_masked_in_comparisons(service: Stack, stream: str) -> None:
    """Two parties of whom the same is said: by their names alone, one would be ahead. Compared with names masked it
    cannot be told, and that the names matter is said with the other answer. Not if the stream masks nothing.
    """

    def said(of: str) -> list[Line]:
        return [{"text": f"{of} spoke at noon {uuid.uuid4().hex[:12]}", "segment": of} for _ in range(150)]

    send(service, stream, [*said("Great Party"), *said("Terrible Party")])
    answer = get(service, f"/streams/{stream}/compare", a="Great Party", b="Terrible Party")
    (item,) = answer["items"]
    assert answer["masked"] is True
    assert (item["verdict"], item["unmasked"]["verdict"], item["mask_changes_verdict"]) == (
        "cannot be told",
        "ahead",
        True,
    )
    assert "The names themselves matter here." in item["note"]
    plain = get(service, f"/streams/{stream}/compare", a="Great Party", b="Terrible Party", masked="false")
    assert (plain["masked"], plain["items"][0]["verdict"], plain["items"][0]["unmasked"]) == (False, "ahead", None)

    bare = f"{stream}-bare"
    assert service.http.put(f"/streams/{bare}", json={"mask_segments": False}).status_code == 201
    send(service, bare, [*said("Great Party"), *said("Terrible Party")])
    assert get(service, f"/streams/{bare}/compare", a="Great Party", b="Terrible Party")["masked"] is False
    refused = service.http.get(
        f"/streams/{bare}/compare", params={"a": "Great Party", "b": "Terrible Party", "masked": "true"}
    )
    assert refused.status_code == 422


def test_before_and_after_many_and_other_streams(service: Stack, stream: str) -> None:
    """A time before and after, three segments at once, and two streams are compared, each in words of its own."""
    send(service, stream, lines("Alpha", 300, 5, (0.2, 0.3, 0.5), day=1))
    send(service, stream, lines("Alpha", 300, 6, (0.6, 0.2, 0.2), day=3))
    path = f"/streams/{stream}/compare"
    (moved,) = get(service, path, at="2026-05-02T00:00:00Z", segment="Alpha")["items"]
    assert (moved["first"], moved["second"], moved["verdict"]) == ("after", "before", "behind")
    assert "of Alpha fell by" in moved["sentence"]
    assert "before 2026-05-02 00:00 UTC" in moved["sentence"]
    (short,) = get(service, path, at="2026-05-02T00:00:00Z", window="36h")["items"]
    assert "from the 36 hours before" in short["sentence"]
    assert short["verdict"] == "behind"
    assert "100 more for the time after and 100 more for the time before" in short["note"]
    unknown = service.http.get(path, params={"a": "Alpha", "b": "Alfa"}).json()
    assert (unknown["code"], unknown["detail"].endswith("`Alfa`. Do you mean `Alpha`?")) == ("segment_not_found", True)

    send(service, stream, [*lines("Beta", 150, 7, (0.3, 0.4, 0.3)), *lines("Gamma", 150, 8, (0.3, 0.4, 0.3))])
    many = get(service, path, segment=["Alpha", "Beta", "Gamma"])
    assert [(one["first"], one["second"]) for one in many["items"]] == [
        ("Alpha", "Beta"),
        ("Alpha", "Gamma"),
        ("Beta", "Gamma"),
    ]
    assert {one["comparisons"] for one in many["items"]} == {3}
    assert many["adjustment"] == "Šidák"
    assert [one["name"] for one in many["shares"]] == ["Alpha", "Beta", "Gamma"]

    other = f"{stream}-other"
    assert service.http.put(f"/streams/{other}", json={}).status_code == 201
    send(service, other, lines("Alpha", 300, 9, (0.1, 0.1, 0.8)))
    (streams,) = get(service, path, **{"with": other, "segment": "Alpha"})["items"]
    assert (streams["first"], streams["second"]) == (f"Alpha in {stream}", f"Alpha in {other}")
    assert streams["verdict"] == "behind"


def test_authors_who_repeat(service: Stack, stream: str) -> None:
    """200 texts of four authors, each of one mind, tell about as much as a few people; those of 200 authors, or of
    nobody in particular, as much as 200.
    """
    sent = {"few": 4, "many": 200, "nobody": 0}
    for segment, authors in sent.items():
        texts = [
            {
                "text": f"{_WORDS[2 * (number % 2)]} {uuid.uuid4().hex[:12]}",
                "segment": segment,
                "author": f"{segment}{number % authors}" if authors else "",
            }
            for number in range(200)
        ]
        send(service, stream, texts)
    shares = get(service, f"/streams/{stream}/compare", segment=list(sent))["shares"]
    effective = {one["name"]: one["effective_texts"] for one in shares}
    assert effective["few"] < 20
    assert effective["many"] > 180
    assert effective["nobody"] > 180


def test_files_with_labels(service: Stack, stream: str) -> None:
    """A file whose texts all have labels corrects at once; one with labels on some texts does only if it is declared
    that these were chosen at random.
    """

    def labelled(some: list[Line], every: int = 1) -> list[Line]:
        return [
            line | {"gold": LABELS[int(line["text"][-1])].lower()} if not place % every else line
            for place, line in enumerate(some)
        ]

    send(service, stream, labelled(lines("all", 200, 1, (0.5, 0.2, 0.3), flattered=0.8)))
    send(service, stream, labelled(lines("some", 400, 2, (0.5, 0.2, 0.3), flattered=0.8), 3))
    send(service, stream, labelled(lines("declared", 400, 3, (0.5, 0.2, 0.3), flattered=0.8), 3), gold="random")
    counts = {
        one["segment"]: (one["counted"], one["set_aside"])
        for one in get(service, f"/streams/{stream}/labels")["labels"]
    }
    assert counts == {"all": (200, 0), "some": (0, 134), "declared": (134, 0)}


def test_what_is_refused(service: Stack, stream: str) -> None:
    """What cannot be answered is said: no texts kept, an unknown segment, nothing to compare, a label that is none."""
    bare = f"{stream}-bare"
    assert service.http.put(f"/streams/{bare}", json={}).status_code == 201
    answer = service.http.get(f"/streams/{bare}/sample")
    assert (answer.status_code, answer.json()["code"]) == (409, "texts_not_kept")
    assert "keep_sample" in answer.json()["detail"]
    path = f"/streams/{stream}"
    for query, status in (
        ("compare", 422),
        ("compare?a=x", 422),
        ("compare?a=x&b=x", 422),
        ("compare?segment=x", 422),
        ("compare?a=x&b=y", 404),
        ("compare?at=noon", 422),
        ("compare?at=2026-05-02&a=x&b=y", 422),
        ("compare?at=2026-05-02&window=0h", 422),
        ("compare?window=2h&a=x&b=y", 422),
        ("compare?at=2026-05-02&window=36501d", 422),
        ("compare?at=2026-05-02&window=999999d", 422),
        ("compare?at=1900-01-01&window=36500d", 200),
        (f"compare?with={stream}", 422),
        ("compare?with=no-such-stream", 404),
        ("compare?" + "&".join(f"segment={n}" for n in range(21)), 422),
        ("sample?limit=0", 422),
        ("sample?limit=501", 422),
        ("sample?segment=x", 404),
        ("sample?by=%00", 422),
        ("sample?from=never", 422),
        ("sample?from=2026-05-03&to=2026-05-02", 422),
        ("compare?a=x&b=y&from=2026-05-03&to=2026-05-02", 422),
        ("series?from=2026-05-03&to=2026-05-03", 422),
        ("series?segment=x", 404),
        ("series?tz=%2B23:59", 422),
        ("sample?nonsense=1", 422),
    ):
        assert service.http.get(f"{path}/{query}").status_code == status, query
    for body in ([], {}, {"labels": [{"id": "x", "label": "GOOD"}]}, [{"id": "x"}], [{"id": 1, "label": "NEUTRAL"}], 3):
        assert service.http.post(f"{path}/labels", json=body).status_code == 422, body
    assert service.http.get("/streams/no-such-stream/labels").status_code == 404
    assert get(service, f"{path}/sample")["items"] == []
