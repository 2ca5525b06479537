"""The service that the web calls: predicts texts, looks at workers and the model, and has the service of jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import redis

from model.analysis import Analysis
from model.description import Description
from model.figures import FileFigures, read_figures
from tasks.jobs.job import Line
from tasks.store.compilations import Compilations
from tasks.store.connections import Client
from tasks.store.presence import Presence
from tasks.streams.job_labels import JobLabels
from tasks.submit.asked import Asked, Reading
from tasks.submit.away import redis_or_unavailable
from tasks.submit.jobs import JobService
from tasks.submit.predictor import Outcomes, Prediction
from tasks.submit.served import ServedModels
from tasks.submit.streams import StreamService
from tasks.wire import CompilingMark, WorkerMark

__all__ = ["ModelInfo", "Prediction", "SentimentService"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known about the model without asking a worker."""

    identity: str | None
    """The model identity; None if no worker was ever ready."""
    labels: tuple[str, ...]
    figures: list[FileFigures]
    """The measured quality; empty for models other than the embedded one."""
    description: Description | None
    """What its workers tell of it; None if none has been ready since this process started."""


class Listener(Protocol):
    """Something with a thread of its own."""

    def close(self) -> None:
        """Ends the thread soon; waits for nothing."""


class SentimentService:
    """All that the web asks of `tasks`; a web process has one. Methods raise ServiceUnavailable when Redis is away."""

    def __init__(
        self,
        models: ServedModels,
        jobs: JobService,
        job_labels: JobLabels,
        streams: StreamService,
        presence: Presence,
        compilations: Compilations,
        servers: Collection[Client],
        listeners: Collection[Listener],
        *,
        analysis: Analysis,
    ) -> None:
        """Makes the service of its parts.

        Args:
            models: the models that texts are scored by.
            jobs: the service of jobs.
            job_labels: what people say of jobs' texts.
            streams: the service of streams.
            presence: lists the workers.
            compilations: lists those that are not ready because they compile their model.
            servers: a client of each Redis server that the service needs.
            listeners: what listens in the background for the service.
            analysis: the analysis that the service performs.
        """
        self.jobs = jobs
        self.job_labels = job_labels
        self.streams = streams
        self.models = models
        self.model_tag = models.default.model.tag
        self.analysis = analysis
        self._presence = presence
        self._compilations = compilations
        self._servers = servers
        self._listeners = listeners

    def predict(self, text: str, wait_s: float, caller: str, model: str | None = None) -> Prediction | None:
        """See `Predictor.predict`. `model`: the name of the model that the caller asks for.

        Raises:
            UnknownModel: there is no such model.
        """
        return self.models.choose(model).predictor.predict(text, wait_s, caller)

    def read(self, text: str, asked: Asked, model: str | None = None) -> Reading:
        """See `Predictor.read`; `model` as in `predict`."""
        return self.models.choose(model).predictor.read(text, asked)

    def predict_reading(
        self, reading: Reading, wait_s: float, caller: str, model: str | None = None
    ) -> tuple[Prediction, Outcomes] | None:
        """See `Predictor.predict_reading`; `model` as in `predict`."""
        return self.models.choose(model).predictor.predict_reading(reading, wait_s, caller)

    def predict_many(
        self, texts: Sequence[str], wait_s: float, caller: str, model: str | None = None
    ) -> list[Line] | None:
        """See `Predictor.predict_many`; `model` as in `predict`."""
        return self.models.choose(model).predictor.predict_many(texts, wait_s, caller)

    def close(self) -> None:
        """Ends the service's threads. A web process that ends need not call it, as they end with it."""
        for listener in self._listeners:
            listener.close()

    def ping(self) -> None:
        """Checks that every Redis server answers now; returns nothing."""
        with redis_or_unavailable():
            for server in self._servers:
                server.ping()

    def workers(self) -> list[WorkerMark]:
        """The marks of the workers that are ready."""
        with redis_or_unavailable():
            return self._presence.ready()

    def model(self, name: str | None = None) -> ModelInfo:
        """The model that callers who ask for this name get answers from now.

        Raises:
            UnknownModel: there is no such model.
        """
        known = self.models.choose(name).known
        with redis_or_unavailable():
            identity = known.identity
        figures = read_figures(identity) if identity is not None else []
        return ModelInfo(identity, self.analysis.classes, figures, self.described(identity))

    def described(self, identity: str | None) -> Description | None:
        """What workers tell of the model of this identity; None if none has been ready since this process started.
        Never raises.
        """
        found = self._presence.described.get(identity) if identity is not None else None
        if found is None and identity is not None:
            with contextlib.suppress(redis.RedisError):
                # Asks which workers there are, but not more than once a second.
                self.models.default.known.identity  # noqa: B018
            found = self._presence.described.get(identity)
        return found

    def compiling_for(self, model: str | None, role: str = "interactive") -> CompilingMark | None:
        """See `ServedModel.compiling`; `model` as in `predict`."""
        return self.models.choose(model).compiling(role)

    def compiling(self) -> list[CompilingMark]:
        """The workers that compile their model now, before they are ready."""
        with redis_or_unavailable():
            return self._compilations.under_way()
