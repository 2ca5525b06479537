"""What callers may ask of a text besides its prediction, and the texts that have to be scored to answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from model.explain import without, words
from model.sentences import Span, sentences
from model.target import about, joined
from tasks.cost import READ_BYTES, Count
from tasks.errors import EmptyText, NotMentioned, TooLongToExplain, TooManySentences

MOST_SENTENCES = 500
"""The most sentences of a text that get answers of their own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a text."""

    target: str | None = None
    """What the text is scored towards; None for no target."""
    sentences: bool = False
    """Whether each sentence gets an answer of its own."""
    explain: bool = False
    """Whether each word gets its weight."""


NOTHING = Asked()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text that has an answer of its own, or stands for the text without it."""

    start: int
    end: int
    scored: str | None
    """The cleaned text that is scored; None if there is nothing to score."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text and all that has to be scored to answer what is asked of it. Places are in the text as it was sent."""

    text: str
    """As it was sent."""
    target: str | None
    scored: str
    """The cleaned text that is scored: all of it, or what is about the target."""
    about: tuple[Span, ...] = ()
    """The parts of the text that are about the target, if there is one."""
    sentences: tuple[Part, ...] | None = None
    """None unless they are asked for."""
    words: tuple[Part, ...] | None = None
    """The same; each stands for the text without it."""

    @property
    def parts(self) -> Iterator[Part]:
        """All parts that are scored beside the text."""
        yield from self.sentences or ()
        yield from self.words or ()

    def charge(self, charge: Count) -> int:
        """As how many texts it counts against its caller's limits: each text that has to be scored counts."""
        return charge(self.text) + sum(charge(part.scored) for part in self.parts if part.scored is not None)


def read(text: str, asked: Asked, cleaned: Callable[[str], str]) -> Reading:
    """Finds what has to be scored.

    Raises:
        InvalidText: by `cleaned`, or:
        NotMentioned: the text does not name the target.
        TooManySentences, TooLongToExplain: there would be too many texts.
    """
    whole = cleaned(text)
    spans = [Span(0, len(text))]
    scored = whole
    if asked.target is not None:
        spans = about(text, asked.target)
        if not spans:
            raise NotMentioned
        scored = cleaned(joined(text, spans))
    return Reading(
        text,
        asked.target,
        scored,
        tuple(spans) if asked.target is not None else (),
        tuple(_sentences(text, cleaned)) if asked.sentences else None,
        tuple(_words(text, spans, scored, cleaned)) if asked.explain else None,
    )


def _sentences(text: str, cleaned: Callable[[str], str]) -> Iterable[Part]:
    found = sentences(text)
    if len(found) > MOST_SENTENCES:
        raise TooManySentences(len(found), MOST_SENTENCES)
    return (Part(start, end, _cleaned(text[start:end], cleaned)) for start, end in found)


def _words(text: str, spans: list[Span], scored: str, cleaned: Callable[[str], str]) -> Iterable[Part]:
    if len(scored.encode()) > READ_BYTES:
        raise TooLongToExplain(READ_BYTES)
    return (Part(*word, _cleaned(without(text, spans, word), cleaned)) for word in words(text, spans))


def _cleaned(text: str, cleaned: Callable[[str], str]) -> str | None:
    try:
        return cleaned(text)
    except EmptyText:
        return None
