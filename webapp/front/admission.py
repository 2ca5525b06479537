"""Which callers may ask for what, and how much of it. SECURITY.md describes the threats."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from werkzeug.exceptions import NotFound

from tasks.errors import Forbidden, HostNotAllowed, Unauthorized
from tasks.keys import ApiKey, Scope, find
from tasks.settings import Settings
from tasks.store.limits import Limits
from webapp.front.hosts import AllowedHosts, is_own_page
from webapp.front.signed_in import CSRF_HEADER, SignedIn, is_token
from webapp.front.visit import ANYBODY, Caller

OPEN = frozenset(
    {
        "health.live",
        "health.ready",
        "health.health",
        "docs.openapi",
        "docs.redoc",
        "docs.assets",
        "pages.static",
        # A link's token stands in for a key: it opens one stream's page and nothing else.
        "pages.shared_page",
        "pages.shared_view",
        "pages.shared_view_events",
        "pages.shared_svg",
        "pages.shared_csv",
    }
)
"""Endpoints that need no key."""
PAGES = frozenset(
    {
        "docs.api",
        "pages.start",
        "pages.files",
        "pages.file",
        "pages.streams_page",
        "pages.stream_page",
        "pages.label",
        "pages.job_label",
        "pages.status",
        "pages.sign_in_form",
        "pages.sign_in",
        "pages.sign_out",
    }
)
"""Pages. They come to everybody, and show whoever has no key, or none with the right scope, how to sign in. What they
fetch, such as parts of pages, has an entry in SCOPES.
"""
_BY_ANY_NAME = frozenset({"docs.api"})
"""Pages that hold nothing that a page of another site may not read, were it to come by a name of its own."""
_METRICS = "metrics.metrics"
_EITHER = frozenset({Scope.PREDICT, Scope.JOBS})
SCOPES: dict[str, frozenset[Scope]] = {
    "predictions.predict": frozenset({Scope.PREDICT}),
    "predictions.model": _EITHER,
    "jobs.batch_predict": frozenset({Scope.JOBS}),
    "jobs.newest": frozenset({Scope.JOBS}),
    # A slow text of /predict becomes a job, and its caller must be able to read it.
    "jobs.job": _EITHER,
    "jobs.cancel": _EITHER,
    "jobs.results": _EITHER,
    "jobs.listen": _EITHER,
    "reports.report": _EITHER,
    "pages.preview_file": frozenset({Scope.JOBS}),
    "pages.file_rows": frozenset({Scope.JOBS}),
    "pages.file_report": frozenset({Scope.JOBS}),
    "streams.all_streams": frozenset({Scope.JOBS}),
    "streams.put": frozenset({Scope.JOBS}),
    "streams.stream": frozenset({Scope.JOBS}),
    "streams.delete": frozenset({Scope.JOBS}),
    "streams.texts": frozenset({Scope.JOBS}),
    "streams.series": frozenset({Scope.JOBS}),
    "streams.shifts": frozenset({Scope.JOBS}),
    "streams.events": frozenset({Scope.JOBS}),
    "pages.stream_view": frozenset({Scope.JOBS}),
    "pages.stream_view_events": frozenset({Scope.JOBS}),
    "pages.stream_svg": frozenset({Scope.JOBS}),
    "pages.stream_csv": frozenset({Scope.JOBS}),
    "pages.links": frozenset({Scope.JOBS}),
    "pages.make_link": frozenset({Scope.JOBS}),
    "pages.end_link": frozenset({Scope.JOBS}),
    "job_labels.sample": frozenset({Scope.JOBS}),
    "job_labels.standing_of": frozenset({Scope.JOBS}),
    "job_labels.take": frozenset({Scope.JOBS}),
    "labels.sample": frozenset({Scope.JOBS}),
    "labels.standing_of": frozenset({Scope.JOBS}),
    "labels.take": frozenset({Scope.JOBS}),
    "compare.compare_route": frozenset({Scope.JOBS}),
    "pages.job_label_progress": frozenset({Scope.JOBS}),
    "pages.label_progress": frozenset({Scope.JOBS}),
    "pages.status_part": _EITHER,
    "queue.waiting": frozenset({Scope.ADMIN}),
    "queue.purge": frozenset({Scope.ADMIN}),
    _METRICS: frozenset({Scope.ADMIN}),
}
"""The scopes of which one suffices for the endpoint. An endpoint that is neither here nor in OPEN needs `admin`."""
_ADMIN = frozenset({Scope.ADMIN})
_COSTS = {"predictions.predict": 1, "jobs.batch_predict": 0, "streams.texts": 0}
"""Endpoints whose requests count as one text against RATE_LIMIT, with the number of texts that they count at once
against DAILY_QUOTA. A job counts no further texts against RATE_LIMIT, because they wait behind those of live callers;
against DAILY_QUOTA it counts all its texts as they come in.
"""


class Admission:
    """Admits requests or refuses them, before anything of their bodies is read."""

    def __init__(
        self, settings: Settings, keys: Mapping[str, ApiKey], limits: Limits | None, signed_in: SignedIn
    ) -> None:
        """`keys`: those that are valid now, by digest; none as long as the process runs, or always some."""
        self._keys = keys
        self._has_keys = bool(keys)
        self._signed_in = signed_in
        self._limits = limits
        self._origins = frozenset(settings.cors_origins)
        self._hosts = AllowedHosts((settings.host, *settings.allowed_hosts))
        self._metrics_port = str(settings.web_metrics_port) if settings.web_metrics_port else None

    def admit(self, environ: dict[str, Any], endpoint: str | None) -> Caller:
        """Admits a request and returns its caller.

        Raises:
            Unauthorized, Forbidden, HostNotAllowed: the caller may not do this.
            NotFound: metrics are served on another port.
            ServiceUnavailable: the caller has a session, and Redis is away.
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
        if not self._has_keys and endpoint not in _BY_ANY_NAME and not self._hosts.allow(environ.get("HTTP_HOST", "")):
            raise HostNotAllowed
        if method not in ("GET", "HEAD") and self._is_foreign(environ, endpoint):
            raise Forbidden("A page of another site may not do this unless CORS_ORIGINS lists it.")
        if self._has_keys:
            return self._viewer(environ) if endpoint in PAGES else self._holder(environ, SCOPES.get(endpoint, _ADMIN))
        address = environ.get("REMOTE_ADDR", "")
        return Caller(None, address_id(address), self._limits) if self._limits is not None else _unlimited(address)

    def _is_foreign(self, environ: dict[str, Any], endpoint: str) -> bool:
        """Whether a page of another origin, which CORS_ORIGINS does not list, has sent the request. Whatever a form
        could send, browsers send without asking the service first.
        """
        site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
        if site is None:
            # Over plain HTTP browsers send only the origin. With keys it does not matter, because pages of other sites
            # have no key, and callers other than browsers may send any origin; but they could sign somebody in.
            matters = origin is not None and (not self._has_keys or endpoint in PAGES)
            foreign = matters and not is_own_page(origin or "", environ.get("HTTP_HOST", ""))
        else:
            foreign = site in ("cross-site", "same-site")
        return foreign and origin not in self._origins

    def charge(self, caller: Caller, endpoint: str | None) -> None:
        """Counts the request against the caller's limits, if its endpoint costs anything.

        Raises:
            RateLimited, QuotaExceeded: the caller has nothing left.
        """
        if caller.limits is not None and endpoint in _COSTS:
            caller.charge(rate=1, quota=_COSTS[endpoint])

    def _viewer(self, environ: dict[str, Any]) -> Caller:
        """Who looks at a page: whoever has signed in, or anybody. What a form changes checks its token itself."""
        key = find(self._keys, _presented(environ))
        if key is not None:
            return Caller(key, key.name, None)
        session = self._signed_in.find(environ)
        return Caller(session.key, session.key.name, None, csrf=session.csrf) if session is not None else ANYBODY

    def _holder(self, environ: dict[str, Any], scopes: Iterable[Scope]) -> Caller:
        presented, csrf = _presented(environ), ""
        key = find(self._keys, presented)
        if not presented and "HTTP_COOKIE" in environ and (session := self._signed_in.find(environ)) is not None:
            key, csrf = session.key, session.csrf
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD") and not is_token(environ.get(CSRF_HEADER, ""), csrf):
                raise Forbidden("A request by a session needs the session's token in X-CSRF-Token.")
        if key is None:
            raise Unauthorized
        if not key.may(scopes):
            raise Forbidden(f"This needs a key with the scope {' or '.join(sorted(scopes))}.")
        return Caller(key, key.name, self._limits, csrf=csrf)


def _presented(environ: dict[str, Any]) -> str:
    scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return str(key.strip() if scheme.lower() == "bearer" else environ.get("HTTP_X_API_KEY", ""))


@lru_cache(maxsize=4096)
def _unlimited(address: str) -> Caller:
    """The caller at an address where nothing is limited, so that nothing of a request is kept with them."""
    return Caller(None, address_id(address), None)


@lru_cache(maxsize=4096)
def address_id(address: str) -> str:
    """A digest of the address, because an address is personal data. For IPv6, of its network: one caller has all
    addresses of a /64.
    """
    try:
        parsed = ipaddress.ip_address(address)
        if parsed.version == 6:
            address = str(ipaddress.ip_network((parsed, 64), strict=False))
    except ValueError:
        pass  # such as a unix socket's: all of these count as one caller
    digest = hashlib.sha256(address.encode()).hexdigest()
    return f"@{digest[:32]}"
