"""Who may ask for what and how much of it, and the headers that keep browsers from doing harm. SECURITY.md has the
threats.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import NotFound

from tasks.errors import Forbidden, Unauthorized
from tasks.keys import ApiKey, Scope, find
from tasks.settings import Settings
from tasks.store.limits import Bill, Limits, Standing, limits_of

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    # An answer of the API is no page: in a browser it may load nothing, run nothing and be framed nowhere. Pages have
    # their own.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)
"""On each answer that does not say otherwise."""
OPEN = frozenset(
    {
        "health.live",
        "health.ready",
        "health.health",
        "docs.openapi",
        "docs.swagger",
        "docs.redoc",
        "docs.assets",
        "docs.start",
    }
)
"""Endpoints that need no key."""
_EITHER = frozenset({Scope.PREDICT, Scope.JOBS})
SCOPES: dict[str, frozenset[Scope]] = {
    "predictions.predict": frozenset({Scope.PREDICT}),
    "predictions.model": _EITHER,
    "jobs.batch_predict": frozenset({Scope.JOBS}),
    "jobs.newest": frozenset({Scope.JOBS}),
    # A slow text of /predict becomes a job, and its caller has to get at the answer.
    "jobs.job": _EITHER,
    "jobs.cancel": _EITHER,
    "jobs.results": _EITHER,
    "jobs.listen": _EITHER,
    "metrics": frozenset({Scope.ADMIN}),
}
"""Any of these opens the endpoint; one that is neither here nor in OPEN wants admin."""
_ADMIN = frozenset({Scope.ADMIN})
_COSTS = frozenset({"predictions.predict", "jobs.batch_predict"})
"""Endpoints whose requests count. A job costs one text of RATE_LIMIT, for its texts wait behind live callers', and all
of DAILY_QUOTA.
"""
_CHARGED = "sentiq.charged"
"""In a WSGI environment: the caller whom `webapp.api.plain` has let in and charged for one text."""
_EXPOSED = (
    "Content-Disposition, Idempotency-Replayed, Location, Preference-Applied, RateLimit-Limit, RateLimit-Remaining,"
    " RateLimit-Reset, Retry-After, X-Request-ID"
)
_ALLOWED = (
    "Authorization, Content-Encoding, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-API-Key, X-Request-ID"
)


@dataclass(slots=True)
class Caller:
    """Who sent a request, and what it has cost."""

    key: ApiKey | None
    id: str
    """What limits are counted by."""
    limits: Limits | None
    standing: Standing | None = None

    @property
    def owner(self) -> str | None:
        """Whose the caller's new jobs are; None without keys."""
        return self.key.name if self.key is not None else None

    @property
    def sees(self) -> str | None:
        """Whose jobs he sees; None is everybody's."""
        return None if self.key is None or Scope.ADMIN in self.key.scopes else self.key.name

    def charge(self, *, rate: int, quota: int) -> None:
        """Counts texts on the limits.

        Raises:
            RateLimited, QuotaExceeded: nothing is left.
        """
        if self.limits is not None:
            self.standing = self.limits.take(self.id, rate=rate, quota=quota) or self.standing

    def give_back(self, texts: int) -> None:
        """Takes texts off his quota that came to nothing."""
        if self.limits is not None:
            self.limits.give_back(self.id, texts)

    def bill(self) -> Bill | None:
        """For the texts of a job."""
        return Bill(self.limits, self.id) if self.limits is not None else None


ANYBODY = Caller(None, "", None)


def caller() -> Caller:
    """Who sent the present request."""
    found: Caller = g.get("caller", ANYBODY)
    return found


def rate_headers(standing: Standing | None) -> list[tuple[str, str]]:
    """As draft-ietf-httpapi-ratelimit-headers-06 spells them, what most clients read; the latest, 10, has other
    fields.
    """
    if standing is None:
        return []
    return [
        ("RateLimit-Limit", str(standing.limit)),
        ("RateLimit-Remaining", str(standing.remaining)),
        ("RateLimit-Reset", str(standing.reset_s)),
    ]


class Guard:
    """At the door, in front of Flask and of `webapp.api.plain` alike."""

    def __init__(self, settings: Settings, limits: Limits | None) -> None:
        self._keys = settings.keys
        self._limits = limits
        self._origins = frozenset(settings.cors_origins)
        self._metrics_port = str(settings.web_metrics_port) if settings.web_metrics_port else None

    @property
    def idle(self) -> bool:
        """There is nothing to do for `webapp.api.plain`: no keys, no limits, no origins."""
        return not (self._keys or self._limits or self._origins)

    def plain(self, environ: dict[str, Any]) -> list[tuple[str, str]] | None:
        """Lets a plain request of `/predict` in, and returns the headers for its answer; None if Flask has to see it
        first.

        Raises:
            SentimentError: it is not let in.
        """
        if self._origins and "HTTP_ORIGIN" in environ:
            return None  # a browser's, which is in no hurry
        found = self._admit(environ, SCOPES["predictions.predict"])
        environ[_CHARGED] = found
        found.charge(rate=1, quota=1)
        headers = rate_headers(found.standing)
        return [("Vary", "Origin"), *headers] if self._origins else headers

    def admit(self, environ: dict[str, Any], endpoint: str | None) -> Caller:
        """Lets a request in.

        Raises:
            SentimentError: it is not.
            NotFound: metrics are served elsewhere.
        """
        if (charged := environ.get(_CHARGED)) is not None:
            admitted: Caller = charged
            return admitted
        if endpoint == "metrics" and self._metrics_port is not None:
            if environ.get("SERVER_PORT") != self._metrics_port:
                raise NotFound
            return ANYBODY
        if endpoint is None or endpoint in OPEN or environ["REQUEST_METHOD"] == "OPTIONS":
            return ANYBODY
        # Browsers send what a form could have sent without asking first; a caller who is no browser does not send this
        # header.
        foreign = environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site") and environ[
            "REQUEST_METHOD"
        ] not in ("GET", "HEAD")
        if foreign and environ.get("HTTP_ORIGIN") not in self._origins:
            raise Forbidden("A page of another site may not do this; CORS_ORIGINS lists those that may.")
        found = self._admit(environ, SCOPES.get(endpoint, _ADMIN))
        if endpoint in _COSTS:
            g.caller = found  # a refusal has its headers too
            found.charge(rate=1, quota=int(endpoint == "predictions.predict"))
        return found

    def _admit(self, environ: dict[str, Any], scopes: Iterable[Scope]) -> Caller:
        if not self._keys:
            return (
                Caller(None, _address_id(environ.get("REMOTE_ADDR", "")), self._limits)
                if self._limits is not None
                else ANYBODY
            )
        key = find(self._keys, _presented(environ))
        if key is None:
            raise Unauthorized
        if not key.may(scopes):
            raise Forbidden(f"This needs a key with the scope {' or '.join(sorted(scopes))}.")
        return Caller(key, key.name, self._limits)

    def share(self, response: Response, origin: str | None) -> None:
        """Cross-origin headers, for the origins that are listed."""
        if not self._origins:
            return
        response.headers.add("Vary", "Origin")
        if origin not in self._origins or origin is None:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response.headers["Access-Control-Allow-Methods"] = "DELETE, GET, HEAD, POST"
            response.headers["Access-Control-Allow-Headers"] = _ALLOWED
            response.headers["Access-Control-Max-Age"] = "600"


def _presented(environ: dict[str, Any]) -> str:
    scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(key.strip() if scheme.lower() == "bearer" else environ.get("HTTP_X_API_KEY", ""))


@lru_cache(maxsize=4096)
def _address_id(address: str) -> str:
    """A digest, for an address is somebody's. Of IPv6 the network: one caller has all of its addresses."""
    try:
        parsed = ipaddress.ip_address(address)
        if parsed.version == 6:
            address = str(ipaddress.ip_network((parsed, 64), strict=False))
    except ValueError:
        pass  # of a unix socket, say: all of them together
    digest = hashlib.sha256(address.encode()).hexdigest()
    return f"@{digest[:32]}"


def register_security(app: Flask, settings: Settings) -> Guard:
    """Guards every endpoint of the application, and gives every answer its headers."""
    guard = Guard(settings, limits_of(settings))

    @app.before_request
    def admit() -> None:
        g.caller = guard.admit(request.environ, request.endpoint)

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in HEADERS:
            if name not in response.headers:
                response.headers[name] = value
        for name, value in rate_headers(caller().standing):
            response.headers[name] = value
        guard.share(response, request.headers.get("Origin"))
        return response

    return guard
