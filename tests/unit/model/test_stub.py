"""The stub engine's own options; what it shares with other engines is in test_engines."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from model.engines.registry import load_engine
from model.engines.stub import StubEngine
from model.errors import ModelNotFound


def test_words_decide() -> None:
    """Words of the lexicon decide the label; a text without any is neutral."""
    scores = StubEngine().score(["I love it!", "I hate it.", "a chair"]).probabilities
    assert scores.argmax(1).tolist() == [2, 0, 1]


def test_texts_differ_by_digest() -> None:
    """Different texts have different scores, so that tests notice answers that are mixed up."""
    first, second = StubEngine().score(["a chair", "a table"]).probabilities
    assert (first != second).any()


def test_failure_can_be_asked_for() -> None:
    """A call with a text that contains `fail_on` raises; calls without it do not."""
    engine = StubEngine(fail_on="poison")
    engine.score(["fine"])
    with pytest.raises(ValueError):
        engine.score(["fine", "a poison pill"])


def test_crash_can_be_asked_for() -> None:
    """A text that contains `exit_on` ends the process at once."""
    code = "from model.engines.stub import StubEngine; StubEngine(exit_on='crash').score(['a crash']); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""


def test_delay_is_each_texts() -> None:
    """Scoring takes `delay_s` for each text."""
    started = time.perf_counter()
    StubEngine(delay_s=0.02).score(["one", "two", "three"])
    assert time.perf_counter() - started >= 0.06


def test_long_texts_take_longer() -> None:
    """With `word_s`, scoring takes as long for each word, up to where texts are cut."""
    engine = load_engine("stub?word_s=0.0001")
    started = time.perf_counter()
    engine.score(["word " * 1000, "two words"])
    assert 0.0258 <= time.perf_counter() - started < 1


def test_name_carries_arguments() -> None:
    """A model name `stub?...` sets the options, so that tests can set them for a worker through its settings."""
    engine = load_engine("stub?delay_s=0.001&fail_on=poison", revision="b")
    assert engine.identity == "stub@b/stub"
    with pytest.raises(ValueError):
        engine.score(["poison"])


def test_revisions_are_different_models() -> None:
    """Two revisions give a text different scores, and each always the same."""
    first, again, second = (load_engine("stub", revision=revision).score(["good"]) for revision in ("a", "a", "b"))
    assert first.probabilities.tolist() == again.probabilities.tolist() != second.probabilities.tolist()


@pytest.mark.parametrize("name", ["stub?speed=1", "stub?delay_s=slow", "stub?word_s=slow"])
def test_wrong_arguments_are_refused(name: str) -> None:
    """An unknown argument, or a delay that is not a number, is refused."""
    with pytest.raises(ModelNotFound):
        load_engine(name)
