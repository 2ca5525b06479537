"""Estimates as sentences."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.shares.shift import Shift
from model.shares.words import AHEAD, BEHIND, UNKNOWN, changed, compared, net, share, shifted, told


@dataclass(frozen=True)
class Between:
    """An estimate."""

    estimate: float
    low: float | None = None
    high: float | None = None


def test_shares_and_net() -> None:
    """A share and a net are said with their interval, if there is one that is wider than a digit."""
    assert share(Between(0.43, 0.384, 0.47)) == "43 % (38 to 47 %)"
    assert share(Between(0.43)) == "43 %"
    assert share(Between(0.43, 0.43, 0.43)) == "43 %"
    assert share(Between(0.01, 0.002, 0.02)) == "1.0 % (0.2 to 2.0 %)"
    assert net(Between(-0.31, -0.36, -0.26)) == "−31 (−36 to −26)"
    assert net(Between(0.0, -0.02, 0.02)) == "0 (−2 to +2)"


def test_verdicts() -> None:
    """Whoever is ahead is named first, with how far; if it cannot be told, what is possible is said."""
    difference = Between(-0.34, -0.41, -0.27)
    ahead = "B is ahead of A: its net sentiment is 34 points (between 27 and 41) higher."
    assert compared("A", "B", difference, BEHIND) == ahead
    assert compared("B", "A", Between(0.34, 0.27, 0.41), AHEAD) == ahead
    assert compared("A", "B", difference, BEHIND, corrected=False) == f"By the model's own counts, {ahead}"
    assert compared("A", "B", difference, BEHIND, measure="negative") == (
        "B has more negative texts than A: 34 points (between 27 and 41) more."
    )
    assert compared("A", "B", Between(0.03, -0.02, 0.08), UNKNOWN) == (
        "Whether A or B is ahead cannot be told: the difference is +3 points, and anything from −2 to +8 is possible."
    )
    assert compared("A", "B", Between(0.03), UNKNOWN, measure="positive", corrected=False) == (
        "By the model's own counts, which has more positive texts, A or B, cannot be told:"
        " there are too few texts or labels for an interval."
    )


def test_what_is_known_has_no_interval() -> None:
    """Where every text is labelled, the difference is said without an interval."""
    known = Between(0.14, 0.14, 0.14)
    assert compared("A", "B", known, AHEAD) == "A is ahead of B: its net sentiment is 14 points higher."


def test_a_narrow_verdict_does_not_read_as_none() -> None:
    """A difference that is surely not 0 has no 0 in its sentence."""
    assert "between 0.3 and 2.1" in compared("A", "B", Between(0.012, 0.003, 0.021), AHEAD)


def test_shifts_and_changes() -> None:
    """A shift says when, whose, how much, from what to what; a change between two times too."""
    fall = Between(-0.12, -0.17, -0.07)
    assert shifted("United", "17 Feb 14:00", Shift(0, 0, 0, -0.31, -0.43, -0.12, -0.17, -0.07, 1, 1, 0)) == (
        "17 Feb 14:00: the net sentiment of United fell by 12 points (between 7 and 17), from −31 to −43,"
        " by the model's own scores."
    )
    assert changed(None, "March", "April", fall, BEHIND) == (
        "The net sentiment fell by 12 points (between 7 and 17) from March to April."
    )
    assert changed("A", "March", "April", Between(0.01, -0.03, 0.05), UNKNOWN) == (
        "Whether the net sentiment of A changed from March to April cannot be told: it moved by +1 points,"
        " and anything from −3 to +5 is possible."
    )


def test_shares_of_a_segment() -> None:
    """All three shares are in one sentence."""
    assert told("Delta", Between(0.4, 0.38, 0.42), Between(0.35), Between(0.25)) == (
        "Delta: of its texts, 40 % (38 to 42 %) are negative, 35 % are neutral and 25 % are positive."
    )


@given(st.floats(-2, 2), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["net", "positive"]))
def test_the_sentence_never_contradicts_the_interval(middle: float, below: float, above: float, measure: str) -> None:
    """Whoever the sentence puts ahead is so by the sign of the whole interval."""
    difference = Between(middle, middle - below, middle + above)
    assert difference.low is not None
    assert difference.high is not None
    verdict = AHEAD if difference.low > 0 else BEHIND if difference.high < 0 else UNKNOWN
    sentence = compared("First", "Second", difference, verdict, measure=measure)  # type: ignore[arg-type]
    assert ("cannot be told" in sentence) == (verdict == UNKNOWN)
    if verdict != UNKNOWN:
        assert sentence.startswith("First" if middle > 0 else "Second")


@pytest.mark.parametrize("verdict", [AHEAD, BEHIND])
def test_without_an_interval_nobody_is_ahead(verdict: str) -> None:
    """A verdict without an interval is not printed."""
    assert "cannot be told" in compared("A", "B", Between(0.3), verdict)
