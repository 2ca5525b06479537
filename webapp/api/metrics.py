"""`/metrics`: of all web processes, with what Redis has of queues, workers and jobs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flask import Blueprint, Response, request
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from tasks.queue.metrics import QueueMetrics
from tasks.settings import Settings
from webapp.front.visit import visit


class Processes(Collector):
    """What all processes that share a folder have counted.

    A process that has made its file and not yet written its first bytes must not fail the page, as it would fail the
    collector's own `collect`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        files = [file.path for file in os.scandir(self._folder) if file.name.endswith(".db") and _has_begun(file)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged


def _has_begun(file: os.DirEntry[str]) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # a dead process's, taken away meanwhile
        return False


def metrics_blueprint(settings: Settings, counts: CollectorRegistry) -> Blueprint:
    """The blueprint of `/metrics`; `counts` has the counts of requests where each process has a page of its own."""
    blueprint = Blueprint("metrics", __name__)
    queues = QueueMetrics(settings)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        visit().counted = False
        page = CollectorRegistry()
        if (folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR")) is not None:
            page.register(Processes(Path(folder)))
        else:
            page.register(counts)  # type: ignore[arg-type]
            page.register(REGISTRY)  # type: ignore[arg-type]
        # Whichever process is asked reads them, so that they are on the page once.
        page.register(queues)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(page), content_type=content_type)

    return blueprint
