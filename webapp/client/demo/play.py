"""Plays the demo to a service: makes its streams, sends what was written before, and replays the rest live."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from webapp.client.client import Sentiq
from webapp.client.demo.stories import (
    CANDIDATES,
    Text,
    Writer,
    campaign,
    labelled,
    release,
    show_before,
    show_live,
)
from webapp.client.types import Job

SHOW, CAMPAIGN, RELEASE = NAMES = ("demo-show", "demo-campaign", "demo-release")
"""The demo's streams."""
FILE = "wayfold-reviews.csv"
"""What the file is called."""
TTL_S = 2 * 86_400
"""The service removes the streams two days after the demo: what counts is when a text came in, not when it was written.
"""
RATE = 6
"""Texts in a second while the show is live."""
MOST_SECONDS = 3600


class Demo:
    """The demo on one service."""

    def __init__(self, sentiq: Sentiq, say: Callable[[str], None]) -> None:
        """`say`: told what is being done."""
        self._sentiq, self._say = sentiq, say

    def there(self) -> list[str]:
        """The streams of an earlier run that are there."""
        return [state.name for state in self._sentiq.streams() if state.name in NAMES]

    def remove(self) -> None:
        """Removes them."""
        for name in self.there():
            self._sentiq.stream(name).delete()

    def fill_show(self, now: datetime) -> Writer:
        """Makes the show's stream with what was written before now; returns the writer of the rest."""
        writer, before = show_before(now)
        self._send(SHOW, before)
        return writer

    def fill_campaign(self, now: datetime) -> None:
        """Makes the campaign's stream."""
        masked = {name: list(others[1:]) for name, others in CANDIDATES.items()}
        self._send(CAMPAIGN, campaign(now), masked=masked)

    def fill_release(self, now: datetime) -> tuple[datetime, Job]:
        """Makes the release's stream, and a job of the same texts as a file; returns when the release came, and the
        job.
        """
        at, texts = release(now)
        labels = labelled(texts)
        self._send(RELEASE, texts, labels)
        job = self._sentiq.submit(io.BytesIO(as_csv(texts, labels)), content_type="csv", name=FILE)
        return at, self._sentiq.wait(job)

    def _send(
        self,
        name: str,
        texts: list[Text],
        labels: dict[str, str] | None = None,
        masked: dict[str, list[str]] | None = None,
    ) -> None:
        self._say(f"{name}: {len(texts)} texts")
        stream = self._sentiq.stream(name)
        stream.create(ttl=TTL_S, keep_sample=True, mask_segments=masked)
        job = stream.send(list(_records(texts, labels or {})), gold="random" if labels else None)
        # Nothing of it would be seen among one's jobs but that it was there.
        self._sentiq.remove(self._sentiq.wait(job))

    def live(self, writer: Writer, seconds: int, told: Callable[[float], None]) -> int:
        """Replays the show for so many seconds; returns how many texts were sent.

        Args:
            writer: of the show.
            seconds: how long.
            told: called with the seconds that have passed.
        """
        began, sent = time.monotonic(), 0
        for due, mix in show_live(writer, seconds, RATE):
            passed = time.monotonic() - began
            if passed > seconds:  # the service is slower than the show
                break
            if due > passed:
                time.sleep(due - passed)
            text = writer.write(mix, datetime.now(UTC))
            self._sentiq.predict(text.text, stream=SHOW, time=text.time, author=text.author, id=text.id)
            sent += 1
            told(due)
        return sent


def _records(texts: Iterable[Text], labels: dict[str, str]) -> Iterable[dict[str, object]]:
    for text in texts:
        record: dict[str, object] = {"text": text.text, "time": text.time, "author": text.author, "id": text.id}
        if text.segment is not None:
            record["segment"] = text.segment
        if text.id in labels:
            record["gold"] = labels[text.id].lower()
        yield record


def as_csv(texts: Iterable[Text], labels: dict[str, str]) -> bytes:
    """The texts as a file."""
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(("time", "platform", "author", "text", "label"))
    for text in texts:
        time_of = text.time.isoformat(timespec="seconds")
        rows.writerow((time_of, text.segment, text.author, text.text, labels.get(text.id, "").lower()))
    return file.getvalue().encode()
