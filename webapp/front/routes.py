"""Which endpoint a request is for, known before anything else is done for it: keys and limits go by endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint by its name in Flask, and the rule that the request's path follows."""

    endpoint: str | None
    rule: str | None


NOWHERE = Route(None, None)
"""Of a path that leads nowhere, or not by this method: Flask knows what to say."""


class Routes:
    """The application's, as its map has them."""

    def __init__(self, url_map: Map) -> None:
        self._map = url_map
        # A look-up instead of a search, for those that need none.
        self._fixed = {
            (method, rule.rule): Route(rule.endpoint, rule.rule)
            for rule in url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    def find(self, environ: dict[str, Any]) -> Route:
        """The request's."""
        fixed = self._fixed.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if fixed is not None:
            return fixed
        try:
            rule, _ = self._map.bind_to_environ(environ, subdomain="").match(return_rule=True)
        except HTTPException:
            return NOWHERE
        return Route(rule.endpoint, rule.rule)
