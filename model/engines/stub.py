"""An engine without weights: for tests of everything above this floor, and for trying the service's other parts
alone.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from typing import Self
from urllib.parse import parse_qs

import numpy as np

from model.analysis import Analysis
from model.engine import Scores, Work
from model.engines.batching import cut
from model.errors import ModelNotFound
from model.labels import SENTIMENT
from model.types import FloatArray

_WORDS = {
    "POSITIVE": {
        "amazing",
        "awesome",
        "best",
        "excellent",
        "glad",
        "good",
        "great",
        "happy",
        "love",
        "loved",
        "nice",
        "perfect",
        "thanks",
    },
    "NEGATIVE": {
        "angry",
        "awful",
        "bad",
        "boring",
        "broken",
        "hate",
        "hated",
        "horrible",
        "sad",
        "terrible",
        "useless",
        "worst",
        "wrong",
    },
}
"""For a class, the words that speak for it; for any other class, its own name does."""
_NONE_OF_THEM = "NEUTRAL"
"""The class of a text without any such word."""
_MAX_WORDS = 256


class StubEngine:
    """Scores by the words of a small lexicon, and by the text's digest so that no two texts have the same scores.

    The same text always gets the same scores. Texts of more than 256 words are truncated to them.
    """

    def __init__(
        self,
        *,
        delay_s: float = 0.0,
        fail_on: str | None = None,
        exit_on: str | None = None,
        revision: str | None = None,
        analysis: Analysis = SENTIMENT,
    ) -> None:
        """Makes the engine.

        Args:
            delay_s: seconds that the scoring of each text takes.
            fail_on: a call with a text that contains this raises ValueError.
            exit_on: a text that contains this ends the process at once, as a crash in native code would.
            revision: stands in the identity, so that two stubs can be two models.
            analysis: what is asked.
        """
        self._analysis = analysis
        self._words = {label: _WORDS.get(label, {label.lower()}) for label in analysis.classes}
        self._delay_s = delay_s
        self._fail_on = fail_on
        self._exit_on = exit_on
        self._identity = f"stub@{revision or '1'}/stub"

    @classmethod
    def from_name(cls, name: str, revision: str | None = None, analysis: Analysis = SENTIMENT) -> Self:
        """The engine that a model name asks for: `stub` or, with arguments,
        `stub?delay_s=0.01&fail_on=poison&exit_on=crash`.

        Raises:
            ModelNotFound: an argument that the stub does not have, or a delay that is no number.
        """
        given = {key: values[-1] for key, values in parse_qs(name.partition("?")[2], keep_blank_values=True).items()}
        if unknown := sorted(set(given) - {"delay_s", "fail_on", "exit_on"}):
            raise ModelNotFound(
                f"the stub engine has no argument {', '.join(unknown)}; it has delay_s, fail_on and exit_on"
            )
        try:
            delay_s = float(given.get("delay_s", 0.0))
        except ValueError:
            raise ModelNotFound("the stub engine's delay_s must be a number of seconds") from None
        return cls(
            delay_s=delay_s,
            fail_on=given.get("fail_on") or None,
            exit_on=given.get("exit_on") or None,
            revision=revision,
            analysis=analysis,
        )

    @property
    def analysis(self) -> Analysis:
        """As given."""
        return self._analysis

    @property
    def identity(self) -> str:
        """`stub@revision/stub`."""
        return self._identity

    @property
    def device(self) -> str:
        """Always `cpu`."""
        return "cpu"

    def warm(self) -> None:
        """Nothing is to be warmed."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`.

        Raises:
            ValueError: a text contains `fail_on`.
        """
        for text in texts:
            if self._exit_on is not None and self._exit_on in text:
                os._exit(1)
            if self._fail_on is not None and self._fail_on in text:
                raise ValueError("a text contains what the stub engine was told to fail on")
        if texts and self._delay_s > 0:
            time.sleep(self._delay_s * len(texts))
        windows = [cut(text, _MAX_WORDS) for text in texts]
        rows = [self._probabilities(window) for window, _ in windows]
        words = sum(min(len(window.split()), _MAX_WORDS) for window, _ in windows)
        return Scores(
            np.array(rows, dtype=np.float32).reshape(len(texts), len(self._analysis.classes)),
            np.array([was_cut or len(window.split()) > _MAX_WORDS for window, was_cut in windows], dtype=np.bool_),
            Work([len(texts)], words, words) if texts else None,
        )

    def _probabilities(self, text: str) -> FloatArray:
        """Softmax of each class's count of words, shifted a little by the text's digest; shape (classes,)."""
        words = [word.strip(".,;:!?'\"()#").lower() for word in text.split()[:_MAX_WORDS]]
        counts = [
            1.0 if label == _NONE_OF_THEM else 2.0 * sum(word in own for word in words)
            for label, own in self._words.items()
        ]
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest() * (1 + len(counts) // 8)
        logits = np.array(counts) + 0.5 * np.frombuffer(digest[: 4 * len(counts)], dtype="<u4") / 2**32
        raised = np.exp(logits - logits.max())
        probabilities: FloatArray = (raised / raised.sum()).astype(np.float32)
        return probabilities
