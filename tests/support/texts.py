"""Texts for the stub engine, and the scores that it gives them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from model.engines.stub import StubEngine
from model.labels import LABELS
from model.text import clean
from tasks.store.outcomes import Scored, scored


def new_text(start: str = "good") -> str:
    """A text that is not in the cache."""
    return f"{start} {uuid.uuid4().hex}"


def new_texts(count: int) -> list[str]:
    """Texts that are not in the cache, of all labels in turn."""
    return [new_text(("good text", "bad text", "plain text")[i % 3]) for i in range(count)]


def direct(texts: Iterable[str], revision: str | None = None) -> list[tuple[float, ...]]:
    """The engine's scores for the texts, without the service; those of another revision are others."""
    return [told.scores for told in _scored(texts, revision)]


def labels(texts: Iterable[str]) -> list[str]:
    """The engine's labels for the texts, without the service."""
    return [LABELS[told.decided] for told in _scored(texts)]


def _scored(texts: Iterable[str], revision: str | None = None) -> list[Scored]:
    found = StubEngine(revision=revision).score([clean(text) for text in texts])
    return [scored(row, False) for row in found.probabilities]
