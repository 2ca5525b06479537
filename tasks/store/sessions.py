"""Sessions of people who have signed in on a page, and how often somebody tried to.

A session is known by a random id, which only the person's browser has, and stands for the digest of an API key. Redis
keeps a digest of the id, so that whoever reads along there cannot take a session over.

    sentiq:session:<digest of the id>   the digest of the API key, until the session ends
    sentiq:tries:<who>                  how often somebody has tried to sign in, for a while
"""

from __future__ import annotations

import hashlib
import re
import secrets

from tasks.store.connections import Client

_ID = re.compile(r"[A-Za-z0-9_-]{43}")


class Sessions:
    """Begins, finds and ends sessions; all web processes see the same ones."""

    def __init__(self, client: Client, *, ttl_s: int) -> None:
        """`ttl_s`: seconds after which a session ends by itself, however much it is used."""
        self._client = client
        self.ttl_s = ttl_s

    def begin(self, key_digest: str) -> str:
        """Begins a session for the key with this digest; returns the session's id."""
        session = secrets.token_urlsafe(32)
        self._client.set(_key(session), key_digest, ex=self.ttl_s)
        return session

    def key_of(self, session: str) -> str | None:
        """The digest of the key that a session stands for; None if there is no such session."""
        if _ID.fullmatch(session) is None:
            return None
        found = self._client.get(_key(session))
        return found.decode() if found is not None else None

    def end(self, session: str) -> None:
        """Ends a session, if it is there."""
        self._client.delete(_key(session))

    def tried(self, who: str, *, window_s: int) -> int:
        """Counts a try to sign in; returns how many there have been within the present window."""
        key = f"sentiq:tries:{who}"
        pipe = self._client.pipeline(transaction=True)
        pipe.set(key, 0, ex=window_s, nx=True)
        pipe.incr(key)
        count: int = pipe.execute()[-1]
        return count


def _key(session: str) -> str:
    return f"sentiq:session:{hashlib.sha256(session.encode()).hexdigest()}"
