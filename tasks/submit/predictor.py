"""Predicts texts for callers that wait: known texts are answered at once, others after a short wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitOver
from typing import NamedTuple

import redis

from model.text import clean
from tasks import metrics
from tasks.errors import EmptyText, InvalidText, QueueFull, TextBeyondModel, TextFailed, TextTooLong
from tasks.jobs.job import Entry, Line
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Answer, Failed, Scored, digest
from tasks.store.presence import KnownModel
from tasks.submit.asked import Asked, Reading, read
from tasks.submit.away import redis_or_unavailable
from tasks.submit.coalescer import Coalescer
from tasks.submit.recent import RecentPredictions
from tasks.tracing import Tracing, here


class Prediction(NamedTuple):
    """The prediction for one text."""

    scored: Scored
    cached: bool
    model: str
    """The model identity."""


Outcomes = Mapping[str, Scored]
"""Outcomes by the texts that were scored."""
_ERRORS = {error.code: error for error in (TextFailed, TextBeyondModel)}


def _prediction(answer: Answer) -> Prediction:
    outcome, model, cached = answer
    if isinstance(outcome, Failed):
        if (error := _ERRORS.get(outcome.code)) is not None:
            raise error
        raise RuntimeError("a worker gave up; its log says why")
    return Prediction(outcome, cached, model)


def cleaner(max_chars: int) -> Callable[[str], str]:
    """A function that cleans a text.

    It raises TextTooLong for more than `max_chars` characters, and EmptyText if nothing is left.
    """

    def cleaned(text: str) -> str:
        if len(text) > max_chars:
            raise TextTooLong(len(text), max_chars)
        if not (found := clean(text)):
            raise EmptyText
        return found

    return cleaned


class Predictor:
    """Predicts texts; a web process has one for each model. Raises ServiceUnavailable when Redis is away."""

    def __init__(
        self,
        cleaned: Callable[[str], str],
        recent: RecentPredictions,
        cache: PredictionCache,
        model: KnownModel,
        coalescer: Coalescer[Answer],
        *,
        listen: Callable[[], None],
        patient: bool = True,
        tracing: Tracing | None = None,
    ) -> None:
        """Makes a predictor for one model.

        Args:
            cleaned: see `cleaner`.
            recent: predictions in this process's memory; asked first.
            cache: the prediction cache.
            model: what is known about the workers.
            coalescer: sends the texts that are not known.
            listen: called before each wait, to make sure that replies reach the coalescer from then on.
            patient: whether texts wait for their answers while no worker is ready.
            tracing: makes a span for each wait, if traces are wanted.
        """
        self._cleaned = cleaned
        self._recent = recent
        self._cache = cache
        self._model = model
        self._coalescer = coalescer
        self._listen = listen
        self._patient = patient
        self._tracing = tracing

    def predict(self, text: str, wait_s: float, caller: str) -> Prediction | None:
        """The text's prediction, from the cache or fresh; None if it did not come within `wait_s` seconds.

        Texts that are not known wait in turns with those of other callers.

        Raises:
            InvalidText, TextFailed: this text cannot be scored.
            QueueFull: too many texts wait.
        """
        cleaned = self._cleaned(text)
        key = digest(cleaned)
        answers = self._answers({key: cleaned}, wait_s, caller)
        return None if answers is None else _prediction(answers[key])

    def read(self, text: str, asked: Asked) -> Reading:
        """See `tasks.submit.asked.read`."""
        return read(text, asked, self._cleaned)

    def predict_reading(self, reading: Reading, wait_s: float, caller: str) -> tuple[Prediction, Outcomes] | None:
        """A text's prediction, and the outcomes of its parts by the texts that are scored; None and errors as of
        `predict`. Parts that cannot be scored have no outcome.
        """
        texts = [reading.scored, *(part.scored for part in reading.parts if part.scored is not None)]
        keys = {text: digest(text) for text in texts}
        answers = self._answers({key: text for text, key in keys.items()}, wait_s, caller)
        if answers is None:
            return None
        outcomes = {text: answers[key].outcome for text, key in keys.items()}
        scored = {text: outcome for text, outcome in outcomes.items() if isinstance(outcome, Scored)}
        return _prediction(answers[keys[reading.scored]]), scored

    def predict_many(self, texts: Sequence[str], wait_s: float, caller: str) -> list[Line] | None:
        """Predicts several texts like `predict`, in their order; a text that cannot be scored is an error of its line.

        Returns None if some answers do not come within `wait_s` seconds or if too many texts wait: then it takes a job.
        """
        asked: dict[str, str] = {}
        found: list[str | Failed] = []
        for text in texts:
            try:
                cleaned = self._cleaned(text)
            except InvalidText as error:
                found.append(Failed(error.code))
            else:
                key = digest(cleaned)
                asked[key] = cleaned
                found.append(key)
        try:
            answers = self._answers(asked, wait_s, caller)
        except QueueFull:
            return None
        if answers is None:
            return None
        lines: list[Line] = []
        for position, (text, one) in enumerate(zip(texts, found, strict=True)):
            if isinstance(one, Failed):
                lines.append(Line(position, Entry(text), one, None, cached=False))
                continue
            outcome, model, cached = answers[one]
            lines.append(Line(position, Entry(text), outcome, model, cached))
        return lines

    def _answers(self, texts: Mapping[str, str], wait_s: float, caller: str) -> dict[str, Answer] | None:
        """The answers to cleaned texts, both by digest; None if some do not come within `wait_s` seconds.

        Raises:
            QueueFull: too many texts wait.
        """
        with redis_or_unavailable():
            identity = self._model.remembered
            answers: dict[str, Answer] = {}
            if identity is not None:
                for key in texts:
                    if (scored := self._recent.get(identity, key)) is not None:
                        metrics.LOOKUP_RECENT.inc()
                        answers[key] = Answer(scored, identity, cached=True)
            if len(answers) == len(texts):
                return answers
            asked = {key: text for key, text in texts.items() if key not in answers} if answers else texts
            may_wait = wait_s > 0 and (self._patient or self._model.served)
            found = self._wait(asked, wait_s, caller) if may_wait else self._all_known(asked)
        return None if found is None else answers | found

    def _wait(self, texts: Mapping[str, str], wait_s: float, caller: str) -> dict[str, Answer] | None:
        if self._tracing is None:
            return self._await(texts, wait_s, caller)
        with self._tracing.span("wait") as span:
            answers = self._await(texts, wait_s, caller)
            if answers is not None and any(isinstance(answer.outcome, Failed) for answer in answers.values()):
                self._tracing.failed(span)
            return answers

    def _await(self, texts: Mapping[str, str], wait_s: float, caller: str) -> dict[str, Answer] | None:
        self._listen()
        started = time.monotonic()
        until = started + wait_s
        origin = here(self._tracing)
        futures: dict[str, Future[Answer]] = {}
        try:
            for key, text in texts.items():
                futures[key] = self._coalescer.submit(key, text, origin, caller=caller)
            answers = {
                key: future.result(timeout=max(0.0, until - time.monotonic())) for key, future in futures.items()
            }
        except WaitOver:
            return None
        except QueueFull:
            if (known := self._all_known(texts)) is not None:
                return known
            raise
        finally:
            for key, future in futures.items():
                if not future.done():
                    self._coalescer.leave(key, future)
        metrics.WAIT_SECONDS.observe(time.monotonic() - started)
        return answers

    def _all_known(self, texts: Mapping[str, str]) -> dict[str, Answer] | None:
        """The answers to these texts if the cache has all of them; it stops looking at the first that is missing."""
        identity = self._model.identity
        if identity is None:
            return None
        answers: dict[str, Answer] = {}
        for key in texts:
            try:
                found = self._cache.get(identity, key)
            except redis.RedisError:
                metrics.LOOKUP_ERROR.inc()
                raise
            if found is None:
                metrics.LOOKUP_MISS.inc()
                return None
            metrics.LOOKUP_HIT.inc()
            scored, left_s = found
            self._recent.put(identity, key, scored, left_s)
            answers[key] = Answer(scored, identity, cached=True)
        return answers
