"""Many threads on one engine: calls are shared, and each thread gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model.engine import Scores
from model.engines.merging import CALLER, MergingEngine
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
    asked = [["a"], ["good", "bad"], ["c", "d"], ["e"], ["f", "good g", "h", "i", "j"]]
    with ThreadPoolExecutor(8) as pool:
        answers = ask(engine, gate, pool, asked)
    assert gate.most_inside == 1
    assert gate.calls == [["a"], ["good", "bad", "c", "d"], ["e"], ["f", "good g", "h", "i", "j"]]
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


def test_a_small_request_waits_for_nothing_large() -> None:
    """While only large calls with long texts run, a request for a short one has a call of its own at once; one for as
    many long ones waits. So does another small one, as long as the first is being scored.
    """
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 1000, cost=lambda texts: sum(map(len, texts)), calls=2)
    large = [f"a longer text with the number {n:02}" for n in range(25)]
    with ThreadPoolExecutor(8) as pool:
        running = []
        for number in (1, 2):
            running.append(pool.submit(engine.score, large))
            wait_until(lambda number=number: len(gate.calls) == number, what="a large call")  # type: ignore[misc]
        running.append(pool.submit(engine.score, large[1:]))
        wait_until(lambda: len(engine._asks) == 1, what="the third large request to wait")
        running.append(pool.submit(engine.score, ["good"]))
        wait_until(lambda: gate.calls[2:] == [["good"]], what="the call of the small request")
        running.append(pool.submit(engine.score, ["bad"]))
        wait_until(lambda: len(engine._asks) == 2, what="the second small request to wait")
        gate.open.set()
        answers = [one.result(30) for one in running]
    asked = [large, large, large[1:], ["good"], ["bad"]]
    assert all(same(answer, texts) for answer, texts in zip(answers, asked, strict=True))
    assert [len(texts) for texts in gate.calls] == [25, 25, 1, 25]


def test_a_small_request_of_another_caller() -> None:
    """A small request has a call of its own beside another caller's texts as short as its own, not beside its own
    caller's.
    """
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 1000, calls=1)

    def score(caller: str, texts: Sequence[str]) -> Scores:
        CALLER.set(caller)
        return engine.score(texts)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(score, "greedy", ["good"] * 30)]
        wait_until(lambda: gate.calls, what="the first call")
        answers.append(pool.submit(score, "greedy", ["bad"]))
        wait_until(lambda: len(engine._asks) == 1, what="the greedy caller's second request to wait")
        answers.append(pool.submit(score, "modest", ["good"]))
        wait_until(lambda: gate.calls[1:] == [["good"]], what="the call of the other caller's request")
        gate.open.set()
        asked: list[list[str]] = [["good"] * 30, ["bad"], ["good"]]
        assert all(same(answer.result(30), texts) for answer, texts in zip(answers, asked, strict=True))
    assert gate.calls[2:] == [["bad"]]


def test_small_goes_by_cost() -> None:
    """What is small goes by what texts cost, as does what fits into one call; an error of a small one is its own."""
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 50, cost=lambda texts: sum(map(len, texts)), calls=1)
    asked = [["x" * 100], ["y" * 40], ["z" * 20, "good"], ["bad"]]
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(engine.score, asked[0])
        wait_until(lambda: gate.calls, what="the first call")
        rest = []
        for number, texts in enumerate(asked[1:3], 1):
            rest.append(pool.submit(engine.score, texts))
            wait_until(lambda number=number: len(engine._asks) == number, what="the next to wait")  # type: ignore[misc]
        small = pool.submit(engine.score, ["poison"])
        wait_until(lambda: gate.calls[1:] == [["poison"]], what="the small call")
        gate.open.set()
        with pytest.raises(ValueError, match="told to fail"):
            small.result(30)
        assert same(first.result(30), asked[0])
        assert all(same(answer.result(30), texts) for answer, texts in zip(rest, asked[1:3], strict=True))
    assert gate.calls[2:] == [["y" * 40], ["z" * 20, "good"]]


class Steps(StubEngine):
    """The stub engine; each call waits for a step of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.step = threading.Semaphore(0)

    def score(self, texts: Sequence[str]) -> Scores:
        """See `StubEngine`."""
        self.begun += 1
        assert self.step.acquire(timeout=30)
        return super().score(texts)


def test_an_answer_waits_for_no_further_call() -> None:
    """Who was answered by another thread's call goes on at once, even if that thread makes call after call."""
    steps = Steps()
    engine = MergingEngine(steps, max_cost=lambda: 100, calls=1)
    rounds = 20

    def again_and_again() -> None:
        for number in range(3 * rounds):
            engine.score([f"text {number}"])

    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(again_and_again)
        for number in range(rounds):
            wait_until(lambda: steps.begun, what="a call of the busy thread")
            mine = pool.submit(engine.score, [f"good {number}"])
            wait_until(lambda: len(engine._asks) == 1, what="the request to wait")
            for _ in range(2):  # the running call ends, and the one with the request
                begun = steps.begun
                steps.step.release()
                wait_until(lambda begun=begun: steps.begun > begun, what="the next call")  # type: ignore[misc]
            assert same(mine.result(10), [f"good {number}"])
        for _ in range(3 * rounds):
            steps.step.release()
        busy.result(30)


def test_texts_of_one_length_share_calls() -> None:
    """A request for few texts waits for its own caller's large calls of texts like these: together they cost less."""
    gate = Gate()
    engine = MergingEngine(gate, max_cost=lambda: 100, calls=1)
    with ThreadPoolExecutor(8, initializer=CALLER.set, initargs=("one",)) as pool:
        answers = ask(engine, gate, pool, [[f"text {n}" for n in range(40)], ["good"], ["bad"]])
    assert [len(texts) for texts in gate.calls] == [40, 2]
    assert same(answers[1], ["good"])
