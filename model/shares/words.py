"""What an estimate says, as a sentence that one may print.

Each sentence is true by itself: it has the interval, and where the figures are the model's own counts it says so.
Numbers come in as shares (0 to 1) and go out as per cent and points (hundredths).
"""

from __future__ import annotations

from typing import Literal, Protocol

AHEAD, BEHIND, UNKNOWN = "ahead", "behind", "cannot be told"
"""The verdicts of a comparison."""
Measure = Literal["net", "positive", "neutral", "negative"]
_MINUS = "\N{MINUS SIGN}"


class Interval(Protocol):
    """An estimate with its interval; `low` and `high` are None where no interval is honest."""

    @property
    def estimate(self) -> float:
        """The most likely value."""

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""


def percent(value: float) -> str:
    """A share: `43 %`."""
    return f"{_digits(value, _places(value))} %"


def share(given: Interval) -> str:
    """A share with its interval: `43 % (38 to 47 %)`."""
    if given.low is None or given.high is None:
        return percent(given.estimate)
    places = _places(given.estimate, given.low, given.high)
    low, estimate, high = (_digits(value, places) for value in (given.low, given.estimate, given.high))
    return f"{estimate} %" if low == high else f"{estimate} % ({low} to {high} %)"


def net(given: Interval) -> str:
    """A net with its interval, in points with a sign: `−31 (−36 to −26)`."""
    if given.low is None or given.high is None:
        return signed(given.estimate)
    places = _places(given.estimate, given.low, given.high)
    low, estimate, high = (signed(value, places) for value in (given.low, given.estimate, given.high))
    return estimate if low == high else f"{estimate} ({low} to {high})"


def signed(value: float, places: int | None = None) -> str:
    """Points with their sign: `+12`, `−3`, `0`."""
    digits = _digits(abs(value), _places(value) if places is None else places)
    return digits if float(digits) == 0 else f"{_MINUS if value < 0 else '+'}{digits}"


def points(value: float, places: int | None = None) -> str:
    """The size of a difference: `12 points`."""
    digits = _digits(abs(value), _places(value) if places is None else places)
    return f"{digits} {'point' if digits == '1' else 'points'}"


def compared(
    first: str, second: str, difference: Interval, verdict: str, *, measure: Measure = "net", corrected: bool = True
) -> str:
    """Who is ahead of whom, as a sentence.

    Args:
        first, second: the names of the two.
        difference: of the first less the second.
        verdict: one of the three.
        measure: what was compared; for a share, ahead is who has more of it.
        corrected: whether labels have corrected both sides, or all texts have labels.
    """
    of = "By the model's own counts, " if not corrected else ""
    if verdict == UNKNOWN or difference.low is None or difference.high is None:
        return of + _undecided(first, second, difference, measure, begins=not of)
    low, high = sorted((abs(difference.low), abs(difference.high)))
    leads, trails = (first, second) if verdict == AHEAD else (second, first)
    places = _places(difference.estimate, low, high)
    by = f"{points(difference.estimate, places)}{_between(low, high, places)}"
    if measure == "net":
        return f"{of}{leads} is ahead of {trails}: its net sentiment is {by} higher."
    return f"{of}{leads} has more {measure} texts than {trails}: {by} more."


def nothing(*whose: str) -> str:
    """That there is nothing to compare, as no texts are there of one or of both. `whose`: the names of these."""
    return f"There is nothing to compare: no texts were counted for {' and none for '.join(whose)}."


def _undecided(first: str, second: str, difference: Interval, measure: Measure, *, begins: bool) -> str:
    who = "hether" if measure == "net" else "hich has more"
    start = "W" if begins else "w"
    if measure == "net":
        open_question = f"{start}{who} {first} or {second} is ahead cannot be told"
    else:
        open_question = f"{start}{who} {measure} texts, {first} or {second}, cannot be told"
    if difference.low is None or difference.high is None:
        return f"{open_question}: there are too few texts or labels for an interval."
    places = _places(difference.estimate, difference.low, difference.high)
    return (
        f"{open_question}: the difference is {signed(difference.estimate, places)} points,"
        f" and anything from {signed(difference.low, places)} to {signed(difference.high, places)} is possible."
    )


def changed(
    name: str | None, before: str, after: str, difference: Interval, verdict: str, *, corrected: bool = True
) -> str:
    """How net moved from one time to another.

    Args:
        name: whose, or None for all texts.
        before, after: names of the two times, such as `the week before`.
        difference: of after less before.
        verdict: `ahead` if net rose.
        corrected: see `compared`.
    """
    of = "By the model's own counts, " if not corrected else ""
    whose = "the net sentiment" if name is None else f"the net sentiment of {name}"
    whose = whose if of else f"T{whose[1:]}"
    if verdict == UNKNOWN or difference.low is None or difference.high is None:
        where = f"{of}Whether {whose[0].lower()}{whose[1:]}" if not of else f"{of}whether {whose}"
        told = f"{where} changed from {before} to {after} cannot be told"
        if difference.low is None or difference.high is None:
            return f"{told}: there are too few texts or labels for an interval."
        places = _places(difference.estimate, difference.low, difference.high)
        return (
            f"{told}: it moved by {signed(difference.estimate, places)} points, and anything from"
            f" {signed(difference.low, places)} to {signed(difference.high, places)} is possible."
        )
    return f"{of}{whose} {_moved(difference.estimate, difference.low, difference.high)} from {before} to {after}."


class Step(Protocol):
    """A shift of net: from what to what, and by how much with an interval."""

    @property
    def before(self) -> float:
        """Net up to the shift."""

    @property
    def after(self) -> float:
        """Net from the shift on."""

    @property
    def size(self) -> float:
        """After less before."""

    @property
    def low(self) -> float | None:
        """The lower end of the interval of the size."""

    @property
    def high(self) -> float | None:
        """The upper end of the interval of the size."""


def shifted(name: str | None, when: str, shift: Step, *, corrected: bool = False) -> str:
    """A shift, as a sentence.

    Args:
        name: the segment, or None for all texts.
        when: the time in words, such as `17 Feb 14:00`.
        shift: `model.shares.shift.Shift`, or something like it.
        corrected: see `compared`.
    """
    whose = "" if name is None else f" of {name}"
    counts = "" if corrected else ", by the model's own scores"
    moved = _moved(shift.size, shift.low, shift.high)
    return (
        f"{when}: the net sentiment{whose} {moved}, from {signed(shift.before, 0)} to {signed(shift.after, 0)}{counts}."
    )


def _moved(size: float, low: float | None, high: float | None) -> str:
    way = "fell" if size < 0 else "rose"
    if low is None or high is None:
        return f"{way} by {points(size)}"
    places = _places(size, low, high)
    if low * high < 0:
        return f"{way} by {points(size, places)} ({signed(low, places)} to {signed(high, places)})"
    least, most = sorted((abs(low), abs(high)))
    return f"{way} by {points(size, places)}{_between(least, most, places)}"


def _between(low: float, high: float, places: int) -> str:
    """The interval of a size; nothing where all is known."""
    return "" if low == high else f" (between {_digits(low, places)} and {_digits(high, places)})"


def told(name: str | None, negative: Interval, neutral: Interval, positive: Interval) -> str:
    """The shares of a segment, or of all texts, as a sentence."""
    whose = "Of all texts" if name is None else f"{name}: of its texts"
    return f"{whose}, {share(negative)} are negative, {share(neutral)} are neutral and {share(positive)} are positive."


def _digits(value: float, places: int) -> str:
    return f"{100 * value:.{places}f}"


def _places(*values: float) -> int:
    """How many decimal places the values need: none, unless one that is not 0 would read as 0."""
    return int(any(0 < abs(value) < 0.005 and abs(value) >= 0.0005 for value in values))
