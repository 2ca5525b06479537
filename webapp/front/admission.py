"""Who may ask for what, and how much of it. SECURITY.md has the threats."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from werkzeug.exceptions import NotFound

from tasks.errors import Forbidden, Unauthorized
from tasks.keys import Scope, find
from tasks.settings import Settings
from tasks.store.limits import Limits
from webapp.front.visit import ANYBODY, Caller

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
_METRICS = "metrics.metrics"
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
    _METRICS: frozenset({Scope.ADMIN}),
}
"""Any of these opens the endpoint; one that is neither here nor in OPEN wants admin."""
_ADMIN = frozenset({Scope.ADMIN})
_COSTS = {"predictions.predict": 1, "jobs.batch_predict": 0}
"""Endpoints whose requests count as one text of RATE_LIMIT, with what they cost of DAILY_QUOTA at once. A job costs no
more of the first, for its texts wait behind live callers', and all of its texts of the second, as they come in.
"""


class Admission:
    """Lets requests in or refuses them, before anything is read of their bodies."""

    def __init__(self, settings: Settings, limits: Limits | None) -> None:
        self._keys = settings.keys
        self._limits = limits
        self._origins = frozenset(settings.cors_origins)
        self._metrics_port = str(settings.web_metrics_port) if settings.web_metrics_port else None

    def admit(self, environ: dict[str, Any], endpoint: str | None) -> Caller:
        """Who sent the request, if they may.

        Raises:
            Unauthorized, Forbidden: they may not.
            NotFound: metrics are served elsewhere.
        """
        if endpoint is None or endpoint in OPEN:
            return ANYBODY
        if endpoint == _METRICS and self._metrics_port is not None:
            if environ.get("SERVER_PORT") != self._metrics_port:
                raise NotFound
            return ANYBODY
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS":
            return ANYBODY
        # Browsers send what a form could have sent without asking first; a caller who is no browser does not send this
        # header.
        foreign = environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site") and method not in ("GET", "HEAD")
        if foreign and environ.get("HTTP_ORIGIN") not in self._origins:
            raise Forbidden("A page of another site may not do this unless CORS_ORIGINS lists it.")
        if self._keys:
            return self._holder(environ, SCOPES.get(endpoint, _ADMIN))
        address = environ.get("REMOTE_ADDR", "")
        return Caller(None, _address_id(address), self._limits) if self._limits is not None else _unlimited(address)

    def charge(self, caller: Caller, endpoint: str | None) -> None:
        """Counts the request on the caller's limits, if it is one that costs.

        Raises:
            RateLimited, QuotaExceeded: nothing is left.
        """
        if caller.limits is not None and endpoint in _COSTS:
            caller.charge(rate=1, quota=_COSTS[endpoint])

    def _holder(self, environ: dict[str, Any], scopes: Iterable[Scope]) -> Caller:
        key = find(self._keys, _presented(environ))
        if key is None:
            raise Unauthorized
        if not key.may(scopes):
            raise Forbidden(f"This needs a key with the scope {' or '.join(sorted(scopes))}.")
        return Caller(key, key.name, self._limits)


def _presented(environ: dict[str, Any]) -> str:
    scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(key.strip() if scheme.lower() == "bearer" else environ.get("HTTP_X_API_KEY", ""))


@lru_cache(maxsize=4096)
def _unlimited(address: str) -> Caller:
    """The caller at an address where nothing is limited, so that nothing of a request is kept with them."""
    return Caller(None, _address_id(address), None)


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
