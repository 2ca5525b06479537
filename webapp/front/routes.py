"""Finds the endpoint of a request before anything else is done for it, because keys and limits depend on it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header
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

    def __init__(self, url_map: Map, pages: Set[str] = frozenset()) -> None:
        """`pages`: endpoints of the API in whose place people get a page, which has the same path below `/pages`."""
        self._map = url_map
        self._pages = pages
        # Rules without arguments are looked up; only the others need a search.
        self._fixed = {
            (method, rule.rule): Route(rule.endpoint, rule.rule)
            for rule in url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    def find(self, environ: dict[str, Any]) -> Route:
        """The route of a request. That of a page in an endpoint's place becomes the request's path, too."""
        route = self._find(environ)
        if route.endpoint in self._pages and prefers_page(environ):
            environ["PATH_INFO"] = f"/pages{environ['PATH_INFO']}"
            return self._find(environ)
        return route

    def _find(self, environ: dict[str, Any]) -> Route:
        fixed = self._fixed.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if fixed is not None:
            return fixed
        try:
            rule, _ = self._map.bind_to_environ(environ, subdomain="").match(return_rule=True)
        except HTTPException:
            return NOWHERE
        return Route(rule.endpoint, rule.rule)


def prefers_page(environ: dict[str, Any]) -> bool:
    """Whether the caller would rather have a page than JSON, as a browser says when it goes to an address."""
    accept = environ.get("HTTP_ACCEPT", "")
    if "text/html" not in accept:
        return False
    return parse_accept_header(accept, MIMEAccept).best_match(["application/json", "text/html"]) == "text/html"
