"""Which requests have a line in the log."""

from __future__ import annotations

from typing import Any

import structlog

SLOW_S = 1.0
"""A request that took longer has a line, unless its caller asked to wait."""
_OPERATORS = ("/health", "/metrics")

_log = structlog.get_logger(__name__)


class AccessLog:
    """What failed, took long or made something; with `everything`, what went well at once too, which costs as much as
    answering it.
    """

    def __init__(self, *, everything: bool) -> None:
        self.everything = everything

    def tell(self, method: str, path: str, status: int, seconds: float, *, patient: bool = False, **more: Any) -> None:
        """Writes the line of a request, if it has one.

        Args:
            method: of the request.
            path: without the query, which may be anything.
            status: of the answer.
            seconds: until its answer began.
            patient: its caller asked to wait.
            more: further fields; those that are empty are left out.
        """
        if path.startswith(_OPERATORS):
            log = _log.debug
        elif status >= 500:
            log = _log.warning
        elif self.everything or (status >= 202 and status != 304) or (seconds > SLOW_S and not patient):
            log = _log.info
        else:
            return
        log(
            "answered",
            method=method,
            path=path[:200],
            status=status,
            ms=round(seconds * 1000, 1),
            **{k: v for k, v in more.items() if v},
        )
