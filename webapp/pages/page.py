"""What all pages share: how one is shown, the policy by which a browser lets it have this service's files and nothing
else, and what the person who looks at it may do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from flask import Response, make_response, render_template, request

from tasks.keys import Scope
from webapp.front.visit import caller

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The Content-Security-Policy of every page: nothing from another host, and nothing that stands in the page itself is
run, be it a script or a style.
"""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    # A form that is sent from a page names its origin, by which the service knows that it is its own.
    "Referrer-Policy": "same-origin",
    "Vary": "Accept, Cookie",
}


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation."""

    name: str
    path: str
    needs: frozenset[Scope] = frozenset()
    """Scopes of which one suffices; none: for everybody."""


PREDICTS = frozenset({Scope.PREDICT})
RUNS_JOBS = frozenset({Scope.JOBS})
PLACES = (
    Place("Try", "/", PREDICTS),
    Place("Files", "/files", RUNS_JOBS),
    Place("Streams", "/streams", RUNS_JOBS),
    Place("Status", "/status", PREDICTS | RUNS_JOBS),
    Place("API", "/docs"),
)


class Pages:
    """Shows pages."""

    def __init__(self, *, has_keys: bool, has_streams: bool) -> None:
        """`has_keys`: whether callers need an API key; `has_streams`: whether the service's analysis has streams."""
        self.has_keys = has_keys
        self._places = tuple(place for place in PLACES if has_streams or place.path != "/streams")
        self.version = _digest()
        """Of all static files together. It is a part of their addresses, so that browsers may keep them for ever."""

    def show(
        self, template: str, *, needs: frozenset[Scope] = frozenset(), status: int = 200, **words: object
    ) -> Response:
        """A page, or in its place the form to sign in by, where its viewer has shown no key and needs one.

        Args:
            template: the template's file name. It extends `base.html`.
            needs: the scopes of which the viewer's key needs one; none: the page is for everybody.
            status: the answer's status.
            words: what the template shows. Jinja escapes it.
        """
        if needs and self.has_keys:
            if caller().key is None:
                template, words = "sign_in.html", {"next": self._here()}
            elif not self.may(needs):
                template, words, status = "not_allowed.html", {"needs": " or ".join(sorted(needs))}, 403
        response = make_response(render_template(template, **self._surroundings(), **words), status)
        response.headers.extend(_HEADERS)
        return response

    def fragment(self, template: str, **words: object) -> Response:
        """A part of a page, which a script puts in its place."""
        response = make_response(render_template(template, **self._surroundings(), **words))
        response.headers.extend(_HEADERS)
        return response

    def may(self, needs: frozenset[Scope]) -> bool:
        """Whether the viewer may do what needs one of these scopes."""
        key = caller().key
        return not self.has_keys or not needs or (key is not None and key.may(needs))

    def _here(self) -> str:
        """The address of the page, as whoever has signed in comes back to it."""
        query = f"?{request.query_string.decode('ascii', 'replace')}" if request.query_string else ""
        return f"{_path()}{query}"

    def _surroundings(self) -> dict[str, object]:
        key = caller().key
        return {
            "root": request.script_root,
            "static": f"{request.script_root}/pages/static/{self.version}",
            "path": _path(),
            "places": [place for place in self._places if self.may(place.needs)],
            "signed_in": key.name if key is not None else None,
            "csrf": caller().csrf,
            "may": {scope.value: self.may(frozenset({scope})) for scope in Scope},
        }


def _path() -> str:
    """The page's path as people see it: that of a page which the API has, too, is another within."""
    return request.path.removeprefix("/pages") or "/"


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
