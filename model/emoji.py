"""Puts emoji that a tokenizer does not know into words, so that they say something to the model.

A tokenizer without an emoji reads it as `[UNK]`, and with it any word that it is attached to: to the embedded model,
whose vocabulary has the 119 most frequent signs of its training texts, all others were the same, and neutral.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_EMPTY = "face with sign black white heavy emoji symbol for of and component modifier fitzpatrick type"
_EMPTY_WORDS = frozenset(_EMPTY.split())
_MEANT = {
    **dict.fromkeys("🧡💛💞💗💘🤎🤍🫶🩷🩵🩶", "❤"),
    "🤬": "angry cursing",
    "🤮": "disgusting",
    "🥳": "celebrating",
    "👿": "angry devil",
    "😾": "angry cat",
}
"""What is meant by emoji whose Unicode name does not say so."""
_EMOJI = re.compile("[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff]")
"""Not the letters of flags, which mean nothing by themselves."""
_FEELING = re.compile("[☠👀-👐👿💓-💟💢🖤😀-🙏🤌-🤯🥰-🥺🧡🩵-🩷🫠-🫸]")
"""Faces, hands and hearts. Words for anything else, such as a helmet or a crab, say nothing of a text's sentiment."""
_TONES = frozenset("🏻🏼🏽🏾🏿")


def words(char: str) -> str:
    """The meaningful words of an emoji's Unicode name, such as "smiling heart shaped eyes"; empty if it has none."""
    name = unicodedata.name(char, "").lower().replace("-", " ").split()
    return " ".join([word for word in name if word not in _EMPTY_WORDS] or name)


def meaning(char: str) -> str:
    """What is meant by an emoji whose name does not say so; empty for any other."""
    return _MEANT.get(char, "")


class EmojiWords:
    """Puts the emoji of texts that a tokenizer does not know into words. Thread-safe."""

    def __init__(self, knows: Callable[[str], bool]) -> None:
        """`knows`: whether the tokenizer has a token for a sign."""
        self._knows = knows
        self._found: dict[str, str] = dict.fromkeys(_TONES, "")

    def __call__(self, text: str) -> str:
        """The text with words in the place of unknown faces, hands and hearts, and blanks around other unknown emoji,
        so that the words beside them are read. Colours of skin are left out.
        """
        return text if text.isascii() else _EMOJI.sub(self._instead, text)

    def _instead(self, match: re.Match[str]) -> str:
        char = match[0]
        found = self._found.get(char)
        if found is None:
            found = self._found[char] = char if self._knows(char) else f" {self._said(char)} "
        return found

    @staticmethod
    def _said(char: str) -> str:
        return _MEANT.get(char) or (words(char) if _FEELING.match(char) else "") or char
