"""A text without the names of what it is about: each of them replaced by the same neutral token.

A model has learnt what is usually said of whom, so a name alone moves the score. Of 1,500 equal sentences the embedded
model takes those about one name for better than those about another; a comparison of two names would measure that.
Scored with the token instead, equal sentences have equal scores, whatever the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from model.target import APOSTROPHE, INSIDE, body, free_after, free_before, is_target, words
from model.text import clean

TOKEN = "@user"
"""What stands for a name: what a mention becomes when a text is cleaned (`model.text`), so the model has read it often.

Of sixteen tokens (pronouns, `[NAME]`, first names, ...) in 500 tweets about other things, it gave the label of the mean
over 14 names most often: docs/streams.md."""
MOST_NAMES = 20
"""The most names of one segment."""

_TAG = re.compile(r"(?<!\w)#\w+")


def is_name(name: str) -> bool:
    """Whether something can be masked as a name: it has letters or digits, and is not too long."""
    return is_target(name) and bool(words(_unified(name)))


def _unified(name: str) -> str:
    """A name as it stands in cleaned texts: `clean` would take `@name` for a mention."""
    return clean(name.strip().lstrip("#@ "))


class Mask:
    """Replaces names in cleaned texts by `TOKEN`: in any case, as possessives and plurals, and as or within hashtags.

    Mentions need no mask: cleaning has replaced them by the same token. Names of fewer than four letters are not looked
    for within longer hashtags, as they are in too many other words.
    """

    def __init__(self, names: Iterable[str]) -> None:
        """`names`: of one segment; those that are not names (`is_name`) are left out."""
        # The longest first: "Donald Trump" is one name, and not a first name before one.
        found = sorted({_unified(name) for name in names if is_name(name)}, key=lambda name: (-len(name), name))
        self._whole = re.compile(_whole(found), re.IGNORECASE) if found else None
        inside = [body(name) for name in found if sum(map(len, words(name))) >= INSIDE]
        self._inside = re.compile("|".join(inside), re.IGNORECASE) if inside else None

    def __call__(self, text: str) -> str:
        """The text without the names; the same text if it has none of them."""
        if self._whole is None:
            return text
        text = self._whole.sub(_replaced, text)
        return text if self._inside is None else _TAG.sub(self._in_tag, text)

    def _in_tag(self, tag: re.Match[str]) -> str:
        assert self._inside is not None
        masked, count = self._inside.subn(f" {TOKEN} ", tag[0][1:])
        if not count:
            return tag[0]
        parts = " ".join(masked.split())
        return parts if parts.startswith(TOKEN) else f"#{parts}"


_ENDING = rf"({APOSTROPHE}s|s{APOSTROPHE}?|es{APOSTROPHE}?|(?<=s){APOSTROPHE}(?=\s\w))?(?!\w)"
"""A possessive or a plural. After a name in s, an apostrophe alone makes a possessive."""


def _whole(found: Sequence[str]) -> str:
    """A pattern of names that stand alone; its group is what makes a possessive or a plural of one."""
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for name in found:
        before = "" if free_before(name) else r"(?<!\w)"
        kinds[free_after(name)].append(f"{before}#?{body(name)}")
    free, bounded = ("|".join(kinds[kind]) for kind in (True, False))
    return "|".join(filter(None, (free, bounded and f"(?:{bounded}){_ENDING}")))


def _replaced(found: re.Match[str]) -> str:
    ending = found[1] if found.re.groups else None
    if not ending or not set(ending) & {"'", "\u2019"}:
        return TOKEN
    quoted = len(ending) == 1 and found.string[found.start() - 1 : found.start()] == ending
    return TOKEN + (ending if quoted else "'s")


@lru_cache(maxsize=1024)
def mask_of(names: tuple[str, ...]) -> Mask:
    """The mask of names; those that were used last are kept."""
    return Mask(names)
