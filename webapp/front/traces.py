"""A span for each request; only used where traces are kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tasks.tracing import Tracing
from webapp.front.counts import METHODS, OTHER
from webapp.front.visit import Visit

_OPERATORS = ("/health", "/metrics")


class Traces:
    """Makes spans with the names and attributes of OpenTelemetry's conventions for HTTP servers.

    A span ends when the answer begins, because a stream may go on for as long as its reader likes.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def around(self, visit: Visit, environ: dict[str, Any]) -> AbstractContextManager[Any]:
        """The span of a request; None for probes and scrapes."""
        if environ["PATH_INFO"].startswith(_OPERATORS):
            return nullcontext()
        known = environ["REQUEST_METHOD"] in METHODS
        method = environ["REQUEST_METHOD"] if known else OTHER
        name = method if known else "HTTP"
        attributes = {"http.request.method": method, "sentiq.request_id": visit.request_id}
        if visit.route.rule is not None:
            name = f"{name} {visit.route.rule}"
            attributes["http.route"] = visit.route.rule
        carrier = {
            name: environ[key]
            for name, key in (("traceparent", "HTTP_TRACEPARENT"), ("tracestate", "HTTP_TRACESTATE"))
            if key in environ
        }
        return self._tracing.span(name, kind="server", carrier=carrier, attributes=attributes)

    def begun(self, span: Any, status: str) -> None:
        """Notes the status of the answer, given with its phrase."""
        span.set_attribute("http.response.status_code", int(status[:3]))
        if status.startswith("5"):
            self._tracing.failed(span)
