"""Finds the endpoint of a request before anything else is done for it, because keys and limits depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, by its name in Flask, and the rule that the request's path matches."""

    endpoint: str | None
    rule: str | None


NOWHERE = Route(None, None)
"""The route of a path that does not exist, or not for this method. Flask answers such a request."""


class Routes:
    """The routes of the application."""

    def __init__(self, url_map: Map) -> None:
        self._map = url_map
        # Rules without arguments are looked up; only the others need a search.
        self._fixed = {
            (method, rule.rule): Route(rule.endpoint, rule.rule)
            for rule in url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    def find(self, environ: dict[str, Any]) -> Route:
        """The route of a request."""
        fixed = self._fixed.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if fixed is not None:
            return fixed
        try:
            rule, _ = self._map.bind_to_environ(environ, subdomain="").match(return_rule=True)
        except HTTPException:
            return NOWHERE
        return Route(rule.endpoint, rule.rule)
