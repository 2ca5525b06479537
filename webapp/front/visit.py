"""What is known of the request that this thread or greenlet serves: one object, which `webapp.front.front` makes when
the request comes in and which any code that serves the request gets from `visit()`.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, replace
from random import getrandbits
from typing import Any

from tasks.keys import ApiKey, Scope
from tasks.store.limits import Bill, Limits, Standing
from webapp.front.routes import NOWHERE, Route

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What an X-Request-ID must look like to be kept; others could do harm in a log."""


@dataclass(slots=True, eq=False)
class Caller:
    """Who sent a request, and what is left of their limits."""

    key: ApiKey | None
    id: str
    """The name under which limits are counted."""
    limits: Limits | None
    standing: Standing | None = None
    csrf: str = ""
    """In a session of a page: the token that belongs to it."""

    @property
    def owner(self) -> str | None:
        """The owner of the jobs that the caller creates; None without keys."""
        return self.key.name if self.key is not None else None

    @property
    def is_admin(self) -> bool:
        """Whether the caller has a key that permits everything."""
        return self.key is not None and Scope.ADMIN in self.key.scopes

    @property
    def sees(self) -> str | None:
        """The owner whose jobs the caller may see; None if the caller may see all jobs."""
        return None if self.key is None or self.is_admin else self.key.name

    @property
    def reaches(self) -> tuple[str, ...]:
        """The owners whose streams the caller may use, the own first. Those from before there were keys have none, and
        would be out of everybody's reach: admin keys reach them.
        """
        if self.key is None:
            return ("",)
        return (self.key.name, "") if self.is_admin else (self.key.name,)

    def charge(self, *, rate: int, quota: int, rate_counted: int = 0) -> None:
        """Counts texts against the caller's limits.

        Args:
            rate: the texts that count towards RATE_LIMIT.
            quota: the texts that count towards DAILY_QUOTA.
            rate_counted: further texts of the request that were counted towards RATE_LIMIT before.

        Raises:
            RateLimited, QuotaExceeded: the caller has nothing left.
        """
        if self.limits is not None:
            taken = self.limits.take(self.id, rate=rate, quota=quota, rate_counted=rate_counted)
            self.standing = taken or self.standing

    def bill(self, paid: int = 0) -> Bill | None:
        """What counts the texts of a job against the caller's quota, if there is one; the first `paid` texts were
        counted before.
        """
        return Bill(self.limits, self.id, paid=paid) if self.limits is not None else None


ANYBODY = Caller(None, "", None)


@dataclass(slots=True)
class Visit:
    """One request, from its arrival to the beginning of its answer."""

    started: float
    """When it came in, by `time.perf_counter`."""
    request_id: str
    route: Route
    caller: Caller = ANYBODY
    """Who sent it; ANYBODY until that is known."""
    counted: bool = True
    """Whether it goes into the metrics of requests."""
    answered: bool = False
    """Whether its answer has begun."""
    code: str = ""
    """The code of the error in which it ended."""
    span: Any = None
    """Its OpenTelemetry span, if traces are kept."""

    def refused_by(self, standing: Standing) -> None:
        """Has the answer tell the limit that has refused the request, and no other one."""
        self.caller = replace(self.caller, standing=standing)  # a caller may be that of other requests as well


# The default is what code outside a request gets.
VISIT: ContextVar[Visit] = ContextVar("visit", default=Visit(0.0, "", NOWHERE))  # noqa: B039


def visit() -> Visit:
    """The request that is being served."""
    return VISIT.get()


def caller() -> Caller:
    """The caller of the request that is being served."""
    return VISIT.get().caller


def request_id(given: str) -> str:
    """The id of a request: the one that the caller sent if it can do no harm, else a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{getrandbits(128):032x}"  # only has to be unique, not secret: uuid4 takes six times as long
