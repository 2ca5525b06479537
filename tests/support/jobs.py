"""Makes jobs without a web process."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from model.text import clean
from tasks.errors import EmptyText
from tasks.jobs.incoming import IncomingJobs
from tasks.jobs.job import Entry
from tasks.store.cache import PredictionCache
from tasks.submit.asked import NOTHING, Asked
from tasks.submit.intake import Intake, Submission

MODEL = "stub@1/stub"


def cleaned(text: str) -> str:
    """Cleans a text like the service, but without a limit on its length."""
    if not (out := clean(text)):
        raise EmptyText
    return out


class TakenIn:
    """A job whose texts come in on request; `sent` has the numbers of the chunks that it sends."""

    def __init__(
        self,
        jobs: IncomingJobs,
        cache: PredictionCache,
        *,
        size: int = 2,
        window: int = 2,
        max_texts: int = 10_000,
        callback_url: str | None = None,
        asked: Asked = NOTHING,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.sent: list[int] = []
        self._jobs = jobs
        jobs.begin(self.id, chunk_size=size, window=window, callback_url=callback_url)
        self.intake = Intake(
            jobs,
            cache,
            job_id=self.id,
            identity=MODEL,
            chunk_size=size,
            max_texts=max_texts,
            cleaned=cleaned,
            asked=asked,
            send=self.sent.extend,
            alive=lambda: None,
        )

    def receive(self, entries: Iterable[str | Entry]) -> str:
        """Takes entries in and seals the job; returns their fingerprint."""
        numbered = (
            (line, entry if isinstance(entry, Entry) else Entry(entry)) for line, entry in enumerate(entries, 1)
        )
        fingerprint = self.intake.receive(Submission(numbered))
        self._jobs.seal(self.id)
        return fingerprint


def make_job(
    jobs: IncomingJobs,
    cache: PredictionCache,
    texts: Sequence[str],
    *,
    size: int = 2,
    window: int = 2,
    callback_url: str | None = None,
) -> str:
    """Makes a complete job; returns its id."""
    taken = TakenIn(jobs, cache, size=size, window=window, callback_url=callback_url)
    taken.receive(texts)
    return taken.id
