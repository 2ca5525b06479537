"""Recent predictions in a process's memory."""

from __future__ import annotations

from tasks.store.outcomes import Scored
from tasks.submit.recent import RecentPredictions
from tests.support.waiting import wait_until

GOOD, BAD = Scored((0.1, 0.2, 0.7), False), Scored((0.7, 0.2, 0.1), True)


def test_by_model_and_text() -> None:
    """A prediction is found only under its model and its text."""
    recent = RecentPredictions()
    recent.put("m", "a", GOOD, 60)
    recent.put("m", "b", BAD, 60)
    assert (recent.get("m", "a"), recent.get("m", "b"), recent.get("m", "c"), recent.get("n", "a")) == (
        GOOD,
        BAD,
        None,
        None,
    )


def test_ends() -> None:
    """A prediction is gone after its TTL; one without time left is not kept."""
    recent = RecentPredictions()
    recent.put("m", "a", GOOD, 0.05)
    recent.put("m", "b", GOOD, 0)
    assert recent.get("m", "b") is None
    wait_until(lambda: recent.get("m", "a") is None, what="the prediction to end")


def test_the_longest_unused_goes() -> None:
    """Beyond the limit, the least recently used prediction is dropped, not the oldest."""
    recent = RecentPredictions(max_texts=2)
    recent.put("m", "a", GOOD, 60)
    recent.put("m", "b", GOOD, 60)
    assert recent.get("m", "a") == GOOD
    recent.put("m", "c", GOOD, 60)
    assert [recent.get("m", key) for key in "abc"] == [GOOD, None, GOOD]
