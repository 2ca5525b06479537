"""Counts requests, under the names and labels of prometheus-flask-exporter."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from tasks.metrics import REQUEST_BUCKETS_S

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OTHER = "_OTHER"
"""Stands for any other method, as in OpenTelemetry's conventions: callers may invent as many as they like, and each
would create a series.
"""


class _Named(CollectorRegistry):
    """A registry in which collectors can be found by name."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, Any] = {}

    def register(self, collector: Collector) -> None:
        """See `CollectorRegistry.register`."""
        super().register(collector)
        self.by_name |= {family.name: collector for family in collector.describe()}  # type: ignore[attr-defined]


class Counts:
    """Counts each request that the front answers, whichever part has made the answer.

    The exporter only declares the metrics: it would count in Flask's hooks, which do not see every request.
    """

    def __init__(self) -> None:
        registry = _Named()
        exporter = PrometheusMetrics(None, path=None, registry=registry)
        # Grouped by rule: if it were by path, every unknown address would create a series. The exporter wants an
        # application for its hooks and gets a blueprint that no application has.
        exporter.export_defaults(buckets=REQUEST_BUCKETS_S, group_by="url_rule", app=Blueprint("nowhere", __name__))
        self.registry: CollectorRegistry = registry
        self._total = registry.by_name["flask_http_request"]
        self._duration = registry.by_name["flask_http_request_duration_seconds"]
        self._children: dict[tuple[str, str | None, str], tuple[Any, Any]] = {}

    def add(self, method: str, rule: str | None, status: str, seconds: float) -> None:
        """Counts a request.

        Args:
            method: the method, as it was sent.
            rule: the rule that its path matched. Requests that matched none share a series.
            status: the status, three digits.
            seconds: from its arrival to the beginning of its answer.
        """
        if method not in METHODS:
            method = OTHER
        children = self._children.get((method, rule, status))
        if children is None:
            children = self._children[method, rule, status] = (
                self._total.labels(method=method, status=status),
                self._duration.labels(method=method, url_rule=rule, status=status),
            )
        total, duration = children
        total.inc()
        duration.observe(seconds)
