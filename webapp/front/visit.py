"""What is known of the request that this thread or greenlet serves: one object, made by `webapp.front.front` as the
request comes in and found by `visit()` wherever it is served.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits
from typing import Any

from tasks.keys import ApiKey, Scope
from tasks.store.limits import Bill, Limits, Standing
from webapp.front.routes import NOWHERE, Route

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""An X-Request-ID that is kept; others could do harm in a log."""


@dataclass(slots=True, eq=False)
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
        """Whose jobs the caller sees; None is everybody's."""
        return None if self.key is None or Scope.ADMIN in self.key.scopes else self.key.name

    def charge(self, *, rate: int, quota: int, rate_counted: int = 0) -> None:
        """Counts texts on the limits. `rate_counted`: further texts of the request that the rate has counted before.

        Raises:
            RateLimited, QuotaExceeded: nothing is left.
        """
        if self.limits is not None:
            taken = self.limits.take(self.id, rate=rate, quota=quota, rate_counted=rate_counted)
            self.standing = taken or self.standing

    def bill(self, paid: int = 0) -> Bill | None:
        """For the texts of a job, of which the first so many were counted on the quota before."""
        return Bill(self.limits, self.id, paid=paid) if self.limits is not None else None


ANYBODY = Caller(None, "", None)


@dataclass(slots=True)
class Visit:
    """One request, from its first line to the beginning of its answer."""

    started: float
    """When it came in, of `time.perf_counter`."""
    request_id: str
    route: Route
    caller: Caller = ANYBODY
    """Who sent it, once that is known."""
    counted: bool = True
    """It is among the counts of requests."""
    answered: bool = False
    """Its answer has begun."""
    span: Any = None
    """Its span (OpenTelemetry's), if there are traces."""


# The default is of no request, and nobody writes to it.
VISIT: ContextVar[Visit] = ContextVar("visit", default=Visit(0.0, "", NOWHERE))  # noqa: B039


def visit() -> Visit:
    """The present request."""
    return VISIT.get()


def caller() -> Caller:
    """Who sent the present request."""
    return VISIT.get().caller


def request_id(given: str) -> str:
    """The id that a request is known by: the caller's own if it can do no harm, else a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{getrandbits(128):032x}"  # told apart, not kept secret: uuid4 takes six times as long
