"""Which requests get a line in the log."""

from __future__ import annotations

from typing import Any

import structlog
from werkzeug.wsgi import get_path_info

from webapp.front.headers import Headers
from webapp.front.visit import Visit

SLOW_S = 1.0
"""A request that takes longer gets a line, unless its caller asked to wait."""
_AT_ONCE = ("200", "201", "304")
_OPERATORS = ("/health", "/metrics")

_log = structlog.get_logger(__name__)


def _without_token(path: str) -> str:
    """The path of a link to a stream without its token, which opens that stream; any other path as it is."""
    before, shared, after = path.partition("/shared/")
    return path if before or not shared else f"{shared}...{after[after.find('/') :] if '/' in after else ''}"


class AccessLog:
    """Logs requests that failed, took long or created a job. With `everything` it also logs quick successes, each of
    which costs as much as answering a cached text.
    """

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything

    def tell(self, visit: Visit, environ: dict[str, Any], status: str, seconds: float, headers: Headers) -> None:
        """Writes the line of a request whose answer begins, if the request gets one.

        Args:
            visit: what is known of the request.
            environ: the request's WSGI environment.
            status: the answer's status, with its phrase.
            seconds: from the request's arrival to the beginning of its answer.
            headers: the answer's headers, as the endpoint gave them.
        """
        slow = seconds > SLOW_S and "HTTP_PREFER" not in environ
        if not (slow or self._everything or status[:3] not in _AT_ONCE):
            return
        path = get_path_info(environ)
        if path.startswith(_OPERATORS):
            log = _log.debug
        elif status >= "500":
            log = _log.warning
        else:
            log = _log.info
        location = next((value for name, value in headers if name.lower() == "location"), "")
        more = {"code": visit.code, "caller": visit.caller.owner, "job_id": location.partition("/jobs/")[2]}
        log(
            "answered",
            method=environ["REQUEST_METHOD"],
            path=_without_token(path)[:200],
            status=int(status[:3]),
            ms=round(seconds * 1000, 1),
            **{name: value for name, value in more.items() if value},
        )
