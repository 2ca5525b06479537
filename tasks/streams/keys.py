"""The names of a stream's keys in Redis; `tasks.streams` says what the keys hold."""

from __future__ import annotations

STREAM_UNSEEN = "sentiq:streams:unseen"
IDS_IN_SET = 300
"""Ids in each set of a level when the next level begins, on average; see `lua/stream.lua`."""


def registry_key(owner: str) -> str:
    """The key of the streams of an owner, by name."""
    return f"sentiq:streams-of:{owner}"


def stream_key(uid: str, *parts: str | int) -> str:
    """The key of a stream, or of one of its parts."""
    return ":".join(("sentiq:s", uid, *map(str, parts)))


def level_sets(level: int) -> int:
    """The number of sets of ids of a level; see `lua/stream.lua`."""
    return 1 << 4 * (level + 1)
