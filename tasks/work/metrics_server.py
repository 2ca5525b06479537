"""Serves a worker's `/metrics` on its own port, as a worker has no other HTTP server."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server

from tasks.addresses import with_port
from tasks.background import Loop
from tasks.metrics import WORKER
from tasks.work.gpu_metrics import gpu_metrics

_AGAIN_S = 1.0

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


class MetricsServer:
    """Serves the metrics. While the port is taken the worker runs without, and tries again: it may belong to the worker
    whose place this one takes.
    """

    def __init__(self, host: str, port: int, device: str, *, beside_another: bool) -> None:
        """Makes the server without starting it.

        Args:
            host: the address to listen on.
            port: the port; 0 for no metrics.
            device: what the engine runs on.
            beside_another: whether the port may for now be that of a worker whose place this one takes, so that it
                is no fault if it is taken.
        """
        self._host, self._port, self._device = host, port, device
        self._beside_another = beside_another
        self._serves = False
        self.loop = Loop("metrics-port", self._try, period_s=_AGAIN_S)
        """Tries again. It goes on when it has succeeded: a loop that ends would look to the watchdog as if it hung."""

    def start(self) -> None:
        """Serves the metrics, now or as soon as the port is free."""
        if not self._port or (fault := self._try()) is None:
            return
        if not self._beside_another:
            where = with_port(self._host, self._port)
            _log.error(
                "no metrics: cannot listen on %s (%s); give each worker of a machine a METRICS_PORT of its own",
                where,
                fault,
            )
        self.loop.start()

    def _try(self) -> str | None:
        """Why nothing can listen there; None if this server does now."""
        if self._serves:
            return None
        try:
            start_http_server(self._port, self._host, worker_registry(self._device))
        except OSError as error:
            return error.strerror or str(error)
        self._serves = True
        return None
