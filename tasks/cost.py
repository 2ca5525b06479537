"""What a text costs to score, estimated by its length: shares of the workers are by cost, not by number of texts."""

from __future__ import annotations

SHORT_BYTES = 150
"""With fewer bytes a text costs 1, like tweets, with which workers measure their rate: a rate is in cost per second."""
_READ_BYTES = 1500
"""What comes later in a text costs nothing: no engine reads it. 256 tokens, in most languages."""


def cost(text: str) -> int:
    """The cost of a text: 1 to 11, and 1 for a tweet.

    It goes by bytes, since the tokens of scripts with more bytes to a character stand for fewer characters.
    """
    size = len(text) if text.isascii() else len(text[:_READ_BYTES].encode(errors="replace"))
    return 1 + min(size, _READ_BYTES) // SHORT_BYTES
