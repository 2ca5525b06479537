"""Running jobs: how workers take their chunks, store the results and count them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import cast

import orjson

from model.analysis import Analysis
from model.labels import SENTIMENT
from tasks.jobs.counts import field_of
from tasks.jobs.job import TOLD_AT_THE_END, analysis_field, from_hash, job_facts
from tasks.jobs.keys import UNFINISHED, chunk_id, job_key
from tasks.jobs.results import ResultBackend
from tasks.jobs.scripts import JobScript
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.outcomes import Outcome
from tasks.wire import StreamTodo, Todo, chunk_result, read_todo

_log = logging.getLogger(__name__)


class RunningJobs:
    """Changes jobs as their chunks are worked on. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client, results: ResultBackend) -> None:
        self._client = client
        self._results = results
        self._todo = JobScript(client, "todo")
        self._finish = JobScript(client, "finish")
        self._following = JobScript(client, "following")
        self._sent = JobScript(client, "sent")
        self._due = JobScript(client, "due")

    def todo(self, job_id: str, number: int) -> Todo | StreamTodo | None:
        """A chunk's texts; marks the job as started. None if there is nothing to do: done, cancelled or expired.

        Raises:
            FormatError: what is stored of the chunk cannot be read, or is lost; see `damaged`.
        """
        packed = self._todo(job_id, number)
        return None if packed is None else read_todo(packed)

    def damaged(self, job_id: str) -> Todo:
        """A stand-in for the content of a chunk of which nothing can be read: as many texts as a chunk can have.

        None of them answers a line, as nobody knows which would: lines without an answer fail when the job ends.
        """
        size = int(self._client.hget(job_key(job_id), "chunk_size") or 0)
        return Todo([""] * size, [0] * size)

    def store_results(self, job_id: str, number: int, outcomes: Sequence[Outcome], model: str) -> None:
        """Stores a chunk's outcomes, in the order of its texts. The chunk does not count as done yet: see `finish`."""
        self._results.store(chunk_id(job_id, number), chunk_result(model, outcomes))

    def finish(
        self,
        job_id: str,
        number: int,
        outcomes: Sequence[Outcome],
        weights: Sequence[int],
        model: str,
        counted: bytes = b"",
    ) -> int | None:
        """Counts a chunk whose results are stored; the last one ends the job. Repeating it counts nothing.

        Args:
            job_id: the job.
            number: the chunk.
            outcomes: the outcomes of its texts.
            weights: for each text, the number of lines that it answers.
            model: the identity of the model that scored.
            counted: what it adds to the job's stream (`tasks.streams.counted`); empty if the job has none.

        Returns:
            The number of the chunk that has to be sent now, if there is one.
        """
        fields = [field_of(outcome) for outcome in outcomes]
        stored = self._results.key(chunk_id(job_id, number))
        answer = self._finish(
            job_id, number, model, orjson.dumps(fields), orjson.dumps(list(weights)), counted, own_keys=[stored]
        )
        if answer == b"gone":
            self._results.forget([chunk_id(job_id, number)])
            return None
        return cast("int | None", answer)

    def following(self, job_id: str, number: int) -> int | None:
        """The chunk that should have been sent after a done one and was not: its worker may have died before that."""
        return cast("int | None", self._following(job_id, number))

    def sent(self, job_id: str, number: int) -> None:
        """Notes that a chunk was sent after another was done."""
        self._sent(job_id, number)

    def expected(self, analysis: Analysis = SENTIMENT, models: Iterable[str | None] = (None,)) -> set[str]:
        """The task ids of a model's chunks that should be under way: the first in each lane that is not done.

        A damaged job, for which the script fails, is left out.

        Args:
            analysis: the analysis of the jobs.
            models: the names by which they may have asked for the model; None for those that named none.
        """
        ids = [name_of(job_id) for job_id in self._client.smembers(UNFINISHED)]
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hget(job_key(job_id), "analysis")
            self._due(job_id, client=pipe)
        answers = pipe.execute(raise_on_error=False)
        asked = {analysis_field(analysis, name) for name in models}
        expected: set[str] = set()
        for job_id, of, numbers in zip(ids, answers[::2], answers[1::2], strict=True):
            if isinstance(numbers, Exception):
                _log.warning("job %s is not looked after: %s", job_id, type(numbers).__name__)
            elif of in asked:
                expected.update(chunk_id(job_id, number) for number in numbers)
        return expected

    def callback(self, job_id: str) -> tuple[str, bytes] | None:
        """The URL and the body of a job's callback; None if the job has expired or has no callback."""
        stored = self._client.hgetall(job_key(job_id))
        job = from_hash(job_id, stored) if stored else None
        if job is None or job.callback_url is None:
            return None
        return job.callback_url, orjson.dumps({"event": "job.ended", "job": job_facts(job, TOLD_AT_THE_END)})
