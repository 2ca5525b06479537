"""An engine wrapper by which texts that are longer than the model reads are scored as a whole: in windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.engine import Engine, Scores, Work
from model.engines.batching import CHARS_PER_TOKEN
from model.types import BoolArray, FloatArray, IntArray
from model.windows import Window, halves, windows

WINDOW_TOKENS = 128
"""The size of a window, unless the model reads less at once. The embedded model knows short texts best, and so do most
models of sentiment; figures for larger and smaller windows are in docs/long-texts.md.
"""
_SHORT_CHARS = 2
"""Texts of at most so many characters for each token that the model reads are scored as they are: nearly all of them
fit. The others are counted first.
"""


class WindowedEngine:
    """Scores each text as a whole: of one that the model cannot read at once, the scores are the mean of its windows',
    each weighted by its tokens.

    A text of one window gets the scores that the engine gives it. Nothing is truncated.
    """

    def __init__(self, engine: Engine, *, window_tokens: int = WINDOW_TOKENS) -> None:
        """Wraps an engine that reads at most `max_tokens` of a text, as its description says."""
        self._engine = engine
        self.analysis, self.identity, self.description = engine.analysis, engine.identity, engine.description
        self.device, self.warm, self.count = engine.device, engine.warm, engine.count
        most_tokens = engine.description.max_tokens
        self._window_tokens = min(window_tokens, most_tokens)
        self._most_tokens = most_tokens
        self._short_chars = _SHORT_CHARS * most_tokens
        self._most_chars = CHARS_PER_TOKEN * most_tokens

    def score(self, texts: Sequence[str]) -> Scores:
        """See `model.engine.Engine`."""
        if all(len(text) <= self._short_chars for text in texts):
            scores = self._engine.score(texts)
            if not scores.truncated.any():
                return scores
            long = np.flatnonzero(scores.truncated).tolist()
        else:
            scores = None
            long = [row for row, text in enumerate(texts) if len(text) > self._short_chars]
        return self._in_windows(texts, scores, long)

    def _in_windows(self, texts: Sequence[str], scores: Scores | None, long: Sequence[int]) -> Scores:
        """The scores of texts of which some are long. `scores`: of all texts, if they were scored before."""
        classes, work = len(self.analysis.classes), Work()
        sums = np.zeros((len(texts), classes), np.float64)
        tokens, numbers = np.zeros(len(texts), np.float64), np.zeros(len(texts), np.int64)
        unread = np.ones(len(texts), np.bool_)
        waiting: list[tuple[int, Window]] = []
        if scores is None:
            waiting = [(row, Window(text, 1)) for row, text in enumerate(texts) if len(text) <= self._short_chars]
        else:
            _add(work, scores.work)
            read = ~scores.truncated
            sums[read], tokens[read], numbers[read] = scores.probabilities[read], 1, 1
            unread[read] = _unread(scores)[read]
        waiting += [(row, window) for row in long for window in self._divided(texts[row], truncated=scores is not None)]
        while waiting:
            part = self._engine.score([window.text for _, window in waiting])
            _add(work, part.work)
            again: list[tuple[int, Window]] = []
            found = zip(waiting, part.probabilities, part.truncated, _unread(part), strict=True)
            for (row, window), probabilities, was_cut, nothing in found:
                if was_cut and len(window.text) > 1:
                    again += [(row, smaller) for smaller in self._smaller(texts[row], window)]
                else:
                    sums[row] += window.tokens * probabilities.astype(np.float64)
                    tokens[row] += window.tokens
                    numbers[row] += 1
                    unread[row] &= nothing
            waiting = again
        means: FloatArray = (sums / tokens[:, None]).astype(np.float32)
        counted: IntArray = numbers
        return Scores(means, np.zeros(len(texts), np.bool_), work, unread, counted)

    def _divided(self, text: str, *, truncated: bool) -> list[Window]:
        """The windows of a text that may be long. `truncated`: the engine says that it is."""
        if not truncated and len(text) <= self._most_chars and self._engine.count([text])[0] <= self._most_tokens:
            return [Window(text, 1)]
        return windows(text, self._engine.count, self._window_tokens)

    def _smaller(self, text: str, window: Window) -> list[Window]:
        """What a window that the model could not read at once is divided into."""
        found = self._divided(text, truncated=True) if window.text == text else []
        return found if len(found) > 1 else halves(window)


def _unread(scores: Scores) -> BoolArray:
    return np.zeros(len(scores.truncated), np.bool_) if scores.unread is None else scores.unread


def _add(work: Work, more: Work | None) -> None:
    if more is not None:
        work.batches += more.batches
        work.tokens += more.tokens
        work.cells += more.cells
