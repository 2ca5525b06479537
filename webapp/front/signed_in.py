"""Requests of people who have signed in on a page: a cookie stands for their key. SECURITY.md has the threats."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.keys import ApiKey
from tasks.store.sessions import Sessions
from tasks.submit.away import redis_or_unavailable

COOKIE = "sentiq_session"
_COOKIE = re.compile(rf"(?:^|;\s*){COOKIE}=([A-Za-z0-9_-]+)")
CSRF_HEADER = "HTTP_X_CSRF_TOKEN"


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is under way."""

    key: ApiKey
    csrf: str
    """What requests that change something have to carry besides the cookie. Only a page of the service can read it."""


class SignedIn:
    """Finds the sessions of requests."""

    def __init__(self, keys: Mapping[str, ApiKey], sessions: Sessions) -> None:
        """`keys`: the API keys by digest. A session of a key that is no longer there is none."""
        self._keys = keys
        self._sessions = sessions

    def find(self, environ: dict[str, Any]) -> Session | None:
        """The session of a request.

        Raises:
            ServiceUnavailable: Redis is away.
        """
        session = session_id(environ)
        if session is None:
            return None
        with redis_or_unavailable():
            digest = self._sessions.key_of(session)
        key = self._keys.get(digest) if digest is not None else None
        return Session(key, csrf_token(session)) if key is not None else None


def session_id(environ: dict[str, Any]) -> str | None:
    """The id of the session that a request's cookie names, be there such a session or not."""
    found = _COOKIE.search(environ.get("HTTP_COOKIE", ""))
    return found[1] if found is not None else None


def csrf_token(session: str) -> str:
    """The token of a session. Whoever knows it cannot tell the session's id from it."""
    return hmac.digest(session.encode(), b"csrf", hashlib.sha256).hex()


def is_token(given: str, wanted: str) -> bool:
    """Whether a token that was sent is the one that belongs to the session."""
    return bool(wanted) and hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
