"""What a text costs to score, estimated by its length: shares of the workers are by cost, not by number of texts; and
as how many texts it counts against callers' limits.
"""

from __future__ import annotations

from collections.abc import Callable

SHORT_BYTES = 150
"""With fewer bytes a text costs 1, like tweets, with which workers measure their rate: a rate is in cost per second."""
READ_BYTES = 1500
"""The bytes that count as one text against callers' limits. Models read about as much at once: 256 tokens, in most
languages.
"""

Count = Callable[[str], int]


def cost(text: str) -> int:
    """The cost of a text that is read whole: 1 for a tweet, and 1 more for each SHORT_BYTES bytes.

    It goes by bytes, since the tokens of scripts with more bytes to a character stand for fewer characters.
    """
    return 1 + _bytes(text) // SHORT_BYTES


def cost_of_beginning(text: str) -> int:
    """The cost of a text of which no more is read than a model reads at once: 1 to 11."""
    size = len(text) if text.isascii() else len(text[:READ_BYTES].encode(errors="replace"))
    return 1 + min(size, READ_BYTES) // SHORT_BYTES


def charge(text: str) -> int:
    """As how many texts one that is read whole counts against callers' limits: 1 for each READ_BYTES bytes begun."""
    if 4 * len(text) <= READ_BYTES:
        return 1
    return max(1, -(-_bytes(text) // READ_BYTES))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def costs(*, whole: bool) -> Count:
    """A function that estimates the costs of texts, which are read whole or only as far as a model reads at once."""
    return cost if whole else cost_of_beginning


def charges(*, whole: bool) -> Count:
    """A function that says as how many texts one counts against callers' limits."""
    return charge if whole else lambda text: 1
