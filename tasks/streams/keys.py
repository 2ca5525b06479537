"""The names of a stream's keys in Redis; `tasks.streams` says what the keys hold."""

from __future__ import annotations

STREAM_UNSEEN = "sentiq:streams:unseen"


def registry_key(owner: str) -> str:
    """The key of the streams of an owner, by name."""
    return f"sentiq:streams-of:{owner}"


def stream_key(uid: str, *parts: str | int) -> str:
    """The key of a stream, or of one of its parts."""
    return ":".join(("sentiq:s", uid, *map(str, parts)))
