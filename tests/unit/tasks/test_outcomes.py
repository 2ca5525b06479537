"""Outcomes and their rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.store.outcomes import Failed, Scored, digest, scored
from tasks.wire import read_cached, write_row

probabilities = (
    st.tuples(*[st.floats(0, 1)] * 3)
    .filter(lambda row: sum(row) > 0)
    .map(lambda row: tuple(value / sum(row) for value in row))
)


@given(probabilities, st.booleans())
def test_row_round_trip(row: tuple[float, ...], truncated: bool) -> None:
    """An outcome read from its JSON row is the same to the last digit, with the same class and confidence."""
    fresh = scored(row, truncated)
    cached = read_cached(write_row(fresh))
    assert cached == fresh
    assert isinstance(cached, Scored)
    assert (cached.decided, cached.confidence) == (fresh.decided, fresh.confidence)
    assert cached.confidence == cached.scores[cached.decided] == max(cached.scores)


@given(st.from_regex(r"[a-z_]{1,20}", fullmatch=True))
def test_failure_round_trip(code: str) -> None:
    """A failure is read from its row with its code."""
    assert read_cached(write_row(Failed(code))) == Failed(code)


@given(st.text(), st.text())
def test_digest(a: str, b: str) -> None:
    """Only equal texts have the same digest, which is 32 hex digits and the same in every process."""
    assert (digest(a) == digest(b)) == (a == b)
    assert len(digest(a)) == 32
    assert digest("") == "cae66941d9efbd404e4d88758ea67670"


def test_first_of_equals() -> None:
    """If scores are equal, the text always counts as the first of the classes."""
    assert Scored((0.4, 0.2, 0.4), False).decided == 0
