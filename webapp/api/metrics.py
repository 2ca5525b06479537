"""`/metrics`: the metrics of all web processes, and those of queues, workers and jobs, which are read from Redis."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Blueprint, Response, request
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from webapp.api.patches.half_written import Processes
from webapp.front.visit import visit


def collected(queues: Collector, counts: CollectorRegistry) -> CollectorRegistry:
    """The metrics of all web processes, and those that are read from Redis.

    Args:
        queues: what Redis has of queues, workers and jobs.
        counts: the counts of requests, where each process has a page of its own.
    """
    page = CollectorRegistry()
    if (folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR")) is not None:
        page.register(Processes(Path(folder)))
    else:
        page.register(counts)  # type: ignore[arg-type]
        page.register(REGISTRY)  # type: ignore[arg-type]
    # Read by the process that answers and counted by none, so that they are on the page once.
    page.register(queues)
    return page


def metrics_blueprint(queues: Collector, counts: CollectorRegistry) -> Blueprint:
    """The blueprint of `/metrics`; the arguments are those of `collected`."""
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        visit().counted = False
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(collected(queues, counts)), content_type=content_type)

    return blueprint
