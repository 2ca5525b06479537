"""Windows over a text that is longer than a model reads: parts that together hold all of it, cut between sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from model.engines.batching import CHARS_PER_TOKEN
from model.sentences import Span, sentences

_CHARS = 4
"""Sentences of more than so many characters for each token of a window are cut before their tokens are counted: that
takes long for the longest words.
"""


class Window(NamedTuple):
    """A part of a text that a model reads as a whole."""

    text: str
    tokens: int


Count = Callable[[Sequence[str]], Sequence[int]]
"""A function that counts the tokens of each text, with those that stand before and after every text."""


def windows(text: str, count: Count, max_tokens: int) -> list[Window]:
    """The windows of a text, in its order: as few as possible without cutting a sentence that fits into one.

    Each has about `max_tokens` at most, not exactly: a few tokens may differ where sentences meet.
    """
    (around,) = count([""])
    room = max(1, max_tokens - around)
    most_chars = max_tokens * CHARS_PER_TOKEN
    found: list[Window] = []
    begin, end, spent = 0, 0, 0
    for piece, counted in _pieces(text, count, room, around):
        tokens = max(1, counted)
        if spent and (spent + tokens > room or piece.end - begin > most_chars):
            found.append(Window(text[begin:end], spent))
            begin, spent = piece.start, 0
        elif not spent:
            begin = piece.start
        end = piece.end
        spent += tokens
    return [*found, Window(text[begin:end], spent)] if spent else found


def halves(window: Window) -> list[Window]:
    """A window in two, at a blank near its middle if there is one; what is a single character stays whole."""
    text, tokens = window
    middle = _cut(text, 0, len(text))
    parts = [text[:middle].strip(), text[middle:].strip()]
    return [Window(part, max(1, tokens * len(part) // len(text))) for part in parts if part]


def _pieces(text: str, count: Count, room: int, around: int) -> Iterator[tuple[Span, int]]:
    """Sentences, or parts of them that fit into a window, each with its tokens."""
    waiting = [piece for span in sentences(text) for piece in _no_blanks(text, _cut_long(text, span, room * _CHARS))]
    while waiting:
        counts = [tokens - around for tokens in count([text[piece.start : piece.end] for piece in waiting])]
        if max(counts) <= room:
            yield from zip(waiting, counts, strict=True)
            return
        smaller: list[Span] = []
        for piece, tokens in zip(waiting, counts, strict=True):
            start, end = piece
            if tokens <= room or end - start < 2:
                smaller.append(piece)
            else:
                middle = _cut(text, start, end)
                smaller += _no_blanks(text, (Span(start, middle), Span(middle, end)))
        if smaller == waiting:  # single characters of more tokens than a window has
            yield from zip(waiting, counts, strict=True)
            return
        waiting = smaller


def _no_blanks(text: str, spans: Iterable[Span]) -> list[Span]:
    return [span for span in spans if not text[span.start : span.end].isspace()]


def _cut_long(text: str, span: Span, most_chars: int) -> Iterator[Span]:
    start, end = span
    while end - start > most_chars:
        blank = text.rfind(" ", start + most_chars // 2, start + most_chars)
        middle = blank if blank > 0 else start + most_chars
        yield Span(start, middle)
        start = middle
    yield Span(start, end)


def _cut(text: str, start: int, end: int) -> int:
    """A place in the middle of a part of a text, at a blank if there is one in its middle half."""
    middle, quarter = (start + end) // 2, (end - start) // 4
    blank = text.rfind(" ", start + quarter, middle)
    return blank if blank > start else max(start + 1, middle)
