"""The service that the web calls: predicts texts, looks at workers and the model, and has the service of jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import redis

from model.analysis import Analysis
from model.description import Description
from model.figures import FileFigures, read_figures
from tasks.store.compilations import Compilations
from tasks.store.connections import Client
from tasks.store.presence import KnownModel, Presence
from tasks.submit.away import redis_or_unavailable
from tasks.submit.jobs import JobService
from tasks.submit.predictor import Prediction, Predictor
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
        predictor: Predictor,
        jobs: JobService,
        known: KnownModel,
        presence: Presence,
        compilations: Compilations,
        servers: Collection[Client],
        listeners: Collection[Listener],
        *,
        model_tag: str,
        analysis: Analysis,
    ) -> None:
        """Makes the service of its parts.

        Args:
            predictor: predicts texts.
            jobs: the service of jobs.
            known: what is known about the workers.
            presence: lists the workers.
            compilations: lists those that are not ready because they compile their model.
            servers: a client of each Redis server that the service needs.
            listeners: what listens in the background for the service.
            model_tag: the model name and revision that workers are asked for.
            analysis: the analysis that the service performs.
        """
        self.predict = predictor.predict
        self.predict_many = predictor.predict_many
        self.jobs = jobs
        self.model_tag = model_tag
        self.analysis = analysis
        self._known = known
        self._presence = presence
        self._compilations = compilations
        self._servers = servers
        self._listeners = listeners

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

    def model(self) -> ModelInfo:
        """The model that callers get answers from now."""
        with redis_or_unavailable():
            identity = self._known.identity
        figures = read_figures(identity) if identity is not None else []
        return ModelInfo(identity, self.analysis.classes, figures, self.described(identity))

    def described(self, identity: str | None) -> Description | None:
        """What workers tell of the model of this identity; None if none has been ready since this process started.
        Never raises.
        """
        found = self._presence.described.get(identity) if identity is not None else None
        if found is None and identity is not None:
            with contextlib.suppress(redis.RedisError):
                self._known.identity  # noqa: B018 (asks which workers there are, but not more than once a second)
            found = self._presence.described.get(identity)
        return found

    def compiling(self) -> list[CompilingMark]:
        """The workers that compile their model now, before they are ready."""
        with redis_or_unavailable():
            return self._compilations.under_way()
