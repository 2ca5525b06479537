"""An engine that several threads ask at once, and that scores what has gathered in one call."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from model.analysis import Analysis
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
    """A few calls of the engine at a time; what is asked meanwhile goes together into the next. Larger batches cost
    less a text.

    A call that raises is done again for each asker alone, so that nobody gets another's error.
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
        """Merges up to `max_texts` texts into a call; one asker's are never divided.

        Args:
            calls: at once: with two, one's tokenisation runs beside another's scoring.
            on_call: told of each call's texts, seconds and work.
            around: entered around each call, with the number of its texts.
        """
        self._engine = engine
        self._max_texts = max_texts
        self._on_call = on_call
        self._around = around
        self._asks: deque[_Ask] = deque()
        self._gathering = threading.Lock()
        self._turns = threading.BoundedSemaphore(calls)

    @property
    def analysis(self) -> Analysis:
        """The engine's."""
        return self._engine.analysis

    @property
    def identity(self) -> str:
        """The engine's."""
        return self._engine.identity

    @property
    def device(self) -> str:
        """The engine's."""
        return self._engine.device

    def warm(self) -> None:
        """See `model.engine.Engine`."""
        self._engine.warm()

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
        """The next asks in the order in which they came; none if `ask` is in another's call by now, for its answer is
        not to wait.
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
        except Exception as error:  # whatever the library below raises
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
