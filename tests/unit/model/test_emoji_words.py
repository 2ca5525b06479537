"""Emoji that the embedded model's vocabulary lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.digests import read_manifest
from model.emoji import EmojiWords
from model.engine import Engine
from model.engines.registry import load_engine
from model.labels import LABELS
from model.source import DEFAULT_FOLDER


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The embedded model."""
    return load_engine("default", threads=1)


def labels(engine: Engine, texts: list[str]) -> list[str]:
    """The labels of texts."""
    return [LABELS[row] for row in engine.score(texts).probabilities.argmax(1)]


def test_emoji_alone(engine: Engine) -> None:
    """Emoji that the vocabulary lacks are not all the same: two are negative, one at least is positive."""
    found = engine.score(["👎", "🤬", "🥰", "🙂"]).probabilities
    assert [LABELS[row] for row in found.argmax(1)] == ["NEGATIVE", "NEGATIVE", "POSITIVE", "POSITIVE"]
    assert len({tuple(row) for row in found.round(4).tolist()}) == 4


def test_colours_of_skin(engine: Engine) -> None:
    """An emoji says the same in any colour of skin."""
    found = engine.score(["👎", "👎🏽", "👎🏿"]).probabilities
    assert found.tolist() == [found[0].tolist()] * 3


def test_words_beside_unknown_emoji_are_read(engine: Engine) -> None:
    """A word to which an unknown emoji is attached is read."""
    alone, attached = engine.score(["I hate it 🦀", "I hate it🦀"]).probabilities.tolist()
    assert attached == alone
    assert labels(engine, ["terrible🦀"]) == ["NEGATIVE"]


def test_known_emoji_and_plain_texts_stay() -> None:
    """What the vocabulary has is left as it is, and so are texts without emoji and the letters of flags."""
    in_words = EmojiWords("😍".__eq__)
    for text in ("I love it 😍", "I love it 😍😍", "naïve – 50 €", "🇨🇦", "plain"):
        assert in_words(text) == text
    assert in_words("no👎🏽 way") == "no thumbs down  way"


def test_identity_changes_with_the_words() -> None:
    """A model that puts emoji into words has another digest than the same files without."""
    manifest = read_manifest(DEFAULT_FOLDER)
    assert manifest.reading == 1
    files = ["config.json"]
    assert manifest.verified(DEFAULT_FOLDER, files) != replace(manifest, reading=0).verified(DEFAULT_FOLDER, files)
