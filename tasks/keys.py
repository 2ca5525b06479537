"""API keys: who a caller is, and what they may ask for. Only digests of keys are kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<scopes>[a-z+]+):(?P<digest>[0-9a-fA-F]{64})")
_SHAPE = (
    "is not NAME:SCOPES:DIGEST, where SCOPES are predict, jobs or admin, joined by +, and DIGEST is the key's SHA-256"
    " in hex."
    " The key itself does not belong here: `sentiq key new NAME` makes a key with its entry,"
    " and `printf %s KEY | sha256sum` gives the digest of a key that you have"
)


class Scope(StrEnum):
    """What a key is good for."""

    PREDICT = "predict"
    """`/predict`, and the jobs that it makes of slow texts."""
    JOBS = "jobs"
    """`/batch_predict` and `/jobs`: the key's own."""
    ADMIN = "admin"
    """Everything: all jobs of all keys, and `/metrics`."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller. Two keys of one name are one caller: so a key is replaced without losing its jobs."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scopes: Iterable[Scope]) -> bool:
        """It has one of these scopes."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)


def digest(key: str) -> str:
    """As keys are stored. A fast hash is enough: a key of 256 random bits cannot be guessed, whatever a guess costs."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def find(keys: Mapping[str, ApiKey], presented: str) -> ApiKey | None:
    """The key that was presented, from keys by digest.

    What is compared is the digest of what was presented, which nobody can steer: that makes a dict's look-up as good as
    `hmac.compare_digest` over all keys, and its time does not grow with their number. Should the time of the look-up
    tell something of a stored digest, no key follows from that; and the dict's own hash of strings has a secret of the
    process in it.
    """
    return keys.get(digest(presented))


def parse_keys(text: str) -> dict[str, ApiKey]:
    """Keys by digest, from entries between commas or white space; `#` begins a comment that ends with its line.

    Raises:
        ValueError: an entry is none; the message has its number and nothing of what it holds, which may be a key.
    """
    keys: dict[str, ApiKey] = {}
    lines = (line.partition("#")[0] for line in text.splitlines())
    for number, entry in enumerate(re.findall(r"[^\s,]+", "\n".join(lines)), 1):
        found = _ENTRY.fullmatch(entry)
        if found is None or not set(found["scopes"].split("+")) <= set(Scope):
            raise ValueError(f"entry {number} {_SHAPE}")
        if found["digest"].lower() in keys:
            raise ValueError(f"entry {number} repeats the digest of an earlier entry")
        keys[found["digest"].lower()] = ApiKey(found["name"], frozenset(map(Scope, found["scopes"].split("+"))))
    if not keys:
        raise ValueError("contains no key")
    return keys


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """A new key and its entry.

    Raises:
        ValueError: a name or scope that an entry cannot have.
    """
    key = f"sentiq_{secrets.token_urlsafe(32)}"
    entry = f"{name}:{'+'.join(scopes)}:{digest(key)}"
    try:
        parse_keys(entry)
    except ValueError:
        raise ValueError(
            "A name has up to 64 letters, digits, dots, dashes and underscores; scopes are predict, jobs and admin."
        ) from None
    return key, entry
