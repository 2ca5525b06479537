"""The page that tells how the service is, in words, and its part that is fetched anew every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, Metric

from tasks.errors import ServiceUnavailable
from tasks.jobs.job import JobStatus
from tasks.keys import Scope
from tasks.submit.service import SentimentService
from webapp.api.health import health_body
from webapp.api.predictions import model_body
from webapp.front.visit import caller
from webapp.pages.page import PREDICTS, RUNS_JOBS, Pages

_ADMIN = frozenset({Scope.ADMIN})
_EITHER = PREDICTS | RUNS_JOBS
_FAILED_JOBS = 5
_ERRORS = {
    "queue_full": "turned away, as too many texts waited",
    "service_unavailable": "not answered, as a part of the service was away",
    "internal_server_error": "ended by a defect of Sentiq; the log has the details",
    "text_failed": "about a text that the model could not score",
    "storage_full": "refused, as the memory for jobs was full",
    "upload_too_slow": "cut off, as their file came in too slowly",
    "too_many_files": "turned away, as too many files were being read",
    "model_not_served": "for a model that no worker serves",
}
"""Codes of errors that whoever runs the service should know of, in words: "3 requests were ..." """
_ROLES = {
    "redis": "The memory that all parts share (Redis) is away: nothing can be answered until it is back.",
    "interactive worker": "The worker for single texts is away: texts that are known are answered, new ones wait.",
    "batch worker": "The worker for files and streams is away: what is sent waits; single texts are answered.",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Where whoever runs the service looks further; None where there is no such page."""

    grafana: str | None
    flower: str | None


def add_status(
    blueprint: Blueprint,
    pages: Pages,
    sentiment: SentimentService,
    links: Links,
    collected: Callable[[], CollectorRegistry],
) -> None:
    """Adds the addresses of the page.

    Args:
        blueprint: of the pages.
        pages: shows them.
        sentiment: the service.
        links: to other pages.
        collected: the metrics of all web processes, and of queues, workers and jobs.
    """

    def state() -> dict[str, Any]:
        health: dict[str, Any] = health_body(sentiment)
        told: dict[str, Any] = {
            "health": health,
            "missing": [_in_words(str(one)) for one in health["missing"]],
            "model": None,
            "counted": None,
            "links": None,
            "failed_jobs": [],
            "at": time.strftime("%H:%M:%S UTC", time.gmtime()),
        }
        try:
            told["model"] = model_body(sentiment.model())
            if pages.may(RUNS_JOBS):
                told["failed_jobs"] = sentiment.jobs.newest(None, JobStatus.FAILED, _FAILED_JOBS, caller().sees)[0]
        except ServiceUnavailable:
            pass
        if pages.may(_ADMIN):  # it is about all callers together
            told |= {"counted": _counted(collected().collect()), "links": links}
        return told

    @blueprint.get("/status")
    def status() -> Response:
        shown = state() if pages.may(_EITHER) else {}
        return pages.show("status.html", needs=_EITHER, **shown)

    @blueprint.get("/pages/status")
    def status_part() -> Response:
        return pages.fragment("status_part.html", **state())


def _in_words(missing: str) -> str:
    return _ROLES.get(missing, f"Missing: {missing}.")


def _counted(metrics: Iterable[Metric]) -> dict[str, object]:
    """What waits, what the cache answered, and what went wrong, since the processes started."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for metric in metrics:
        for sample in metric.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))

    def total(name: str, **labels: str) -> float:
        return sum(value for given, value in found.get(name, ()) if labels.items() <= given.items())

    hits = total("sentiment_cache_lookups_total", result="hit") + total(
        "sentiment_cache_lookups_total", result="recent"
    )
    looked_up = hits + total("sentiment_cache_lookups_total", result="miss")
    return {
        "waiting": {
            queue: (
                round(total("sentiment_queue_messages", queue=queue)),
                total("sentiment_queue_oldest_seconds", queue=queue),
            )
            for queue in ("interactive", "batch")
        },
        "jobs": round(total("sentiment_jobs_unfinished")),
        "cached": hits / looked_up if looked_up else None,
        "looked_up": round(looked_up),
        "answered": round(total("sentiment_predictions_total")),
        "errors": [
            (round(number), words)
            for code, words in _ERRORS.items()
            if (number := total("sentiment_rejected_total", code=code))
        ],
        "defects": round(total("sentiment_defects_total")),
        "background": round(total("sentiment_background_errors_total")),
    }
