"""LONG_TEXTS on running services: what becomes of a long text, and as how many texts it counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.stack import Stack
from tests.support.texts import new_text

BYTES = 6000


def long_text() -> str:
    """A text of 6,000 bytes, whose beginning, as far as the stub reads at once, is bad, and whose rest is good."""
    return (f"{new_text('It is bad.')} " + "It is bad. " * 100 + "I love this, it is great and good. " * 300)[:BYTES]


@pytest.mark.parametrize(
    ("choice", "label", "windows", "truncated", "charge"),
    [("windows", "POSITIVE", None, False, 4), ("truncate", "NEGATIVE", 1, True, 1), ("refuse", None, None, None, 1)],
)
def test_choices(
    make_stack: Callable[..., Stack],
    choice: str,
    label: str | None,
    windows: int | None,
    truncated: bool | None,
    charge: int,
) -> None:
    """A long text is read whole, or its beginning alone, or it has the error of its own: from `/predict` and in a job.
    It counts against the quota for each 1,500 bytes where all of it is read, and else as one.
    """
    stack = make_stack(WEB_CONCURRENCY=1, LONG_TEXTS=choice, DAILY_QUOTA=4 * charge + 1, PREDICT_TIMEOUT=30)
    stack.start("interactive", "batch")
    text = long_text()
    (line,) = stack.items(stack.ended(stack.submit([text])))
    answers = [stack.predict(text), stack.predict(long_text())]
    if choice == "refuse":
        assert line["error"]["code"] == "text_beyond_model"
        assert [(one.status_code, one.json()["code"]) for one in answers] == [(422, "text_beyond_model")] * 2
    else:
        for found in (line, *(one.json() for one in answers)):
            assert (found["label"], found["truncated"]) == (label, truncated)
            assert (found["windows"] > 5) if windows is None else found["windows"] == windows
    assert stack.predict(long_text()).status_code == (422 if choice == "refuse" else 200)
    assert stack.predict(new_text()).status_code == 200
    refused = stack.predict(new_text())
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")


def test_a_rate_counts_windows(make_stack: Callable[..., Stack]) -> None:
    """A long text counts against RATE_LIMIT for each 1,500 bytes, too; if it is refused for its length, as one."""
    stack = make_stack(WEB_CONCURRENCY=1, RATE_LIMIT="10/h", PREDICT_TIMEOUT=30)
    stack.start("interactive")
    assert [stack.predict(long_text()).status_code for _ in range(3)] == [200, 200, 429]
    assert stack.predict(new_text()).status_code == 200
    assert stack.predict(new_text()).status_code == 429
