"""Many threads on one engine: calls are shared, and each thread gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model.engine import Scores
from model.engines.merging import MergingEngine
from model.engines.stub import StubEngine
from tests.support.waiting import wait_until


class Gate(StubEngine):
    """The stub engine with a gate: calls wait until the test lets them through, and are recorded."""

    def __init__(self) -> None:
        super().__init__(fail_on="poison")
        self.calls: list[list[str]] = []
        self.open = threading.Event()
        self.inside = 0
        self.most_inside = 0

    def score(self, texts: Sequence[str]) -> Scores:
        """See `StubEngine`."""
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.calls.append(list(texts))
        assert self.open.wait(30)
        self.inside -= 1
        return super().score(texts)


def ask(engine: MergingEngine, gate: Gate, pool: ThreadPoolExecutor, asked: Sequence[Sequence[str]]) -> list[object]:
    """Makes all requests at once, the first while nothing else is under way; returns the scores or error of each."""

    def score(texts: Sequence[str]) -> object:
        try:
            return engine.score(texts)
        except ValueError as error:
            return error

    first = pool.submit(score, asked[0])
    wait_until(lambda: gate.calls, what="the first call")
    rest = []
    for number, texts in enumerate(asked[1:], 1):
        rest.append(pool.submit(score, texts))
        wait_until(lambda number=number: len(engine._asks) == number, what="the next to wait")  # type: ignore[misc]
    gate.open.set()
    return [first.result(30), *(one.result(30) for one in rest)]


def same(answer: object, texts: Sequence[str]) -> bool:
    """Whether an answer is what the engine gives these texts."""
    assert isinstance(answer, Scores)
    return np.array_equal(answer.probabilities, StubEngine().score(texts).probabilities) and len(
        answer.truncated
    ) == len(texts)


def test_what_waits_is_scored_together() -> None:
    """Texts that come while the engine is busy go into its next call, in order and as far as they fit."""
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 4, calls=1)
    asked = [["a"], ["good", "bad"], ["c", "d"], ["e"], ["f", "good g", "h", "i", "j"], []]
    with ThreadPoolExecutor(8) as pool:
        answers = ask(engine, gate, pool, asked)
    assert gate.most_inside == 1
    assert gate.calls == [["a"], ["good", "bad", "c", "d"], ["e"], ["f", "good g", "h", "i", "j"], []]
    assert all(same(answer, texts) for answer, texts in zip(answers, asked, strict=True))


def test_an_error_is_its_askers_alone() -> None:
    """If a shared call raises, each request is scored alone: only the one with the bad text gets the error."""
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 100, calls=1)
    asked = [["a"], ["good"], ["poison"], ["bad", "c"]]
    with ThreadPoolExecutor(8) as pool:
        answers = ask(engine, gate, pool, asked)
    assert isinstance(answers.pop(2), ValueError)
    assert all(same(answer, texts) for answer, texts in zip(answers, [["a"], ["good"], ["bad", "c"]], strict=True))


def test_so_many_calls_at_once() -> None:
    """With two calls allowed, a second request starts at once; the others wait and go together into the next call."""
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 100, calls=2)
    asked = [["a"], ["good"], ["c"], ["bad", "d"]]
    with ThreadPoolExecutor(8) as pool:
        answers = []
        for number, texts in enumerate(asked, 1):
            answers.append(pool.submit(engine.score, texts))
            wait_until(lambda number=number: len(gate.calls) + len(engine._asks) == number, what="the next to be there")  # type: ignore[misc]
        assert gate.calls == [["a"], ["good"]]
        gate.open.set()
        assert all(same(answer.result(30), texts) for answer, texts in zip(answers, asked, strict=True))
    assert gate.calls[2:] == [["c", "bad", "d"]]
    assert gate.most_inside == 2


def test_alone() -> None:
    """A single request gets what the engine gives, including an error."""
    gate = Gate()
    gate.open.set()
    engine = MergingEngine(gate, max_cost=lambda: 2)
    assert same(engine.score(["good", "bad", "x"]), ["good", "bad", "x"])
    with pytest.raises(ValueError, match="told to fail"):
        engine.score(["poison"])
    assert (engine.identity, engine.device) == (gate.identity, gate.device)
