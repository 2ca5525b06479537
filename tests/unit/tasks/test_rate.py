"""The engine's rate: on texts like tweets at the start, and from then on by the work that is done."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer

from model.engine import Scores
from model.engines.stub import StubEngine
from model.source import DEFAULT_FOLDER
from model.text import clean
from tasks.cost import cost
from tasks.work.rate import Measured, Rate, measure
from tasks.work.tweets import TWEETS


def lengths(texts: Sequence[str]) -> list[int]:
    """The tokens of texts with the embedded model's tokenizer."""
    tokenizer = Tokenizer.from_file(str(DEFAULT_FOLDER / "tokenizer.json"))
    tokenizer.no_padding()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts)]


def test_sample_has_the_lengths_of_tweets() -> None:
    """The texts for the measurement are as long as TweetEval's: quartiles 19, 25 and 31 tokens, nine tenths of them 12
    to 37, each of cost 1; the first few of them are no shorter or longer than all.
    """
    tokens = lengths(TWEETS)
    assert np.percentile(tokens, [5, 25, 50, 75, 95]) == pytest.approx([12, 19, 25, 31, 37], abs=2)
    for first in (1, 2, 4, 8, 16, 32):
        assert np.mean(tokens[:first]) == pytest.approx(25, abs=2.5)
    assert {cost(text) for text in TWEETS} == {1}
    assert len(set(TWEETS)) == 32
    assert [clean(text) for text in TWEETS] == TWEETS, "workers get cleaned texts"


def test_rate_is_that_of_the_engine() -> None:
    """The measured rate of an engine that takes 10 ms for a text is about 100 texts per second; all calls are full."""
    measured = measure(StubEngine(delay_s=0.01))
    assert 50 < measured.texts_per_s <= 100
    assert measured.full_cost <= 2


class CallsCost(StubEngine):
    """An engine that takes 20 ms for each call and 1 ms for each text."""

    def score(self, texts: Sequence[str]) -> Scores:
        """See `StubEngine`."""
        until = time.perf_counter() + 0.02 + 0.001 * len(texts)
        while time.perf_counter() < until:
            pass
        return super().score(texts)


def test_full_calls() -> None:
    """For an engine that takes long for each call, calls are full only from a size on that makes that up."""
    assert measure(CallsCost()).full_cost in (32, 64, 128)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Worked:
    """A rate of 1000 texts per second at the start, whose calls are full from 16 texts on, and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.rate = Rate(Measured(1000.0, 16), clock=self.clock)

    def call(self, spent: int, seconds: float) -> None:
        """One call of the engine."""
        with self.rate.engine_call(spent):
            self.clock.now += seconds

    def fail(self, spent: int, seconds: float) -> None:
        """One call that raises."""
        with self.rate.engine_call(spent):
            self.clock.now += seconds
            raise ValueError("bad")

    @property
    def now(self) -> float:
        """The rate."""
        return self.rate.texts_per_s


@pytest.fixture
def worked() -> Worked:
    """See `Worked`."""
    return Worked()


@pytest.mark.parametrize("real", [400.0, 900.0, 6000.0])
def test_rate_follows_the_work(worked: Worked, real: float) -> None:
    """After twenty seconds of work at another rate, that is the rate; one second does not change much."""
    worked.call(int(real), 1.0)
    assert abs(worked.now - 1000) < abs(worked.now - real)
    for _ in range(200):
        worked.call(int(real / 10), 0.1)
    assert worked.now == pytest.approx(real, rel=0.05)


def test_idle_worker_keeps_its_rate(worked: Worked) -> None:
    """Neither time without work nor small calls, which take longer for each text, say anything of the rate."""
    worked.clock.now += 3600
    for _ in range(1000):
        worked.call(1, 0.01)
        worked.clock.now += 1
    assert worked.now == 1000


def test_odd_calls(worked: Worked) -> None:
    """A call during which the process was stopped for a minute changes the rate by less than a fifth, and later calls
    mend that.
    """
    worked.call(100, 60.0)
    assert 800 < worked.now < 1000
    for _ in range(200):
        worked.call(100, 0.1)
    assert worked.now == pytest.approx(1000, rel=0.02)


def test_calls_that_overlap(worked: Worked) -> None:
    """With two calls at a time, time in which both run counts once."""
    for _ in range(100):
        with worked.rate.engine_call(500):
            worked.clock.now += 0.5
            with worked.rate.engine_call(500):
                worked.clock.now += 0.5
    assert worked.now == pytest.approx(1000, rel=0.01)


def test_failed_calls(worked: Worked) -> None:
    """A call that raises says nothing of the rate."""
    for _ in range(20):
        with pytest.raises(ValueError, match="bad"):
            worked.fail(5000, 1.0)
    assert worked.now == 1000


def test_rate_has_a_floor(worked: Worked) -> None:
    """However little of the processor the worker gets, its rate is told as a quarter of the highest at the least."""
    for _ in range(100):
        worked.call(20, 2.0)
    assert worked.now == 250
    for _ in range(100):
        worked.call(1000, 1.0)
    assert worked.now == pytest.approx(1000, rel=0.02)
