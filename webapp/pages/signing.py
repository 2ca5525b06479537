"""Signing in on a page with an API key, and out. The key is sent once; then a cookie stands for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import structlog
from flask import Blueprint, Response, redirect, request
from werkzeug.exceptions import NotFound

from tasks.errors import Forbidden
from tasks.keys import ApiKey, digest
from tasks.store.limits import Standing
from tasks.store.sessions import Sessions
from tasks.submit.away import redis_or_unavailable
from webapp.front.admission import address_id
from webapp.front.signed_in import COOKIE, csrf_token, is_token, session_id
from webapp.front.visit import visit
from webapp.pages.page import Pages

_MOST_TRIES = 20
"""How often one address, and one key, may sign in within a window. Keys cannot be guessed; words that somebody took for
one can.
"""
_WINDOW_S = 60
_MOST_BYTES = 4096
_OWN_ADDRESS = re.compile(r"/(?![/\\])[!-~]*")
_WRONG = "This key is not known here. Check that all of it was copied, and nothing else."
_EMPTY = "Enter a key."
_TOO_OFTEN = f"There were too many tries: there may be {_MOST_TRIES} in a minute, and none is left. Wait a minute."

_log = structlog.get_logger(__name__)


def add_signing(blueprint: Blueprint, pages: Pages, keys: Mapping[str, ApiKey], sessions: Sessions) -> None:
    """Adds the addresses at which people sign in and out; there are none where callers need no key."""

    @blueprint.get("/pages/sign-in")
    def sign_in_form() -> Response:
        if not keys:
            raise NotFound
        return pages.show("sign_in.html", next="/")

    @blueprint.post("/pages/sign-in")
    def sign_in() -> Response:
        if not keys:
            raise NotFound
        request.max_content_length = _MOST_BYTES
        key, back = request.form.get("key", "").strip(), _own(request.form.get("next", ""))
        with redis_or_unavailable():
            found = digest(key)
            often = sessions.tried(address_id(request.environ.get("REMOTE_ADDR", "")), window_s=_WINDOW_S)
            if often <= _MOST_TRIES and found in keys:
                often = sessions.tried(found[:32], window_s=_WINDOW_S)
            if often > _MOST_TRIES:
                refused = pages.show("sign_in.html", status=429, next=back, wrong=_TOO_OFTEN)
                refused.headers["Retry-After"] = str(_WINDOW_S)
                visit().refused_by(Standing(_MOST_TRIES, 0, _WINDOW_S))
                return refused
            signed_in = keys.get(found)
            if signed_in is None:
                _log.warning("somebody tried to sign in with a key that is not known")
                return pages.show("sign_in.html", status=403, next=back, wrong=_WRONG if key else _EMPTY)
            session = sessions.begin(found)
        _log.info("signed in", caller=signed_in.name)
        response = _to(back)
        _set_cookie(response, session, sessions.ttl_s)
        return response

    @blueprint.post("/pages/sign-out")
    def sign_out() -> Response:
        session = session_id(request.environ)
        request.max_content_length = _MOST_BYTES
        if session is not None:
            if not is_token(request.form.get("csrf_token", ""), csrf_token(session)):
                raise Forbidden("The form is out of date. Go back, load the page again and sign out.")
            with redis_or_unavailable():
                sessions.end(session)
        response = _to("/")
        _set_cookie(response, "", 0)
        return response


def _own(address: str) -> str:
    """An address of the service's own, or that of its first page: nobody is led to another site."""
    return address if _OWN_ADDRESS.fullmatch(address) else "/"


def _to(address: str) -> Response:
    response = redirect(f"{request.script_root}{address}", 303)
    response.headers["Cache-Control"] = "no-store"
    return response  # type: ignore[return-value]


def _set_cookie(response: Response, session: str, ttl_s: int) -> None:
    """Sets or removes the cookie: for this service's paths alone, never readable by a script, and sent only by pages of
    this site.
    """
    response.set_cookie(
        COOKIE,
        session,
        max_age=ttl_s,
        path=request.script_root or "/",
        secure=_is_https(),
        httponly=True,
        samesite="Strict",
    )


def _is_https() -> bool:
    """Whether the browser came by HTTPS, which it tells with the form; the proxy that ends it need not."""
    return request.headers.get("Origin", "").startswith("https://") or request.is_secure
