"""A span around each request. Only a web process with traces has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tasks.tracing import Tracing

RULE = "sentiq.rule"
"""In a WSGI environment: the rule that the request's path follows."""
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_OPERATORS = ("/health", "/metrics")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traced:
    """A WSGI application around another. Names and attributes are those of OpenTelemetry's conventions for HTTP
    servers.

    A span ends when the answer begins: a stream may go on for as long as its reader likes.
    """

    def __init__(self, app: Wsgi, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers as the application does. Probes and scrapes have no span."""
        if environ["PATH_INFO"].startswith(_OPERATORS):
            return self._app(environ, start_response)
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in _METHODS else "HTTP"
        carrier = {
            name: environ[key]
            for name, key in (("traceparent", "HTTP_TRACEPARENT"), ("tracestate", "HTTP_TRACESTATE"))
            if key in environ
        }
        with self._tracing.span(
            method, kind="server", carrier=carrier, attributes={"http.request.method": method}
        ) as span:

            def begun(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                code = int(status[:3])
                span.set_attribute("http.response.status_code", code)
                span.set_attribute("sentiq.request_id", dict(headers).get("X-Request-ID", ""))
                if code >= 500:
                    self._tracing.failed(span)
                return start_response(status, headers, *more)

            answer = self._app(environ, begun)
            # What Flask never saw is that path.
            rule = environ.get(RULE, environ["PATH_INFO"] if environ["PATH_INFO"] == "/predict" else None)
            if rule is not None:
                span.update_name(f"{method} {rule}")
                span.set_attribute("http.route", rule)
            return answer
