"""API keys: who a caller is and what they may do. Only the hashes of keys are kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_NAME = r"[A-Za-z0-9._-]{1,64}"
_ENTRY = re.compile(rf"(?P<name>{_NAME}):(?P<scopes>[a-z+]+):(?P<digest>[0-9a-fA-F]{{64}})")
_SHORTEST_WEBHOOK_KEY = 24
"""Bytes, as Standard Webhooks asks."""
_SHAPE = (
    "is not NAME:SCOPES:DIGEST, where SCOPES are predict, jobs or admin, joined by +, and DIGEST is the key's SHA-256"
    " in hex."
    " The key itself does not belong here: `sentiq key new NAME` makes a key with its entry,"
    " and `printf %s KEY | sha256sum` gives the digest of a key that you have"
)


class Scope(StrEnum):
    """What an API key permits."""

    PREDICT = "predict"
    """Permits `/predict`, and reading the jobs that it makes of slow texts."""
    JOBS = "jobs"
    """Permits `/batch_predict` and `/jobs`, for the key's own jobs."""
    ADMIN = "admin"
    """Permits everything: the jobs of all keys, and `/metrics`."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller, as an API key names them. Keys of the same name are one caller: a new key keeps the old one's jobs."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scopes: Iterable[Scope]) -> bool:
        """Whether the key has one of these scopes."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(scopes)


def digest(key: str) -> str:
    """The hash that is stored for a key. A fast one is enough, as a key of 256 random bits cannot be guessed anyway."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def find(keys: Mapping[str, ApiKey], presented: str) -> ApiKey | None:
    """Finds the presented key among keys by digest.

    What is compared is the digest of the presented key, which an attacker cannot choose. So a dict look-up is as safe
    as `hmac.compare_digest` over all keys, and takes the same time for any number of keys. Even if the time of a
    look-up revealed something about a stored digest, no key would follow from that; besides, Python's hash of strings
    depends on a secret of the process.
    """
    return keys.get(digest(presented))


def parse_keys(text: str) -> dict[str, ApiKey]:
    """Reads keys, by digest, from entries separated by commas or white space; `#` begins a comment.

    Raises:
        ValueError: an entry is not valid; the message has its number but does not quote it, as it may be a key.
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


def require_webhook_secret(secret: str) -> None:
    """Refuses a secret that begins with `whsec_` and does not go on as Standard Webhooks asks.

    Raises:
        ValueError: it does not.
    """
    if secret.startswith("whsec_"):
        try:
            key = b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if len(key) < _SHORTEST_WEBHOOK_KEY:
            raise ValueError(f"must have {_SHORTEST_WEBHOOK_KEY} bytes or more in base64 after whsec_")


def parse_secrets(text: str) -> dict[str, str]:
    """Reads secrets of callbacks, by the name of an API key, from entries separated by commas or white space.

    Raises:
        ValueError: an entry is not valid; the message has its number but does not quote it.
    """
    found: dict[str, str] = {}
    for number, entry in enumerate(re.findall(r"[^\s,]+", text), 1):
        name, _, secret = entry.partition(":")
        if not re.fullmatch(_NAME, name) or not secret:
            raise ValueError(f"entry {number} is not NAME:SECRET with the name of an API key")
        if name in found:
            raise ValueError(f"entry {number} repeats the name of an earlier entry")
        try:
            require_webhook_secret(secret)
        except ValueError as error:
            raise ValueError(f"entry {number} {error}") from None
        found[name] = secret
    return found


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """Makes a new key; returns it and its entry.

    Raises:
        ValueError: an entry cannot have this name or these scopes.
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
