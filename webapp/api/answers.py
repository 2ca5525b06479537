"""Answers that hold the predictions themselves, and not a job's address: to `/predict` and to small batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

import orjson

from model.analysis import Analysis
from model.description import Description
from tasks import metrics
from tasks.errors import UnknownModel
from tasks.jobs.job import TERMINAL, Job, Line, LinePart
from tasks.store.outcomes import Scored
from tasks.submit.asked import Part, Reading
from tasks.submit.predictor import Outcomes
from tasks.submit.service import Prediction
from tasks.wire import CompilingMark
from webapp.api.health import compiling_body
from webapp.api.parts import about_body, sentences_body, words_body
from webapp.api.results import line_body
from webapp.api.said import not_mentioned, said

_NO_PARTS: Mapping[str, object] = MappingProxyType({})


class PredictionAnswers:
    """Writes predictions as JSON, with the classes of the analysis, and counts them."""

    def __init__(
        self,
        analysis: Analysis,
        described: Callable[[str | None], Description | None],
        compiling: Callable[[str | None, str], CompilingMark | None],
    ) -> None:
        """What answers are written with.

        Args:
            analysis: has the classes.
            described: what is known of the model of an identity.
            compiling: how far the model of a name is, if workers of a role are not ready yet because of that.
        """
        self._classes = analysis.classes
        self._described = described
        self._compiling = compiling
        self._counts = metrics.PredictionCounts(analysis.classes)

    def prediction(
        self, text: str, prediction: Prediction, started: float, parts: Mapping[str, object] = _NO_PARTS
    ) -> bytes:
        """The answer for one text.

        Args:
            text: as it was sent.
            prediction: its prediction.
            started: when its request came in, by `time.perf_counter`.
            parts: what is said of its parts.
        """
        scored = prediction.scored
        flags = self.flags(prediction.model)
        self._count(scored, cached=prediction.cached)
        body = said(scored, self._classes, flags, {"text": text, "status": "done"})
        body["cached"] = prediction.cached
        body["processing_time_ms"] = int((time.perf_counter() - started) * 1_000_000) / 1000
        body["model"] = prediction.model
        body |= flags
        body |= parts
        return orjson.dumps(body)

    def reading(self, reading: Reading, prediction: Prediction, outcomes: Outcomes, started: float) -> bytes:
        """The answer for one text of which more was asked. `outcomes`: of its parts."""

        def found(some: Iterable[Part]) -> list[LinePart]:
            return [(part.start, part.end, None if part.scored is None else outcomes.get(part.scored)) for part in some]

        text, parts = reading.text, dict[str, object]()
        if reading.target is not None:
            parts |= {"target": reading.target, "about": about_body(text, reading.about)}
        if reading.sentences is not None:
            parts["sentences"] = sentences_body(text, found(reading.sentences), self._classes)
        if reading.words is not None:
            parts["words"] = words_body(text, prediction.scored, found(reading.words))
        return self.prediction(text, prediction, started, parts)

    def not_mentioned(self, text: str, target: str, started: float) -> bytes:
        """The answer for a text that does not name its target."""
        return orjson.dumps(
            {
                "text": text,
                "status": "done",
                **not_mentioned(),
                "cached": False,
                "processing_time_ms": int((time.perf_counter() - started) * 1_000_000) / 1000,
                "model": None,
                "target": target,
                "about": [],
            }
        )

    def _count(self, scored: Scored, *, cached: bool) -> None:
        self._counts.add(None if scored.remarks.refused else scored.decided, cached=cached)

    def flags(self, identity: str | None) -> dict[str, bool]:
        """What an answer says of the model that scored, after its identity; nothing while that is not known."""
        found = self._described(identity)
        if found is None:
            return {}
        if found.two_class:
            return {"calibrated": found.calibrated, "two_class": True}
        return {"calibrated": found.calibrated}

    def job_flags(self, job: Job) -> dict[str, object]:
        """What is said of a job's model: see `flags`; or, while the job waits for its workers to compile it, how far
        they are.
        """
        if job.model is None and job.status not in TERMINAL:
            with suppress(UnknownModel):  # which was taken from the settings since
                mark = self._compiling(job.requested_model, "batch")
                return {} if mark is None else {"compiling": compiling_body(mark)}
        return {**self.flags(job.model)}

    def lines(self, lines: Sequence[Line]) -> bytes:
        """The answer for a batch that did not become a job."""
        for line in lines:
            if isinstance(line.outcome, Scored):
                self._count(line.outcome, cached=line.cached)
        return orjson.dumps(
            {"status": "done", "items": [line_body(None, line, self._classes, self.flags) for line in lines]}
        )
