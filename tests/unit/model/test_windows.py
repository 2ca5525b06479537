"""Windows over long texts, and the engine that scores texts in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.engine import Scores
from model.engines.stub import StubEngine
from model.engines.windowed import WINDOW_TOKENS, WindowedEngine
from model.windows import windows

ROOM = 20


def count(texts: Sequence[str]) -> list[int]:
    """A token for each word of up to four letters and for each further four, and two around the text."""
    return [2 + sum(-(-len(word) // 4) for word in text.split()) for text in texts]


def test_windows_end_with_sentences() -> None:
    """Sentences are never cut if they fit into a window, and a window takes as many as it can."""
    text = "one two six. ten and two. " * 10
    found = windows(text.strip(), count, ROOM)
    assert all(window.text.endswith(".") for window in found)
    assert all(window.tokens <= ROOM - 2 for window in found)
    assert " ".join(window.text for window in found) == text.strip()
    assert len(found) == -(-sum(window.tokens for window in found) // (ROOM - 2))


@given(st.lists(st.text(st.sampled_from("ab.! \u3002"), max_size=90)).map(" ".join), st.integers(3, 40))
def test_windows_hold_the_whole_text(text: str, room: int) -> None:
    """Together, windows hold all characters but blanks in their order; each fits, and counts its tokens."""
    found = windows(text, count, room)
    assert "".join("".join(window.text.split()) for window in found) == "".join(text.split())
    for window in found:
        assert window.tokens <= max(1, room - 2)
        assert window.text.strip()


def test_text_without_borders_is_cut() -> None:
    """A text of one sentence is cut at blanks, and one long word anywhere."""
    words = windows("word " * 500, count, ROOM)
    assert all(set(window.text.split()) == {"word"} for window in words)
    letters = windows("x" * 5000, count, ROOM)
    assert len(letters) >= 5000 / 4 / ROOM
    assert "".join(window.text for window in letters) == "x" * 5000


class Counted(StubEngine):
    """A stub that notes what it is asked to score."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []

    def score(self, texts: Sequence[str]) -> Scores:
        """See `StubEngine`."""
        self.calls.append(list(texts))
        return super().score(texts)


def test_end_of_a_long_text_counts() -> None:
    """A text whose beginning says nothing and whose end is bad is NEGATIVE, and nothing of it is truncated; the stub
    alone reads 256 words.
    """
    text = "The door is there. " * 100 + "What an awful, horrible, terrible show. " * 300
    plain, whole = StubEngine().score([text]), WindowedEngine(StubEngine()).score([text])
    assert plain.truncated.tolist() == [True]
    assert plain.probabilities[0].argmax() != 0
    assert whole.probabilities[0].argmax() == 0
    assert whole.truncated.tolist() == [False]
    assert whole.windows is not None
    assert whole.windows[0] > 1


def test_scores_are_the_mean_by_tokens() -> None:
    """A long text's scores are those of its windows, each weighted by its tokens."""
    engine = StubEngine()
    text = "The show is good. " * 90 + "It is bad. " * 110
    parts = windows(text, engine.count, WINDOW_TOKENS)
    scores = engine.score([part.text for part in parts]).probabilities
    expected = np.average(scores, axis=0, weights=[part.tokens for part in parts])
    found = WindowedEngine(engine).score(["short", text, "good"])
    np.testing.assert_allclose(found.probabilities[1], expected, atol=1e-6)
    np.testing.assert_array_equal(found.probabilities[[0, 2]], engine.score(["short", "good"]).probabilities)
    assert found.windows is not None
    assert found.windows.tolist() == [1, len(parts), 1]


def test_short_texts_are_scored_as_they_are() -> None:
    """Texts that fit go to the engine in one call, unchanged, and its answer is handed on."""
    engine = Counted()
    texts = ["good", "bad " * 100, ""]
    scores = WindowedEngine(engine).score(texts)
    assert engine.calls == [texts]
    assert scores.windows is None


def test_text_of_many_letters_may_be_read_at_once() -> None:
    """A text that the model can read at once is not divided, however many letters its words have."""
    engine = Counted()
    texts = ["good", "incomprehensibility " * 250 + "bad"]
    scores = WindowedEngine(engine).score(texts)
    assert engine.calls == [texts]
    assert scores.windows is not None
    assert scores.windows.tolist() == [1, 1]
    np.testing.assert_allclose(scores.probabilities, StubEngine().score(texts).probabilities, atol=1e-6)


@pytest.mark.parametrize("text", ["a " * 400, "a b c. " * 150, "x" * 40_000, "\U0001f600 " * 500])
def test_texts_of_many_tokens_are_read_whole(text: str) -> None:
    """Nothing is truncated of a text with more tokens than its length lets expect, or with no blank at all."""
    scores = WindowedEngine(StubEngine()).score([text.strip(), "good"])
    assert scores.truncated.tolist() == [False, False]
    np.testing.assert_allclose(scores.probabilities.sum(1), 1, atol=1e-5)
