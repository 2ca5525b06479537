"""What a text says about a target: the sentences and clauses that name it, and what follows them. By rules; the model
knows of no target. How right that is, docs/targets.md tells.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from unicodedata import normalize

from model.sentences import Span, in_turns, sentences, stripped

MOST_CHARS = 100
"""The most characters of a target."""
INSIDE = 4
"""A target of so many letters or more is found inside a longer hashtag or mention, too: Trump in #VoteTrump2016.
Shorter ones are in too many other words.
"""
_FREE = 0x0590
"""From here on are scripts that join words to others, or put no blanks between them: a target may stand anywhere."""
APOSTROPHE = "['\u2019]"
_VARIANTS = {"'": APOSTROPHE, "\u2019": APOSTROPHE, "&": "&(?:amp;)?"}
_CLAUSE = re.compile(
    r";(?=\s)|\s[-\u2013\u2014]+\s|\u2014|[,.]?\s+(?=(?:but|while|whereas|although|though|however|yet|unlike)\s)",
    re.IGNORECASE,
)
"""Where a sentence turns to something else."""
_OTHER = re.compile(r"[#@]\w|(?<=[^\W\d_A-Z] )[A-Z][^\W\d_A-Z]\w+|\b[a-z]{1,3}[A-Z]\w+")
"""What names something: a hashtag, a mention, a word with a capital letter within a sentence, or one like iPhone."""
_LEAST_WORDS = 3
"""A clause of fewer words takes the next one with it, or else the one before: alone it says too little."""


def is_target(target: str) -> bool:
    """Whether a text may be asked for: it has letters or digits, and is not too long."""
    return len(target) <= MOST_CHARS and any(map(str.isalnum, target))


def words(name: str) -> list[str]:
    """The words of a name, without a sign of a hashtag or mention."""
    return [word for word in re.split(r"[\s_.\-]+", name.lstrip("#@ ")) if word]


def body(name: str) -> str:
    """A pattern of a name whose words are joined in any way. Letters with accents are found in both of their forms, as
    one character and as a letter with marks.
    """
    name = normalize("NFC", name)
    return r"[\s_.\-]*".join("".join(map(_sign, word)) for word in words(name))


def _sign(char: str) -> str:
    if char in _VARIANTS:
        return _VARIANTS[char]
    apart = normalize("NFD", char)
    return re.escape(char) if apart == char else f"(?:{re.escape(char)}|{re.escape(apart)})"


def free_before(name: str) -> bool:
    """Whether a name may have letters of another word right before it."""
    return ord(words(name)[0][0]) >= _FREE


def free_after(name: str) -> bool:
    """Whether a name may have letters of another word right after it."""
    return ord(words(name)[-1][-1]) >= _FREE


@lru_cache(maxsize=256)
def names(target: str) -> re.Pattern[str]:
    """A pattern that finds a target: in upper and lower case, with 's or a plural s, and in hashtags and mentions,
    where its words are joined.
    """
    before = "" if free_before(target) else r"(?<!\w)"
    after = "" if free_after(target) else rf"(?:{APOSTROPHE}s|s{APOSTROPHE}?|es{APOSTROPHE}?)?(?!\w)"
    whole = f"{before}{body(target)}{after}"
    inside = rf"|(?<!\w)[#@]\w*?{body(target)}" if sum(map(len, words(target))) >= INSIDE else ""
    return re.compile(whole + inside, re.IGNORECASE)


def about(text: str, target: str) -> list[Span]:
    """The parts of a text that are about a target, in their order; none if the text does not name it.

    Of each sentence that names it those are the clauses that do; and the sentences after it, up to the first that names
    something else: "I bought the Pixel. It broke."
    """
    named = names(target)
    at = [match.start() for match in in_turns(named.finditer(text))]
    if not at:
        return []
    found: list[Span] = []
    follows = False
    for span in in_turns(sentences(text)):
        if _any_in(at, span):
            follows = True
            found += _clauses(text, span, at)
        elif follows := follows and _OTHER.search(text, *span) is None:
            found.append(span)
    return found


def _any_in(places: Sequence[int], span: Span) -> bool:
    """Whether one of the places, which are in order, is in a part of the text."""
    first = bisect_left(places, span.start)
    return first < len(places) and places[first] < span.end


def _clauses(text: str, span: Span, places: Sequence[int]) -> list[Span]:
    """The clauses of a sentence that have one of the places, those that follow each other as one."""
    borders = [span.start, *(match.end() for match in in_turns(_CLAUSE.finditer(text, *span))), span.end]
    clauses = [Span(start, end) for start, end in pairwise(borders) if start < end]
    kept = set()
    for number, clause in enumerate(in_turns(clauses)):
        if _any_in(places, clause):
            kept.add(number)
            if len(text[clause.start : clause.end].split()) < _LEAST_WORDS:
                kept.add(number + 1 if number + 1 < len(clauses) else max(0, number - 1))
    found: list[Span] = []
    for number in in_turns(sorted(kept)):
        start, end = clauses[number]
        if found and found[-1].end == start:
            found[-1] = Span(found[-1].start, end)
        else:
            found.append(Span(start, end))
    return [stripped(text, span) for span in found]


def joined(text: str, spans: Sequence[Span]) -> str:
    """Parts of a text as one text, which is what is scored."""
    return " ".join(text[start:end] for start, end in spans)
