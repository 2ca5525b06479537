"""Which encoding bytes may have that are not UTF-8."""

from __future__ import annotations

GUESS_BYTES = 1024 * 1024
"""How much of a file is looked at."""


def guessed_encoding(raw: bytes) -> str | None:
    """The encoding, if it is sure."""
    return None
