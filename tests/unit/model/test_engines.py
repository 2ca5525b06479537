"""What every engine promises, whatever runs below it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from model.text import clean

if TYPE_CHECKING:
    from model.engine import Engine

TEXTS = [
    "I love this show !",
    "I hate it.",
    "😂😂😂",
    "it is a chair",
    "",
    "?",
    "@user the chair is bad http",
    "\u202eأحب هذا العرض",
    "this is good " * 12,
    "a",
    "love love love",
    "the the the the the the the bad",
]


def test_no_texts_give_no_rows(engine: Engine) -> None:
    """An empty list is answered with arrays of no rows and three columns."""
    scores = engine.score([])
    assert scores.probabilities.shape == (0, 3)
    assert scores.truncated.shape == (0,)


def test_rows_are_probabilities(engine: Engine) -> None:
    """Each text gets one row of three float32 probabilities that sum to 1, also an empty text and one of other letters."""
    scores = engine.score(TEXTS)
    assert scores.probabilities.shape == (len(TEXTS), 3)
    assert scores.probabilities.dtype == np.float32
    assert scores.truncated.dtype == np.bool_
    assert np.isfinite(scores.probabilities).all()
    assert (scores.probabilities >= 0).all()
    np.testing.assert_allclose(scores.probabilities.sum(1), 1, atol=1e-5)


def test_order_is_kept(engine: Engine) -> None:
    """Rows come in the order of the texts, whatever order they were scored in."""
    backwards = engine.score(TEXTS[::-1]).probabilities
    np.testing.assert_allclose(engine.score(TEXTS).probabilities, backwards[::-1], atol=1e-3)


def test_scores_do_not_depend_on_companions(engine: Engine) -> None:
    """A text scored alone gets the scores that it gets among others."""
    together = engine.score(TEXTS).probabilities
    alone = np.concatenate([engine.score([text]).probabilities for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_padding_does_not_count(engine: Engine) -> None:
    """A short text that is padded to a longer one's length gets the scores that it gets alone."""
    short, longer = "this is good", "the show is good and the chair is bad and i love it and i hate it"
    together = engine.score([short, longer]).probabilities[0]
    np.testing.assert_allclose(together, engine.score([short]).probabilities[0], atol=1e-3)


def test_same_text_gets_same_scores(engine: Engine) -> None:
    """Repeats in a list get one and the same row."""
    scores = engine.score(["I love this show !"] * 20).probabilities
    assert np.ptp(scores, axis=0).max() < 1e-3


def test_different_texts_get_different_scores(engine: Engine) -> None:
    """An engine that ignored its input would pass the tests above."""
    scores = engine.score(TEXTS).probabilities
    assert len({tuple(row) for row in scores.round(3)}) > len(TEXTS) / 2


def test_long_text_is_truncated_and_says_so(engine: Engine) -> None:
    """A text of 10,000 words is scored by its start and flagged, and its short neighbour is not."""
    scores = engine.score(["I love this show !", "this is good " * 3334])
    assert scores.truncated.tolist() == [False, True]
    assert np.isfinite(scores.probabilities).all()


def test_many_short_words_are_truncated_and_say_so(engine: Engine) -> None:
    """A text of few characters but of more tokens than the model reads is flagged too."""
    assert engine.score(["a " * 500, "a chair"]).truncated.tolist() == [True, False]


def test_a_megabyte_without_a_blank_is_scored(engine: Engine) -> None:
    """A text that is one endless word is cut before it is tokenised, and the answer says so."""
    scores = engine.score(["x" * 1_000_000])
    assert np.isfinite(scores.probabilities).all()
    assert scores.truncated.tolist() == [True]


def test_hostile_texts_are_scored_once_cleaned(engine: Engine) -> None:
    """Lone surrogates, NUL and other control characters do not break an engine after cleaning."""
    texts = [clean(text) for text in ("bad \ud83d text", "nul \x00 here", "\x1b[31mred", "e\u0301 " * 50)]
    assert np.isfinite(engine.score(texts).probabilities).all()


def test_threads_may_score_at_once(engine: Engine) -> None:
    """Eight threads on one engine get what one thread gets: tokenizers complain of being 'Already borrowed' otherwise."""
    texts = [*TEXTS, "this is good " * 200]
    expected = engine.score(texts).probabilities
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(engine.score, [texts] * 40):
            np.testing.assert_allclose(scores.probabilities, expected, atol=1e-3)


def test_identity_and_device_are_named(engine: Engine) -> None:
    """The identity has the form name@revision/engine, without a path; the device is a CPU here."""
    name, _, rest = engine.identity.partition("@")
    revision, _, arithmetic = rest.partition("/")
    assert name
    assert revision
    assert arithmetic
    assert engine.identity.count("/") == 1
    assert engine.device == "cpu"
