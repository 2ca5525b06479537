"""Estimates, comparisons and shifts as JSON: the same form in reports and in the answers of streams."""

from __future__ import annotations

from datetime import datetime, tzinfo

from model.shares.estimates import Comparison, Difference, Estimate, Shares
from model.shares.shift import Shift

_PLACES = 4
"""A ten thousandth is a hundredth of a point."""


def moment(seconds: float, zone: tzinfo) -> str:
    """An instant in RFC 3339, on the clock of the zone."""
    return datetime.fromtimestamp(seconds, zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def estimate_body(given: Estimate | Difference) -> dict[str, object]:
    """An estimate with its interval, null where none is honest; of a difference, its verdict too."""
    body: dict[str, object] = {"estimate": _round(given.estimate), "low": _round(given.low), "high": _round(given.high)}
    return body | {"verdict": given.verdict} if isinstance(given, Difference) else body


def shares_body(given: Shares) -> dict[str, object]:
    """The shares of texts: fractions of 1; net is from -1 to 1."""
    return {
        "texts": given.texts,
        "effective_texts": round(given.effective_texts, 1),
        "labels": given.labels,
        "method": given.method,
        **{name: estimate_body(getattr(given, name)) for name in ("negative", "neutral", "positive", "net")},
        "note": given.note or None,
    }


def comparison_body(given: Comparison) -> dict[str, object]:
    """A comparison: the first less the second."""
    return {
        "method": given.method,
        "level": _round(given.net.level),
        "comparisons": given.comparisons,
        **{name: estimate_body(getattr(given, name)) for name in ("negative", "neutral", "positive", "net")},
        "note": given.note or None,
    }


def shift_body(given: Shift, zone: tzinfo) -> dict[str, object]:
    """A shift of net."""
    return {
        "at": moment(given.when, zone),
        "earliest": moment(given.earliest, zone),
        "latest": moment(given.latest, zone),
        **{name: _round(getattr(given, name)) for name in ("before", "after", "size", "low", "high")},
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _PLACES)
