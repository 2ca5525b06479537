"""Serves a worker's `/metrics` on its own port, as a worker has no other HTTP server."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server

from tasks.addresses import with_port
from tasks.metrics import WORKER
from tasks.work.gpu_metrics import gpu_metrics

_log = logging.getLogger(__name__)


def worker_registry(device: str) -> CollectorRegistry:
    """The registry of a worker whose engine runs on this device: its own metrics, its process's and its GPU's."""
    registry = CollectorRegistry()
    for metric in WORKER:
        registry.register(metric)
    for of_the_process in (ProcessCollector, PlatformCollector, GCCollector):
        of_the_process(registry=registry)
    if (gpu := gpu_metrics(device)) is not None:
        registry.register(gpu)
    return registry


def serve_metrics(host: str, port: int, device: str) -> None:
    """Serves the metrics, unless the port is 0. If the port is taken, the worker runs without metrics."""
    if not port:
        return
    try:
        start_http_server(port, host, worker_registry(device))
    except OSError as error:
        where = with_port(host, port)
        _log.error(
            "no metrics: cannot listen on %s (%s); give each worker of a machine a METRICS_PORT of its own",
            where,
            error.strerror,
        )
