"""Streams on a running service: texts come in, each is counted once, and their series can be read."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.stack import Stack
from tests.support.texts import direct, new_texts

NOON = 1_774_958_400  # 2026-03-31T12:00Z


class Streaming:
    """A stream of its own on a running service."""

    def __init__(self, service: Stack) -> None:
        self.service = service
        self.name = f"s{uuid.uuid4().hex[:12]}"
        self.path = f"/streams/{self.name}"

    def put(self, **settings: Any) -> dict[str, Any]:
        """Makes the stream."""
        response = self.service.http.put(self.path, json=settings)
        assert response.status_code in (200, 201), response.text
        return dict(response.json())

    def send(self, content: Any, **query: Any) -> dict[str, Any]:
        """Sends texts, as JSON unless the content is bytes of CSV; returns the job once it has ended."""
        if isinstance(content, bytes):
            sent: dict[str, Any] = {"content": content, "headers": {"Content-Type": "text/csv"}}
        else:
            sent = {"json": content}
        response = self.service.http.post(f"{self.path}/texts", params=query, **sent)
        assert response.status_code == 202, response.text
        return self.service.ended(response.json())

    def get(self, of: str = "", **query: Any) -> dict[str, Any]:
        """What is answered of the stream."""
        response = self.service.http.get(f"{self.path}{of}", params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())


@pytest.fixture
def stream(service: Stack) -> Streaming:
    """A stream that was made with the default settings."""
    made = Streaming(service)
    made.put()
    return made


def iso(seconds: float) -> str:
    """A time as people send it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_texts_are_counted_by_segment_and_hour(stream: Streaming) -> None:
    """Each text is in the hour and the segment that it was sent with, and the shares are those of the texts' labels."""
    texts = new_texts(60)
    rows = [
        {"text": text, "time": iso(NOON + 600 * place), "segment": "ab"[place % 2], "author": f"u{place % 7}"}
        for place, text in enumerate(texts)
    ]
    job = stream.send({"texts": rows})
    assert (job["status"], job["total"], job["done"], job["repeated"]) == ("succeeded", 60, 60, 0)
    assert job["stream"] == stream.name
    series = stream.get("/series", bucket="hour")
    labels = [scores.index(max(scores)) for scores in direct(texts)]
    wanted = {
        (segment, iso(NOON + 3600 * hour)): [
            label for place, label in enumerate(labels) if "ab"[place % 2] == segment and place // 6 == hour
        ]
        for segment in "ab"
        for hour in range(10)
    }
    assert {(item["segment"], item["start"]) for item in series["items"]} == set(wanted)
    for item in series["items"]:
        found = wanted[item["segment"], item["start"]]
        assert item["texts"] == len(found)
        for index, name in enumerate(("negative", "neutral", "positive")):
            assert item[name]["estimate"] == pytest.approx(found.count(index) / len(found))
    assert {(part["segment"], part["texts"], part["authors"]) for part in series["segments"]} == {
        ("a", 30, 7),
        ("b", 30, 7),
    }
    about = stream.get()
    assert about["texts"] == 60
    assert [(part["segment"], part["texts"]) for part in about["segments"]] == [("a", 30), ("b", 30)]
