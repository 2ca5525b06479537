"""The stub engine, which needs no weights: for tests, and for trying the rest of the service without a model."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from typing import Self
from urllib.parse import parse_qs

import numpy as np

from model.analysis import Analysis
from model.description import Description
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
"""The words that count for a class. A class that is not listed has one such word: its own name."""
_NONE_OF_THEM = "NEUTRAL"
"""The class of a text that has none of these words."""
_MAX_WORDS = 256


class StubEngine:
    """Scores texts by a small lexicon; a little of each score comes from the text's digest, so that all texts differ.

    The same text always gets the same scores. Texts are truncated after 256 words.
    """

    def __init__(
        self,
        *,
        delay_s: float = 0.0,
        word_s: float = 0.0,
        fail_on: str | None = None,
        exit_on: str | None = None,
        revision: str | None = None,
        analysis: Analysis = SENTIMENT,
    ) -> None:
        """Makes the engine.

        Args:
            delay_s: seconds that scoring takes for each text.
            word_s: seconds that it takes for each word that is read, too.
            fail_on: `score` raises ValueError if a text contains this.
            exit_on: a text that contains this ends the process at once, like a crash in native code.
            revision: part of the identity and of what the scores come from, so that two stubs can be different models.
            analysis: the analysis to perform.
        """
        self.analysis = analysis
        self._words = {label: _WORDS.get(label, {label.lower()}) for label in analysis.classes}
        self._delay_s = delay_s
        self._word_s = word_s
        self._fail_on = fail_on
        self._exit_on = exit_on
        self._seed = revision or ""
        self.identity = f"stub@{revision or '1'}/stub{analysis.suffix}"
        """`stub@revision/stub`, and the analysis if it is not sentiment."""
        self.device = "cpu"
        self.description = Description("stub", analysis.classes, analysis.classes, max_tokens=_MAX_WORDS)

    @classmethod
    def from_name(cls, name: str, revision: str | None = None, analysis: Analysis = SENTIMENT) -> Self:
        """Makes the engine from a model name: `stub` or, for example, `stub?delay_s=0.01&fail_on=poison&exit_on=crash`.

        Raises:
            ModelNotFound: the name has an unknown argument, or a delay that is not a number.
        """
        given = {key: values[-1] for key, values in parse_qs(name.partition("?")[2], keep_blank_values=True).items()}
        if unknown := sorted(set(given) - {"delay_s", "word_s", "fail_on", "exit_on"}):
            raise ModelNotFound(
                f"the stub engine has no argument {', '.join(unknown)}; it has delay_s, word_s, fail_on and exit_on"
            )
        try:
            delay_s, word_s = (float(given.get(name, 0.0)) for name in ("delay_s", "word_s"))
        except ValueError:
            raise ModelNotFound("the stub engine's delay_s and word_s must be numbers of seconds") from None
        return cls(
            delay_s=delay_s,
            word_s=word_s,
            fail_on=given.get("fail_on") or None,
            exit_on=given.get("exit_on") or None,
            revision=revision,
            analysis=analysis,
        )

    def warm(self) -> None:
        """Does nothing: the stub has nothing to warm up."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of words of each text; see `model.engine.Engine`."""
        return [len(text.split()) for text in texts]

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
        windows = [cut(text, _MAX_WORDS) for text in texts]
        rows = [self._probabilities(window) for window, _ in windows]
        words = sum(min(len(window.split()), _MAX_WORDS) for window, _ in windows)
        if texts and (seconds := self._delay_s * len(texts) + self._word_s * words) > 0:
            time.sleep(seconds)
        return Scores(
            np.array(rows, dtype=np.float32).reshape(len(texts), len(self.analysis.classes)),
            np.array([was_cut or len(window.split()) > _MAX_WORDS for window, was_cut in windows], dtype=np.bool_),
            Work([len(texts)], words, words) if texts else None,
        )

    def _probabilities(self, text: str) -> FloatArray:
        """Softmax over the number of each class's words, shifted slightly by the text's digest; shape (classes,)."""
        words = [word.strip(".,;:!?'\"()#").lower() for word in text.split()[:_MAX_WORDS]]
        counts = [
            1.0 if label == _NONE_OF_THEM else 2.0 * sum(word in own for word in words)
            for label, own in self._words.items()
        ]
        digest = hashlib.sha256(f"{self._seed}{text}".encode("utf-8", "replace")).digest() * (1 + len(counts) // 8)
        logits = np.array(counts) + 0.5 * np.frombuffer(digest[: 4 * len(counts)], dtype="<u4") / 2**32
        raised = np.exp(logits - logits.max())
        probabilities: FloatArray = (raised / raised.sum()).astype(np.float32)
        return probabilities
