"""What answers say of the parts of a text: of those about a target, of its sentences, and of its words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from model.sentences import Span
from tasks.jobs.job import LinePart
from tasks.store.outcomes import Scored

_PLACES = 6


def part_body(text: str, start: int, end: int) -> dict[str, object]:
    """A part of a text, by its place in the text as it was sent, in characters."""
    return {"text": text[start:end], "offset": start, "length": end - start}


def about_body(text: str, spans: Iterable[Span]) -> list[dict[str, object]]:
    """The parts of a text that are about its target."""
    return [part_body(text, *span) for span in spans]


def sentences_body(text: str, parts: Iterable[LinePart], classes: Sequence[str]) -> list[dict[str, object]]:
    """Each sentence with the answer that it gets as a text of its own."""
    bodies = []
    for start, end, scored in parts:
        body = part_body(text, start, end)
        if not isinstance(scored, Scored) or scored.remarks.refused:
            body |= {"label": None, "confidence": None, "scores": None}
        else:
            body |= {
                "label": classes[scored.decided],
                "confidence": scored.confidence,
                "scores": dict(zip(classes, scored.scores, strict=True)),
            }
        bodies.append(body)
    return bodies


def words_body(text: str, whole: Scored, parts: Iterable[LinePart]) -> list[dict[str, object]]:
    """Each word with its weight: the text's confidence, less the score of the same label without the word."""
    bodies = []
    for start, end, rest in parts:
        weight = round(whole.confidence - rest.scores[whole.decided], _PLACES) if isinstance(rest, Scored) else None
        bodies.append(part_body(text, start, end) | {"weight": weight})
    return bodies
