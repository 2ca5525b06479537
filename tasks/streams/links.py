"""Links by which somebody without a key may look at one stream, until they expire or are taken back.

    sentiq:link:<digest>       what a link opens, as JSON, until it expires; <digest> is the SHA-256 of its token
    sentiq:s:<uid>:links       the links of a stream, a hash of the same JSON by the link's id

The token itself is not kept: whoever reads the store cannot use a link. A link names the stream by its uid, so it does
not open another stream that is made later under the same name.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time

import msgspec

from tasks.errors import StreamNotFound, TooManyLinks
from tasks.store.connections import Client
from tasks.streams.keys import stream_key
from tasks.streams.stream import Stream

MOST_LINKS = 100
"""Of one stream."""
_ID_CHARS = 12
_TOKEN_BYTES = 32


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a link opens. Times are Unix seconds."""

    id: str
    """The beginning of the token's digest: names the link without opening anything."""
    uid: str
    owner: str
    name: str
    """The stream's."""
    texts: bool
    """Whether texts of the sample are shown too."""
    created_at: float
    expires_at: float


_read = msgspec.json.Decoder(Link).decode


class StreamLinks:
    """Makes, finds and takes back links. Raises redis.RedisError if the server is away."""

    def __init__(self, client: Client) -> None:
        """`client`: connected to the server of the streams."""
        self._client = client

    def make(self, stream: Stream, ttl_s: int, *, texts: bool) -> tuple[str, Link]:
        """Makes a link; returns its token, which is told this once, and what it opens.

        Raises:
            TooManyLinks: the stream has as many as may be.
            StreamNotFound: it was deleted meanwhile.
        """
        key = stream_key(stream.uid, "links")
        others = self.of(stream)
        if len(others) >= MOST_LINKS:
            raise TooManyLinks(MOST_LINKS)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        digest, now = _digest(token), time.time()
        link = Link(
            id=digest[:_ID_CHARS],
            uid=stream.uid,
            owner=stream.owner,
            name=stream.name,
            texts=texts,
            created_at=now,
            expires_at=now + ttl_s,
        )
        raw = msgspec.json.encode(link)
        pipe = self._client.pipeline(transaction=True)
        pipe.set(_key(digest), raw, ex=ttl_s)
        pipe.hset(key, mapping={digest: raw})
        pipe.expire(key, math.ceil(max(one.expires_at for one in (link, *others)) - now))  # as long as any of them
        pipe.execute()
        if not self._client.exists(stream_key(stream.uid)):  # it was deleted meanwhile, maybe before this was written
            self._client.unlink(_key(digest))
            self._client.hdel(key, digest)  # only its own: by the others' fields, `delete` finds their links
            raise StreamNotFound
        return token, link

    def find(self, token: str) -> Link | None:
        """What a token opens; None if there is no such link, or no more."""
        raw = self._client.get(_key(_digest(token)))
        return None if raw is None else _read(raw)

    def of(self, stream: Stream) -> list[Link]:
        """The stream's links that have not expired, the newest first. Forgets the others."""
        key, now = stream_key(stream.uid, "links"), time.time()
        links = {digest.decode(): _read(raw) for digest, raw in self._client.hgetall(key).items()}
        if over := [digest for digest, link in links.items() if link.expires_at <= now]:
            self._client.hdel(key, *over)
        return sorted((one for one in links.values() if one.expires_at > now), key=lambda one: -one.created_at)

    def take_back(self, stream: Stream, id: str) -> bool:
        """Ends a link; returns whether the stream had one of this id."""
        key = stream_key(stream.uid, "links")
        digests = [digest for one in self._client.hkeys(key) if (digest := one.decode()).startswith(id)]
        if len(id) != _ID_CHARS or not digests:
            return False
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(*(_key(digest) for digest in digests))
        pipe.hdel(key, *digests)
        pipe.execute()
        return True


def link_keys(client: Client, uid: str) -> list[str]:
    """The keys of the links to a stream."""
    return [_key(digest.decode()) for digest in client.hkeys(stream_key(uid, "links"))]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _key(digest: str) -> str:
    return f"sentiq:link:{digest}"
