"""How a model reads a cleaned text before its tokenizer does. The number of the reading is part of an exported model.

A model is only as good as the form in which it met its training texts. So a model keeps the reading that it was made
with: its `manifest.json` says which, and the number is part of the digest in its identity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from model.emoji import EmojiWords
from model.errors import ModelRefused

AS_IT_IS, EMOJI_IN_WORDS, SPLIT = 0, 1, 2
"""The readings: the cleaned text as it is; unknown emoji in words, with which the embedded model is served; and
hashtags and elongations in known words, emoji without their variants (`SplitReading`)."""

LONG = "[LONG]"
"""A token that follows a word whose letters were repeated: `sooooo` is read as `so [LONG]`."""

_HASHTAG = re.compile(r"#(\w{2,})")
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\dA-Za-z_]+")
"""Where a hashtag says itself how it is divided: by capitals, digits and underscores."""
_LONGER = re.compile(r"\b\w*?([^\W\d_])\1\1\w*")
_RUN = re.compile(r"([^\W\d_])\1{2,}")
_ROMAN = re.compile(r"[IVX]+")
_LETTERS = re.compile(r"[a-z]+")
_SEVERAL, _MOST_CHARS, _LONGEST_WORD = 4, 40, 20

_SIGN = "\u00a9\u00ae\u203c\u2049\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_VARIANT = re.compile(
    f"\u200d[{_SIGN}][\ufe0f\U0001f3fb-\U0001f3ff]*"  # what is joined to a sign: 👨‍👩‍👧 is read as 👨
    "|(?<=[0-9#*])\ufe0f?\u20e3|[\ufe0e\ufe0f]|(?<=[" + _SIGN + "\ufe0f])[\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]+"
)


def without_variants(text: str) -> str:
    """The text with each emoji as its base: without colours of skin, genders, and whatever is joined to it."""
    return _VARIANT.sub("", text)


class SplitReading:
    """Reads hashtags and elongations as words that the tokenizer knows, and emoji without their variants. Thread-safe.

    `#NotHappy` and `#nothappy` become `# Not Happy` and `# not happy`; `sooooo` becomes `so [LONG]`, whatever the
    number of letters. Emoji that the tokenizer lacks, such as those of later editions of Unicode, are put into words.
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        """`vocabulary`: the tokens with their ids, frequent words first, as in the vocabularies of BERT and MPNet."""
        self._in_words = EmojiWords(vocabulary.__contains__)
        words = sorted((word for word in vocabulary if _LETTERS.fullmatch(word)), key=vocabulary.__getitem__)
        words = [word for word in words if len(word) > 1 or word in "ai"]
        # By Zipf's law, the word of rank r has a probability of about 1 / (r log n), as in the package wordninja.
        self._cost = {word: math.log((rank + 1) * math.log(len(words) + 2)) for rank, word in enumerate(words)}

    def __call__(self, text: str) -> str:
        """The text as the tokenizer is to see it."""
        if "#" in text:
            text = _HASHTAG.sub(self._divided, text)
        text = _LONGER.sub(self._shortened, text)
        return text if text.isascii() else self._in_words(without_variants(text))

    def _divided(self, match: re.Match[str]) -> str:
        words = [word for part in _PARTS.findall(match[1]) for word in self._words(part)]
        return f"# {' '.join(words)}" if words else match[0]

    def _words(self, part: str) -> list[str]:
        """The part as known words, at the lowest cost; as it is if it cannot be divided into them, or is one."""
        lower = part.lower()
        if lower in self._cost or not _SEVERAL <= len(part) <= _MOST_CHARS or not _LETTERS.fullmatch(lower):
            return [part]
        best: list[tuple[float, int]] = [(0.0, 0)]
        for end in range(1, len(lower) + 1):
            starts = range(max(0, end - _LONGEST_WORD), end)
            best.append(min((best[at][0] + self._cost.get(lower[at:end], math.inf), at) for at in starts))
        if math.isinf(best[-1][0]):
            return [part]
        words, end = [], len(part)
        while end:
            words.append(part[best[end][1] : end])
            end = best[end][1]
        return words[::-1]

    def _shortened(self, match: re.Match[str]) -> str:
        """The word with two letters or one of those that were repeated: whichever is the more frequent word."""
        if _ROMAN.fullmatch(match[0]):
            return match[0]
        forms = [_RUN.sub(kept, match[0]) for kept in (r"\1\1", r"\1")]
        return f"{min(forms, key=lambda form: self._cost.get(form.lower(), math.inf))} {LONG}"


def reader(
    reading: int, knows: Callable[[str], bool], vocabulary: Callable[[], Mapping[str, int]]
) -> Callable[[str], str] | None:
    """What makes of a cleaned text the text for the tokenizer; None if that is the text as it is.

    Args:
        reading: the number of the reading.
        knows: whether the tokenizer has a token for a sign.
        vocabulary: the tokenizer's tokens with their ids; only asked for if the reading needs all of them.

    Raises:
        ModelRefused: a later version has made the model, with a reading that this one does not know.
    """
    if reading == AS_IT_IS:
        return None
    if reading == EMOJI_IN_WORDS:
        return EmojiWords(knows)
    if reading == SPLIT:
        return SplitReading(vocabulary())
    raise ModelRefused(f"the model wants its texts read in a way ({reading}) that this version of Sentiq does not know")
