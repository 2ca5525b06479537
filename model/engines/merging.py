"""An engine wrapper that merges the requests of several threads into common calls of the engine."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

import numpy as np

from model.engine import Engine, Scores, Work

_SMALL = 10
"""A request is small if it costs at most this part of what it would wait for. Requests of about the same cost never do:
a worker has fewer threads.
"""
_LONGER = 3
"""Beside requests of its own caller, a small request has a call of its own only if their texts cost so many times as
much: with texts like its own it is cheaper in the next call, and does not wait for long.
"""

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Whose texts this thread scores, as any word; empty if they are of several callers, or nobody knows."""


class _Ask:
    __slots__ = ("answer", "caller", "cost", "error", "taken", "texts")

    def __init__(self, texts: Sequence[str], cost: int) -> None:
        self.texts = texts
        self.cost = cost
        self.caller = CALLER.get()
        self.taken = False
        self.answer: Scores | None = None
        self.error: Exception | None = None

    @property
    def ended(self) -> bool:
        return self.answer is not None or self.error is not None


class MergingEngine:
    """Scores the texts of several threads in one call of the engine, since larger batches cost less per text.

    Only a few calls run at a time; the requests that arrive meanwhile go together into the next call. A request that is
    small beside other callers' that it would wait for, or beside long texts, has a call of its own at once, one at a
    time: the engine works on it between the micro-batches of the others. If a call raises, each of its requests is
    scored again separately, so that a request never gets an error caused by another one.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_cost: Callable[[], int],
        cost: Callable[[Sequence[str]], int] = len,
        calls: int = 2,
        on_call: Callable[[int, float, Work | None], None] = lambda texts, seconds, work: None,
        around: Callable[[int], AbstractContextManager[None]] = lambda cost: nullcontext(),
    ) -> None:
        """Wraps an engine.

        Args:
            engine: the engine that scores.
            max_cost: the most that the texts of one call may cost, unless a single request's cost more: a request is
                never divided. Called each time.
            cost: what texts cost to score.
            calls: how many calls may run at once, not counting that of a small request. With two, one is tokenised
                while the other is scored.
            on_call: called after each call with its number of texts, its duration in seconds and its work.
            around: makes the context in which a call runs, from what its texts cost.
        """
        self._engine = engine
        self.analysis, self.identity, self.description = engine.analysis, engine.identity, engine.description
        self.device, self.warm, self.count = engine.device, engine.warm, engine.count
        self._max_cost = max_cost
        self._cost = cost
        self._on_call = on_call
        self._around = around
        self._calls = calls
        self._asks: deque[_Ask] = deque()
        """The requests that wait, in the order of arrival."""
        self._running: list[list[_Ask]] = []
        """The requests of each call, without that of a small one."""
        self._small: list[_Ask] = []
        """The small request that has a call of its own."""
        self._changed = threading.Condition()

    def score(self, texts: Sequence[str]) -> Scores:
        """See `model.engine.Engine`."""
        ask = _Ask(texts, self._cost(texts))
        with self._changed:
            self._asks.append(ask)
        while asks := self._next(ask):
            try:
                self._score(asks)
            finally:
                self._end(asks)
        if ask.error is not None:
            raise ask.error
        assert ask.answer is not None
        return ask.answer

    def _next(self, ask: _Ask) -> list[_Ask]:
        """The requests of the next call that this thread has to make; none once its own request is answered."""
        with self._changed:
            while not ask.ended:
                # Another thread's call may have `ask` already: its answer must not wait for one more call.
                if not ask.taken and len(self._running) < self._calls:
                    return self._gathered()
                if not ask.taken and self._is_small(ask):
                    self._asks.remove(ask)
                    ask.taken = True
                    self._small = [ask]
                    return self._small
                self._changed.wait()
        return []

    def _is_small(self, ask: _Ask) -> bool:
        """Whether a request costs little beside what it would wait for."""
        if self._small:
            return False
        waits = [other for call in (*self._running, self._asks) for other in call if other is not ask]
        wait, texts = sum(other.cost for other in waits), sum(len(other.texts) for other in waits)
        if _SMALL * ask.cost > wait:
            return False
        others = any(other.caller != ask.caller or not ask.caller for other in waits)
        return others or _LONGER * ask.cost * texts <= wait * len(ask.texts)

    def _gathered(self) -> list[_Ask]:
        asks: list[_Ask] = []
        spent = 0
        while self._asks and (not asks or spent + self._asks[0].cost <= self._max_cost()):
            asks.append(self._asks.popleft())
            asks[-1].taken = True
            spent += asks[-1].cost
        self._running.append(asks)
        return asks

    def _end(self, asks: list[_Ask]) -> None:
        with self._changed:
            if asks is self._small:
                self._small = []
            else:
                self._running.remove(asks)
            self._changed.notify_all()

    def _score(self, asks: Sequence[_Ask]) -> None:
        started = time.perf_counter()
        try:
            texts = [text for ask in asks for text in ask.texts]
            with self._around(sum(ask.cost for ask in asks)):
                scores = self._engine.score(texts)
        except Exception as error:  # of any kind: it is the engine's library that raises
            if len(asks) == 1:
                asks[0].error = error
                return
            for ask in asks:
                self._score([ask])
            return
        seconds = time.perf_counter() - started
        ends = np.cumsum([len(ask.texts) for ask in asks])
        for ask, end in zip(asks, ends, strict=True):
            part = slice(end - len(ask.texts), end)
            windows = None if scores.windows is None else scores.windows[part]
            unread = None if scores.unread is None else scores.unread[part]
            ask.answer = Scores(scores.probabilities[part], scores.truncated[part], unread=unread, windows=windows)
        self._on_call(len(scores.truncated), seconds, scores.work)
