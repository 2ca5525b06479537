"""The headers that every answer has: the request's id, headers that keep browsers from doing harm (SECURITY.md
describes the threats), what is left of the caller's limits, and those that let pages of listed origins read the answer.
"""

from __future__ import annotations

from typing import Any

from tasks.store.limits import Standing
from webapp.front.visit import Visit

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    # An answer of the API is not a page: in a browser it may load nothing, run nothing and be framed nowhere. Pages set
    # their own.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
"""On each answer that does not set them itself."""
_NAMES = frozenset(name.lower() for name, _ in HEADERS)
_EXPOSED = (
    "Content-Disposition, Idempotency-Replayed, Location, Preference-Applied, RateLimit-Limit, RateLimit-Remaining,"
    " RateLimit-Reset, Retry-After, X-Request-ID"
)
_ALLOWED = (
    "Authorization, Content-Encoding, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-API-Key, X-Request-ID"
)
Headers = list[tuple[str, str]]


class AnswerHeaders:
    """Adds these headers to those that an endpoint has given."""

    def __init__(self, cors_origins: tuple[str, ...]) -> None:
        self._origins = frozenset(cors_origins)

    def added(self, given: Headers, visit: Visit, environ: dict[str, Any]) -> Headers:
        """All headers of an answer that is about to begin."""
        found = [*given, ("X-Request-ID", visit.request_id)]
        for name, _ in given:
            if name.lower() in _NAMES:
                names = {name.lower() for name, _ in given}
                found += [header for header in HEADERS if header[0].lower() not in names]
                break
        else:
            found += HEADERS
        if visit.caller.standing is not None:
            found += _rate(visit.caller.standing)
        if self._origins:
            found += self._shared(environ)
        return found

    def _shared(self, environ: dict[str, Any]) -> Headers:
        origin = environ.get("HTTP_ORIGIN")
        if origin not in self._origins:
            return [("Vary", "Origin")]
        found = [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
        ]
        if environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            found += [
                ("Access-Control-Allow-Methods", "DELETE, GET, HEAD, POST, PUT"),
                ("Access-Control-Allow-Headers", _ALLOWED),
                ("Access-Control-Max-Age", "600"),
            ]
        return found


def _rate(standing: Standing) -> Headers:
    """The headers of draft-ietf-httpapi-ratelimit-headers-06, which most clients read; the latest draft, 10, has other
    fields.
    """
    return [
        ("RateLimit-Limit", str(standing.limit)),
        ("RateLimit-Remaining", str(standing.remaining)),
        ("RateLimit-Reset", str(standing.reset_s)),
    ]
