"""The front: a WSGI application around the others that does what is the same for every request.

clock, id, route -> span -> admission -> the application -> headers -> counts, access log
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from tasks.logs import CURRENT_REQUEST
from webapp.front.access import AccessLog
from webapp.front.admission import Admission
from webapp.front.counts import Counts
from webapp.front.errors import problem_of
from webapp.front.headers import AnswerHeaders, Headers
from webapp.front.routes import Routes
from webapp.front.traces import Traces
from webapp.front.visit import VISIT, Visit, request_id

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Front:
    """Answers every request, in most cases with the application that it wraps.

    Requests that are not admitted are answered here, before anything of their bodies is read, and so are errors that
    the application raises.
    """

    def __init__(
        self,
        app: Wsgi,
        *,
        routes: Routes,
        admission: Admission,
        headers: AnswerHeaders,
        counts: Counts,
        access_log: AccessLog,
        traces: Traces | None,
        prefix: str = "",
        problem: Callable[[Exception, dict[str, Any]], Wsgi] = lambda error, _: problem_of(error),
    ) -> None:
        """`problem`: the answer to a request, by its environment, that ended in an error here."""
        self._app = app
        self._routes = routes
        self._admission = admission
        self._headers = headers
        self.counts = counts
        """The counts of the requests so far."""
        self._access_log = access_log
        self._traces = traces
        self._problem = problem
        self._prefix = prefix
        """The path below which a proxy serves the API, or an empty string."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answers a request."""
        started = time.perf_counter()
        self._set_prefix(environ)
        visit = Visit(started, request_id(environ.get("HTTP_X_REQUEST_ID", "")), self._routes.find(environ))
        visits = VISIT.set(visit)
        ids = CURRENT_REQUEST.set(visit.request_id)
        try:
            if self._traces is None:
                return self._answer(visit, environ, start_response)
            with self._traces.around(visit, environ) as visit.span:
                return self._answer(visit, environ, start_response)
        finally:  # the greenlet goes on to the next request of its connection
            CURRENT_REQUEST.reset(ids)
            VISIT.reset(visits)

    def _set_prefix(self, environ: dict[str, Any]) -> None:
        """Sets the application's place, which only a setting decides and no request. The prefix is optional in the
        path: some proxies cut it off, and probes do not know it.
        """
        environ["SCRIPT_NAME"] = prefix = self._prefix
        if prefix and f"{environ['PATH_INFO']}/".startswith(f"{prefix}/"):
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix) or "/"

    def _answer(self, visit: Visit, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def begin(status: str, given: Headers, *more: Any) -> Any:
            visit.answered = True
            write = start_response(status, self._headers.added(given, visit, environ), *more)
            seconds = time.perf_counter() - visit.started
            if visit.counted:
                self.counts.add(environ["REQUEST_METHOD"], visit.route.rule, status[:3], seconds)
            self._access_log.tell(visit, environ, status, seconds, given)
            if visit.span is not None and self._traces is not None:
                self._traces.begun(visit.span, status)
            return write

        try:
            endpoint = visit.route.endpoint
            visit.caller = self._admission.admit(environ, endpoint)
            if visit.caller.limits is not None:
                self._admission.charge(visit.caller, endpoint)
            return self._app(environ, begin)
        except Exception as error:
            if visit.answered:
                raise
            return self._problem(error, environ)(environ, begin)
