"""The body of the `score` task: scores a chunk and stores the outcomes. Independent of Celery.

A chunk may be delivered twice; the second run finds the outcomes of the first and changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Protocol, TypeVar

import redis
from msgspec.structs import replace

from model.engine import Engine, Scores
from model.engines.merging import CALLER
from tasks import metrics
from tasks.discretion import frames, told
from tasks.errors import TextBeyondModel, TextFailed
from tasks.jobs import keys
from tasks.jobs.running import RunningJobs
from tasks.queue.turns import Turn
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import NO_REMARKS, Failed, Outcome, Remarks, digest, scored
from tasks.streams.lines import lines_of
from tasks.wire import Chunk, FormatError, JobChunk, NewerFormat, StreamTodo, TextsChunk, Todo, read_chunk

T = TypeVar("T")


class TakesTurns(Protocol):
    """The part of `tasks.queue.turns.Turns` that a scorer needs."""

    def choose(self, chunk_ids: Iterable[str] = (), /) -> list[Turn]:
        """Lets chunks wait for their turn; returns those of all chunks that have to be sent now."""

    def send(self, turn: Turn, /) -> None:
        """Sends a chunk whose turn it is."""


INTERNAL_ERROR = "internal_error"
"""The code of a text that has no answer because of a defect in Sentiq; requests that meet one get the same code."""
SUSPECT_LIMIT = 2
"""How often a text may end its worker when it is scored alone; after that, it is failed."""
NEWER_PAUSE_S = 0.5
"""Seconds before a chunk of a later version goes back into the queue.

Without the pause it would circulate at full speed if no worker can read it."""
_STORE_TRIES_S = (0.05, 0.1, 0.2, 0.5, *[1.0] * 30)
"""Seconds between attempts at a step on Redis while Redis is away."""
_NO_ROOM_PAUSE_S = 1.0
"""Seconds between attempts while Redis has no room."""

_log = logging.getLogger(__name__)


class NotStored(Exception):
    """The chunk must be delivered again, as Redis stayed away."""


class LaterVersion(Exception):
    """Only a worker of a later version can read the chunk; it must wait for one without delaying other chunks."""


Says = Callable[[Sequence[str], Scores], list[Remarks]]
"""What is said of texts besides their scores; see `tasks.work.remarks`."""


def _nothing(texts: Sequence[str], scores: Scores) -> list[Remarks]:
    return [NO_REMARKS] * len(texts)


CountedOf = Callable[[StreamTodo, Sequence[Outcome]], bytes]


def _not_for_streams(todo: StreamTodo, outcomes: Sequence[Outcome]) -> bytes:
    raise NotImplementedError


class Scorer:
    """Scores chunks with one engine. Thread-safe, like the engine."""

    def __init__(
        self,
        engine: Engine,
        cache: PredictionCache,
        jobs: RunningJobs,
        turns: TakesTurns,
        says: Says = _nothing,
        *,
        refuse_long: bool = False,
        counted: CountedOf = _not_for_streams,
    ) -> None:
        """Makes a scorer of its parts.

        Args:
            engine: scores the texts.
            cache: known outcomes are looked up there, and new ones kept.
            jobs: the jobs whose chunks come.
            turns: lets their next chunks wait for their turn.
            says: what is said of texts besides their scores.
            refuse_long: whether texts that are longer than the model reads are failed.
            counted: what a chunk adds to its stream, packed.
        """
        self._engine = engine
        self._says = says
        self._refuse_long = refuse_long
        self._cache = cache
        self._jobs = jobs
        self._turns = turns
        self._counted = counted
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ends all waiting for Redis, as the worker is about to stop."""
        self._stopping.set()

    def score(self, message: object, chunk_id: str) -> None:
        """Scores the chunk of a message and stores the outcomes. An unreadable message is dropped.

        Raises:
            NotStored, LaterVersion: the chunk must be delivered again.
        """
        try:
            self._score(read_chunk(message), chunk_id)
        except NewerFormat as error:
            _log.warning("chunk %s goes back into the queue: %s", chunk_id, error)
            self._stopping.wait(NEWER_PAUSE_S)
            raise LaterVersion from None
        except FormatError as error:
            self._note_defect(chunk_id, error)

    def _score(self, chunk: Chunk, chunk_id: str) -> None:
        try:
            match chunk:
                case JobChunk(tag=tag, job=job_id, n=number):
                    CALLER.set("")  # the thread may have had a caller's texts before
                    self._score_job_chunk(job_id, number, tag, chunk_id)
                case TextsChunk(tag=tag, texts=texts, caller=caller):
                    CALLER.set(caller)
                    outcomes = self._outcomes(chunk_id, tag, texts)
                    self._persist(lambda: self._cache.settle(self._engine.identity, tag, outcomes, chunk_id))
        except (NotStored, NewerFormat):
            raise
        except Exception as error:  # anything else is a defect; without an answer, the chunk would be lost
            self._note_defect(chunk_id, error)
            self._give_up(chunk, chunk_id)

    @staticmethod
    def _note_defect(chunk_id: str, error: Exception) -> None:
        metrics.DEFECTS.inc()
        _log.error("a defect while scoring chunk %s: %s", chunk_id, told(error), extra={"exception": frames(error)})

    def _score_job_chunk(self, job_id: str, number: int, tag: str, chunk_id: str) -> None:
        todo = self._persist(lambda: self._jobs.todo(job_id, number))
        if todo is None:
            self._go_on(job_id, self._persist(lambda: self._jobs.following(job_id, number)))
            return
        by_digest = self._outcomes(chunk_id, tag, todo.texts) if todo.texts else {}
        try:
            self._cache.settle(self._engine.identity, tag, by_digest, chunk_id, if_room=True)
        except redis.RedisError:
            _log.warning("Redis away: predictions of a job's chunk not cached", exc_info=True)
        self._end_job_chunk(job_id, number, todo, [by_digest[digest(text)] for text in todo.texts])

    def _end_job_chunk(self, job_id: str, number: int, todo: Todo | StreamTodo, outcomes: list[Outcome]) -> None:
        model, weights, counted = self._engine.identity, todo.weights, b""
        if isinstance(todo, Todo) or todo.keeps:
            self._persist(lambda: self._jobs.store_results(job_id, number, outcomes, model))
        if isinstance(todo, StreamTodo):
            counted = self._counted(todo, outcomes)
            # Lines that were not scored have no text.
            outcomes, weights = [*outcomes, Failed("")], [*weights, lines_of(todo) - sum(weights)]
        following = self._persist(lambda: self._jobs.finish(job_id, number, outcomes, weights, model, counted))
        self._go_on(job_id, following)

    def _go_on(self, job_id: str, following: int | None) -> None:
        """Lets the job's next chunk, if any, wait for its turn, and sends the chunks of any job whose turn it is now.

        If the worker dies before this, the done chunk is redelivered and the next one waits then.
        """
        waits = [] if following is None else [keys.chunk_id(job_id, following)]
        for turn in self._persist(lambda: self._turns.choose(waits)):
            self._persist(partial(self._turns.send, turn))
        if following is not None:
            self._persist(lambda: self._jobs.sent(job_id, following))

    def _give_up(self, chunk: Chunk, chunk_id: str) -> None:
        """Fails every text of a chunk, so that callers are answered and the job ends in spite of a defect in Sentiq."""
        failed = Failed(INTERNAL_ERROR)
        match chunk:
            case TextsChunk(tag=tag, texts=texts):
                outcomes: dict[str, Outcome] = {digest(text): failed for text in texts}
                self._persist(lambda: self._cache.settle(self._engine.identity, tag, outcomes, chunk_id))
            case JobChunk(job=job_id, n=number):
                try:
                    todo = self._persist(lambda: self._jobs.todo(job_id, number))
                except FormatError:
                    todo = self._persist(lambda: self._jobs.damaged(job_id))
                if todo is not None:
                    self._end_job_chunk(job_id, number, todo, [failed] * len(todo.texts))

    def _outcomes(self, chunk_id: str, tag: str, texts: Sequence[str]) -> dict[str, Outcome]:
        by_digest = {digest(text): text for text in texts}
        outcomes: dict[str, Outcome] = {}
        attempt = 1
        try:
            attempt, known = self._cache.begin(chunk_id, self._engine.identity, list(by_digest))
            outcomes = {key: outcome for key, outcome in zip(by_digest, known, strict=True) if outcome is not None}
        except redis.RedisError:
            _log.warning("Redis away: scoring all texts of a chunk without looking them up", exc_info=True)
        todo = {key: text for key, text in by_digest.items() if key not in outcomes}
        if todo and attempt == 1:
            outcomes |= dict(zip(todo, self._score_isolating(list(todo.values())), strict=True))
        elif todo:
            _log.warning("attempt %d at chunk %s: scoring its %d texts one by one", attempt, chunk_id, len(todo))
            for key, text in todo.items():
                outcomes[key] = self._score_suspect(chunk_id, tag, key, text)
        return outcomes

    def _score_isolating(self, texts: list[str]) -> list[Outcome]:
        """The outcomes of texts; if the engine raises, the texts are halved until each bad one is alone."""
        try:
            scores = self._engine.score(texts)
            windows = repeat(1) if scores.windows is None else scores.windows.tolist()
            said = self._says(texts, scores)
            outcomes = list(map(self._outcome, scores.probabilities, scores.truncated, said, windows))
        except Exception as error:  # of any kind: the engine's library raises, because of one text or of all
            if len(texts) == 1:
                who = len(texts[0]), digest(texts[0]), type(error).__name__
                _log.error("a text of %d characters failed (%s): %s", *who, extra={"exception": frames(error)})
                metrics.TEXTS_FAILED.inc()
                return [Failed(TextFailed.code)]
        else:
            metrics.TEXTS_SCORED.inc(len(texts))
            return outcomes
        half = len(texts) // 2
        return self._score_isolating(texts[:half]) + self._score_isolating(texts[half:])

    def _outcome(self, probabilities: Sequence[float], truncated: bool, remarks: Remarks, windows: int) -> Outcome:
        if truncated and self._refuse_long:
            return Failed(TextBeyondModel.code)
        return scored(probabilities, truncated, remarks if windows == 1 else replace(remarks, windows=windows))

    def _score_suspect(self, chunk_id: str, tag: str, key: str, text: str) -> Outcome:
        """Scores a text of a chunk that ended a worker: notes it before, stores it after, or fails it at the limit."""
        times = self._persist(lambda: self._cache.suspect(chunk_id, key))
        if times > SUSPECT_LIMIT:
            _log.error("a text of %d characters ended its worker %d times (%s)", len(text), SUSPECT_LIMIT, key)
            metrics.TEXTS_FAILED.inc()
            outcome: Outcome = Failed(TextFailed.code)
        else:
            outcome = self._score_isolating([text])[0]
        self._persist(lambda: self._cache.settle(self._engine.identity, tag, {key: outcome}))
        return outcome

    def _persist(self, step: Callable[[], T]) -> T:
        """Does a step on Redis, and repeats it while Redis is away, and for as long as Redis is full."""
        # Not by tenacity: if it is to stop during a pause, it makes one more attempt, as long as Redis's timeout.
        pauses_s = iter(_STORE_TRIES_S)
        while True:
            try:
                return step()
            except redis.exceptions.OutOfMemoryError:
                pause_s = _NO_ROOM_PAUSE_S  # again and again: to put the chunk back into the queue would need room too
                _log.warning("the memory of Redis is full; trying again in %.2f s", pause_s)
            except redis.RedisError:
                if (pause_s := next(pauses_s, 0.0)) == 0.0:
                    raise NotStored from None
                _log.warning("Redis away; trying again in %.2f s", pause_s)
            if self._stopping.wait(pause_s):
                raise NotStored
