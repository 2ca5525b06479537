"""The figures of a report, by `model.shares`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import tzinfo
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from model.shares import sums
from model.shares.clusters import design_effect
from model.shares.corrected import shares, stratified
from model.shares.difference import compare
from model.shares.estimates import NO_LABELS, Comparison, Labelled, Method, Shares
from model.shares.raw import raw
from model.shares.series import series
from model.shares.shift import Shift
from model.shares.shifts import shifts
from webapp.report.buckets import chosen, edges
from webapp.report.table import Table

MOST_SHOWN = 30
"""The most segments that have figures of their own; the largest are taken."""
MOST_IN_PAIRS = 7
"""Up to so many segments, each is compared with each other one; otherwise with all others together."""
_LEAST = 2
"""A segment with fewer texts is not compared."""
FALSE_ALARMS = 0.05
"""The probability that a report whose texts show no shift at all tells one."""
_FAR = 3.3
"""Standard deviations that a count is off by chance in one of 1,000 cases."""
_SHIFTS_FROM = 200
"""Texts with a time that a segment needs before shifts are looked for."""
CERTAIN = (Method.CORRECTED, Method.EXACT)
"""Shares that are not the model's own counts."""
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the model says what people say, where both have."""

    confusion: tuple[tuple[int, ...], ...]
    """Rows are people's labels, columns the model's."""
    accuracy: float
    macro_recall: float
    """The mean of the classes' recalls, of those that people gave at all."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment, or all texts."""

    name: str
    shares: Shares
    """Corrected where that is possible, else as `raw`."""
    raw: Shares
    labelled: int
    """Texts with a person's label, however many of them are used."""
    authors: int | None
    distinct: int
    """Texts that differ from each other after cleaning."""
    series: tuple[Shares, ...] = ()
    shifts: tuple[Shift, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether its shares are more than the model's own counts."""
        return self.shares.method in CERTAIN


@dataclass(frozen=True, slots=True)
class Pair:
    """Two segments compared; without a second one, the first against all others."""

    first: str
    second: str | None
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Figures:
    """What a report says."""

    overall: Segment
    segments: tuple[Segment, ...]
    """Those with figures of their own, the highest net first; empty without a column of segments."""
    others: int
    """Segments that have none."""
    others_texts: int
    pairs: tuple[Pair, ...]
    bucket: str | None
    edges: tuple[float, ...]
    """Where the buckets begin, and the end of the last one."""
    agreement: Agreement | None
    first: float | None
    last: float | None


def figures(table: Table, *, bucket: str | None, zone: tzinfo) -> Figures:
    """Computes everything.

    Raises:
        UploadRefused: the bucket that was asked for is too short.
    """
    counted = _Counted(table, bucket, zone)
    texts = [len(part) for part in counted.parts]
    segmented = len(table.names) > 1 or bool(table.names[0])
    largest = sorted(range(len(texts)), key=lambda place: -texts[place])[:MOST_SHOWN] if segmented else []
    detected = 1 + sum(texts[place] >= _SHIFTS_FROM for place in largest)
    found = {place: counted.segment(place, detected) for place in largest}
    places = sorted(largest, key=lambda place: -found[place].shares.net.estimate)
    return Figures(
        counted.overall(detected),
        tuple(found[place] for place in places),
        len(texts) - len(largest) if segmented else 0,
        sum(texts) - sum(texts[place] for place in largest) if segmented else 0,
        tuple(_pairs([(place, found[place]) for place in places], counted)),
        counted.bucket,
        tuple(counted.edges),
        _agreement(table),
        counted.first,
        counted.last,
    )


def _named(name: str) -> str:
    return name or "(empty)"


class _Counted:
    """Computes the figures of any of the texts."""

    def __init__(self, table: Table, bucket: str | None, zone: tzinfo) -> None:
        self._table = table
        self._decided = table.scores.argmax(1)
        by_segment = np.argsort(table.segment, kind="stable")
        borders = np.searchsorted(table.segment[by_segment], np.arange(1, len(table.names)))
        self.parts: list[Indices] = np.split(by_segment, borders)
        """The texts of each segment."""
        self._totals = sums.by(table.segment, len(table.names), table.scores)
        self._labels = [self._labelled(part) for part in self.parts]
        self._design_of_all = self._design(np.arange(len(table.segment), dtype=np.int64))
        self._timed = np.isfinite(table.times)
        self.first = float(table.times[self._timed].min()) if self._timed.any() else None
        self.last = float(table.times[self._timed].max()) if self._timed.any() else None
        self.bucket: str | None = None
        self.edges: list[float] = []
        if self.first is not None and self.last is not None:
            self.bucket = chosen(self.first, self.last, bucket)
            self.edges = edges(self.first, self.last, self.bucket, zone)

    def segment(self, place: int, detected: int) -> Segment:
        """The figures of a segment. `detected`: in how many sets of texts shifts are looked for."""
        texts = self.parts[place]
        effective = len(texts) / self._design(texts)
        found = shares(self._totals[place], self._labels[place], effective)
        return self._whole(_named(self._table.names[place]), texts, found, effective, detected)

    def overall(self, detected: int) -> Segment:
        """The figures of all texts, corrected segment by segment."""
        everything = np.arange(len(self._table.segment), dtype=np.int64)
        effective = len(everything) / self._design_of_all
        return self._whole("", everything, self.together(range(len(self.parts))), effective, detected)

    def together(self, places: Iterable[int], *, labels: bool = True) -> Shares:
        """The shares of several segments as one, with their labels or without. Of these, texts are as independent as
        they are among all.
        """
        strata = [(self._totals[place], self._labels[place]) for place in places]
        total = np.sum([total for total, _ in strata], axis=0)
        effective = float(sums.texts(total)) / self._design_of_all
        if labels and len(strata) == 1:
            return shares(*strata[0], effective)
        if labels and any(len(labelled) for _, labelled in strata):
            found = stratified(strata)
            if found.method is not Method.RAW:
                return replace(found, effective_texts=effective)
            return replace(raw(total, effective), note=found.note)
        return raw(total, effective)

    def _whole(self, name: str, texts: Indices, found: Shares, effective: float, detected: int) -> Segment:
        table = self._table
        total = sums.of(table.scores[texts])
        timed = texts[self._timed[texts]]
        return Segment(
            name,
            found,
            raw(total, effective),
            int((table.gold[texts] >= 0).sum()),
            None if table.author is None else len(np.unique(table.author[texts])),
            len(np.unique(table.words[texts])),
            tuple(self._series(timed, labels=bool(name) or self._even())) if len(timed) else (),
            tuple(self._shifts(timed, detected)),
        )

    def _labelled(self, texts: Indices) -> Labelled:
        gold = self._table.gold[texts]
        some = texts[gold >= 0]
        return Labelled(self._table.gold[some], self._table.scores[some]) if len(some) else NO_LABELS

    def _design(self, texts: Indices) -> float:
        """The design effect of equal texts, and of authors where they are known."""
        values = (self._decided[texts] - 1).astype(np.float64)
        ids = [self._table.words[texts]]
        if self._table.author is not None:
            ids.append(self._table.author[texts])
        return design_effect(values, *(np.unique(one, return_inverse=True)[1] for one in ids))

    def _even(self) -> bool:
        """Whether labels are there in proportion to the texts of the segments, as far as chance allows: only then may
        all of them together correct the whole in a bucket of time.
        """
        counts = np.array([len(labelled) for labelled in self._labels], np.float64)
        shares = np.array([len(part) for part in self.parts], np.float64) / max(len(self._table.segment), 1)
        expected = counts.sum() * shares
        return bool((np.abs(counts - expected) <= _FAR * np.sqrt(expected * (1 - shares) + 1)).all())

    def _series(self, timed: Indices, *, labels: bool) -> list[Shares]:
        table = self._table
        size = len(self.edges) - 1
        place = np.searchsorted(self.edges, table.times[timed], side="right") - 1
        some = table.gold[timed] >= 0
        labelled, places = (self._labelled(timed), place[some]) if labels else (NO_LABELS, place[:0])
        return series(sums.by(place, size, table.scores[timed]), labelled, places, [self._design(timed)] * size)

    def _shifts(self, timed: Indices, detected: int) -> list[Shift]:
        table = self._table
        if len(timed) < _SHIFTS_FROM:
            return []
        values = table.scores[timed, 2] - table.scores[timed, 0]
        return shifts(table.times[timed], values, table.words[timed], FALSE_ALARMS / detected)


def _pairs(segments: list[tuple[int, Segment]], counted: _Counted) -> Iterator[Pair]:
    """The comparisons, adjusted for their number. Both sides are raw unless both are corrected: one that is corrected
    and one that is not would differ by what the correction does.
    """
    compared = [(place, segment) for place, segment in segments if segment.shares.texts >= _LEAST]
    if len(compared) <= MOST_IN_PAIRS:
        pairs = list(combinations([segment for _, segment in compared], 2))
        for first, second in pairs:
            certain = first.is_certain and second.is_certain
            two = (first.shares, second.shares) if certain else (first.raw, second.raw)
            yield Pair(first.name, second.name, compare(*two, len(pairs)))
        return
    for place, segment in compared:
        others = [other for other in range(len(counted.parts)) if other != place]
        together = counted.together(others)
        certain = segment.is_certain and together.method in CERTAIN
        two = (segment.shares, together) if certain else (segment.raw, counted.together(others, labels=False))
        yield Pair(segment.name, None, compare(*two, len(compared)))


def _agreement(table: Table) -> Agreement | None:
    some = table.gold >= 0
    if not some.any():
        return None
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (table.gold[some], table.scores[some].argmax(1)), 1)
    given = confusion.sum(1)
    recalls = confusion.diagonal()[given > 0] / given[given > 0]
    return Agreement(
        tuple(map(tuple, confusion.tolist())), float(confusion.trace() / confusion.sum()), float(recalls.mean())
    )
