"""Tells texts of which a model knows no word: whatever it answers to them, it has seen nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence

_PLACEHOLDERS = frozenset({"user", "http"})
"""What stands for mentions and links in cleaned texts."""


class Unread:
    """Tells whether a text, as token ids, has unknown words and no other ones. Thread-safe."""

    def __init__(self, unknown: int | None, special: Collection[int], token: Callable[[int], str | None]) -> None:
        """Takes what the tokenizer knows.

        Args:
            unknown: the id that stands for any unknown word; None if there are no unknown words.
            special: the ids of the tokens that are no part of a text.
            token: gives the token of an id.
        """
        self._unknown = unknown
        self._token = token
        self._says: dict[int, bool] = dict.fromkeys(special, False)
        if unknown is not None:
            self._says[unknown] = False

    def __call__(self, ids: Sequence[int]) -> bool:
        """Whether the model knows nothing of the text; takes less than a microsecond for a tweet that it knows."""
        return self._unknown is not None and self._unknown in ids and not any(map(self._is_word, ids))

    def _is_word(self, token_id: int) -> bool:
        says = self._says.get(token_id)
        if says is None:
            token = self._token(token_id) or ""
            says = token.strip("#\u2581\u0120@") not in _PLACEHOLDERS and any(
                char.isalpha() or unicodedata.category(char) == "So" for char in token.strip("\u0120")
            )
            self._says[token_id] = says
        return says
