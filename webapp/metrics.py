"""`/metrics`: of all web processes, with what Redis has of queues, workers and jobs."""

from __future__ import annotations

import os

from flask import Flask, Response, request
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics

from tasks.metrics import REQUEST_BUCKETS_S
from tasks.queue_metrics import QueueMetrics
from tasks.settings import Settings


def register_metrics(app: Flask, settings: Settings) -> CollectorRegistry:
    """Counts the application's requests and adds `/metrics`; returns the registry that has the counts of requests."""
    counts = CollectorRegistry()
    # By rule: by path, every unknown address would become a series of its own.
    exporter = PrometheusMetrics(app, path=None, group_by="url_rule", buckets=REQUEST_BUCKETS_S, registry=counts)
    queues = QueueMetrics(settings)

    @app.get("/metrics")
    @exporter.do_not_track()  # type: ignore[untyped-decorator]
    def metrics() -> Response:
        page = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(page)  # type: ignore[no-untyped-call]
        else:
            page.register(counts)  # type: ignore[arg-type]
            page.register(REGISTRY)  # type: ignore[arg-type]
        # Whichever process is asked reads them, so that they are on the page once.
        page.register(queues)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(page), content_type=content_type)

    return counts
