"""Finds the language of a text, and whether it is surely one that a model does not read.

By eldc, which compares the text with profiles of 60 languages; how it was chosen, and the figures for the limits below,
are in docs/language.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelNotFound
from model.source import local_folder

LEAST_BYTES = 24
"""Texts with fewer bytes of UTF-8 in their words are too short to tell, about five words; unless their letters tell."""
LEAST_TOLD_BYTES = 10
"""With fewer, no language is told at all."""
MOST_CHARS = 4000
"""The characters of a text that are looked at."""
LEAST_LEAD = 0.25
"""How far a language's score has to be above those of all languages that the model reads."""
_SCORES = 20
"""Languages whose scores are compared; what is not among them has none."""
_DRAWN_OUT = re.compile(r"(\w)\1{2,}")
"""Of "noooooo", the rest of the letters says nothing of the language."""
_INVISIBLE = str.maketrans(dict.fromkeys("\u00ad\u200b\u2060\ufeff"))
"""What may stand within words, unseen."""
_LATIN = re.compile("[a-zA-Z\u00aa-\u02af\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff]")
_OTHER_SCRIPTS = frozenset(
    {
        "am", "ar", "az", "be", "bg", "bn", "el", "fa", "gu", "he", "hi", "hy", "ja", "ka", "kn", "ko", "ku", "lo",
        "ml", "mr", "or", "pa", "ru", "sr", "ta", "te", "th", "uk", "ur", "zh",
    }
)  # fmt: skip
"""Languages that are not, or not always, written with Latin letters."""
_NOT_WORDS = re.compile(r"(?:@user\b|\bhttp\b|#\w+|[\W\d_])+")
"""What says nothing of a cleaned text's language: hashtags are often English in any language."""
_WORD_OR_EMOJI = re.compile(r"#\w*[^\W\d_]|[\u2190-\u21ff\u2300-\u2bff\u3030\U0001f000-\U0001faff]")
_RELATIVES = (
    frozenset({"no", "nb", "nn"}),
    frozenset({"ms", "id"}),
    frozenset({"hr", "bs", "sr", "sh"}),
    frozenset({"tl", "fil"}),
    frozenset({"he", "iw"}),
)
"""Languages that are not told apart, or names of the same one."""
_CODE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a text."""

    code: str | None
    """The likeliest language, ISO 639-1; None if nothing can be told."""
    sureness: float
    """From 0 to 1, how far this language leads before the next: its score's share above the next one's."""
    foreign: bool
    """Whether the language is surely not one that the model reads."""
    words: bool
    """Whether the text has anything to judge: a word, a hashtag or an emoji."""


NO_WORDS = Found(None, 0.0, foreign=False, words=False)
UNTOLD = Found(None, 0.0, foreign=False, words=True)
ILLEGIBLE = Found(None, 0.0, foreign=True, words=True)
"""In letters that the model does not read; in which language cannot be told."""


class Languages:
    """Finds languages, for a model that reads some of them. Thread-safe."""

    def __init__(self, read: Collection[str]) -> None:
        """`read`: the codes of the languages that the model reads; empty if that is unknown."""
        import eldc  # with its profiles; a web process needs none

        eldc.init()
        detector = eldc.instance()
        detector.set_scores(_SCORES)
        self._detect = detector.detect_details
        known = frozenset(eldc.LANGUAGES)
        mine = [_relatives(code) & known for code in read]
        self.judges = bool(mine) and all(mine)
        """Whether texts can be told to be in a language that the model does not read: not if it reads one that is not
        known here, since that would be taken for another one."""
        self._read = frozenset[str]().union(*mine) if self.judges else frozenset()
        self._reads_latin_alone = self.judges and self._read.isdisjoint(_OTHER_SCRIPTS)

    def find(self, text: str) -> Found:
        """The language of a cleaned text; takes about 12 us for a tweet."""
        text = text[:MOST_CHARS]
        if not text.isascii():
            text = text.translate(_INVISIBLE)
        words = _DRAWN_OUT.sub(r"\1\1", _NOT_WORDS.sub(" ", text))
        if words.isspace():
            return NO_WORDS if _WORD_OR_EMOJI.search(text) is None else UNTOLD
        size = len(words.encode())
        illegible = self._reads_latin_alone and not words.isascii() and _has_no_latin(words)
        if size < LEAST_TOLD_BYTES:
            return ILLEGIBLE if illegible else UNTOLD
        found = self._detect(words)
        scores = found.scores
        if not scores:
            return ILLEGIBLE if illegible else UNTOLD
        best, *others = scores.values()
        code = found.language
        sureness = round(1 - others[0] / best, 2) if others else 1.0
        foreign = illegible or (
            self.judges
            and code not in self._read
            and size >= LEAST_BYTES
            and best - max((scores.get(mine, 0.0) for mine in self._read), default=0.0) >= LEAST_LEAD
        )
        return Found(code, sureness, foreign, words=True)


def _has_no_latin(words: str) -> bool:
    """Whether words have no Latin letter, but two others at least: one alone may be a sign, or part of a face."""
    return _LATIN.search(words) is None and len(set(words) - {" "}) > 1


def _relatives(code: str) -> frozenset[str]:
    return next((names for names in _RELATIVES if code in names), frozenset({code}))


def as_codes(names: Iterable[object]) -> tuple[str, ...]:
    """Codes of languages without their regions, `pt` for `pt-BR`, in lower case.

    Raises:
        ValueError: one is no code; the message says which.
    """
    codes: dict[str, None] = {}
    for name in names:
        code = re.split("[-_]", str(name).strip().lower())[0]
        if _CODE.fullmatch(code) is None:
            raise ValueError(f"{str(name)[:20]!r} is not a code of a language like `en`")
        codes[code] = None
    return tuple(codes)


def stated(name: str, revision: str | None = None) -> tuple[str, ...]:
    """The languages that a model says it reads: `language` at the head of its README.md; empty if it says none.

    `multilingual` and other words that are no codes say nothing.
    """
    try:
        card = local_folder(name, revision, ("README.md",)) / "README.md"
        head = _head(card)
    except (ModelNotFound, OSError, UnicodeDecodeError):
        return ()
    try:
        return as_codes(head)
    except ValueError:
        return ()


def _head(card: Path) -> list[str]:
    """The values of `language` in the YAML at the head of a model's card: a word, or a list in one of its two forms."""
    lines = card.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].strip() != "---":
        return []
    values: list[str] = []
    inside = False
    for line in lines[1:]:
        text = line.split(" #")[0].strip()
        if text == "---":
            break
        if inside and text.startswith("-"):
            values.append(text[1:].strip(" \"'"))
            continue
        inside = text.startswith("language:") and line[:1] == "l"
        if inside:
            given = text.removeprefix("language:").strip().strip("[]")
            values += [value.strip(" \"'") for value in given.split(",") if value.strip()]
    return values
