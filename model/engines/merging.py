"""An engine wrapper that merges the requests of several threads into common calls of the engine."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from model.engine import Engine, Scores, Work


class _Ask:
    __slots__ = ("answer", "ended", "error", "taken", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.taken = False
        self.ended = threading.Event()
        self.answer: Scores | None = None
        self.error: Exception | None = None


class MergingEngine:
    """Scores the texts of several threads in one call of the engine, since larger batches cost less per text.

    Only a few calls run at a time; the requests that arrive meanwhile go together into the next call. If a call raises,
    each of its requests is scored again separately, so that a request never gets an error caused by another one.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_texts: int,
        calls: int = 2,
        on_call: Callable[[int, float, Work | None], None] = lambda texts, seconds, work: None,
        around: Callable[[int], AbstractContextManager[None]] = lambda texts: nullcontext(),
    ) -> None:
        """Wraps an engine.

        Args:
            engine: the engine that scores.
            max_texts: the most texts of one call, unless a single request has more: a request is never divided.
            calls: how many calls may run at once. With two, one is tokenised while the other is scored.
            on_call: called after each call with its number of texts, its duration in seconds and its work.
            around: makes the context in which a call runs, from its number of texts.
        """
        self._engine = engine
        self.analysis, self.identity, self.description = engine.analysis, engine.identity, engine.description
        self.device, self.warm = engine.device, engine.warm
        self._max_texts = max_texts
        self._on_call = on_call
        self._around = around
        self._asks: deque[_Ask] = deque()
        self._gathering = threading.Lock()
        self._turns = threading.BoundedSemaphore(calls)

    def score(self, texts: Sequence[str]) -> Scores:
        """See `model.engine.Engine`."""
        ask = _Ask(texts)
        self._asks.append(ask)
        while not ask.taken:
            with self._turns:
                asks = self._gathered(ask)
                if asks:
                    self._score(asks)
        ask.ended.wait()
        if ask.error is not None:
            raise ask.error
        assert ask.answer is not None
        return ask.answer

    def _gathered(self, ask: _Ask) -> list[_Ask]:
        """Takes the requests of the next call, in the order of arrival.

        Takes none if another thread's call has `ask` already: its answer must not wait for one more call.
        """
        with self._gathering:
            asks: list[_Ask] = []
            count = 0
            while not ask.taken and self._asks and (not asks or count + len(self._asks[0].texts) <= self._max_texts):
                asks.append(self._asks.popleft())
                count += len(asks[-1].texts)
            for each in asks:
                each.taken = True
        return asks

    def _score(self, asks: Sequence[_Ask]) -> None:
        started = time.perf_counter()
        try:
            texts = [text for ask in asks for text in ask.texts]
            with self._around(len(texts)):
                scores = self._engine.score(texts)
        except Exception as error:  # of any kind: it is the engine's library that raises
            if len(asks) == 1:
                asks[0].error = error
                asks[0].ended.set()
                return
            for ask in asks:
                self._score([ask])
            return
        seconds = time.perf_counter() - started
        ends = np.cumsum([len(ask.texts) for ask in asks])
        for ask, end in zip(asks, ends, strict=True):
            part = slice(end - len(ask.texts), end)
            ask.answer = Scores(scores.probabilities[part], scores.truncated[part])
            ask.ended.set()
        self._on_call(len(scores.truncated), seconds, scores.work)
