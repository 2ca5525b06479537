"""The figures of a view of a stream. Loads numpy, so web processes load this with the first view."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.shares import corrected
from model.shares.raw import raw
from model.shares.series import series
from model.shares.shift import Shift
from tasks.errors import SegmentNotFound
from tasks.streams.buckets import MINUTES_S, Unit, length_of
from tasks.streams.comparing import Compared, Side, compare_first
from tasks.streams.labelled import counted
from tasks.streams.labels import Given
from tasks.streams.measuring import Measured, Measuring, Span
from tasks.streams.sampled import Sample
from tasks.streams.stream import MINUTE_S, NO_SEGMENT, QUARTER_S, Buckets, Entry, Stream
from tasks.submit.streams import StreamService
from webapp.api.series import alike
from webapp.pages.stream_query import LASTS_S, View
from webapp.report.buckets import SIZES, chosen, edges
from webapp.report.figures import Segment
from webapp.report.says import shown

FIRST = 6
"""So many segments are drawn where none is named: the largest."""
ENOUGH = 20
"""Texts that a bucket of a segment should have, where no bucket is asked for: of fewer, the course is all chance."""
_FEW_BUCKETS = 8
"""A bucket is not made longer for that if fewer than so many would be left."""
MOST_BUCKETS = 400
"""More do not fit on a screen."""
_MOST_SHIFTS = 200
_EXAMPLES = 6
"""Texts before a moment, and from it on."""
NOBODY = "texts without a segment"


@dataclass(frozen=True, slots=True)
class Example:
    """A text of the sample."""

    text: str
    segment: str
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a view says."""

    stream: Stream
    names: tuple[str, ...]
    """All segments of the stream, the largest first."""
    segments: tuple[Segment, ...]
    """Those that are drawn, with their shares in the whole time and in each bucket."""
    edges: tuple[float, ...]
    """Where the buckets begin, and the end of the last one; empty if there are no texts in the time."""
    bucket: str
    coarser: str
    """The bucket that was asked for, if it is too short for the time; else empty."""
    cut: bool
    """Whether the time is too long even for the longest bucket: then only its end is shown."""
    first: float | None
    last: float | None
    """The time of all texts of the stream, in whole quarters of an hour; None without any."""
    shifts: tuple[tuple[str, Shift], ...]
    """Those of the drawn segments in the time, with the segment, the newest first."""
    compared: tuple[Compared, ...]
    examples: tuple[tuple[Example, ...], tuple[Example, ...]] | None
    """Texts before the moment and after it; None if no moment is asked for or no text may be shown."""

    def named(self, segment: str) -> str:
        """A segment's name in words."""
        return "all texts" if self.names == (NO_SEGMENT,) else shown(shown_name(segment))


def shown_name(segment: str) -> str:
    """A segment's name in words."""
    return NOBODY if segment == NO_SEGMENT else segment


def figures(streams: StreamService, stream: Stream, view: View, *, texts: bool) -> Figures:
    """Gathers the figures. `texts`: whether whoever looks may see texts of the sample.

    Raises:
        SegmentNotFound: the view names a segment that the stream does not have.
    """
    return _Gathering(streams, stream, view).figures(texts=texts)


class _Gathering:
    def __init__(self, streams: StreamService, stream: Stream, view: View) -> None:
        self._kept, self._labels, self._shifts = streams.kept, streams.labels, streams.shifts
        self._stream, self._view = stream, view
        self._now = time.time()
        self._known = self._kept.known(stream)
        totals = {name: float(one.sums[:, :3].sum()) for name, one in self._kept.totals(stream).items()}
        self._names = tuple(sorted(totals, key=lambda name: -totals[name]))
        named = [*view.segments, *(one for one in (view.a, view.b) if one is not None)]
        if (unknown := next((one for one in named if one not in totals), None)) is not None:
            raise SegmentNotFound(unknown)
        self._drawn = view.segments or self._names[:FIRST]

    def figures(self, *, texts: bool) -> Figures:
        view, stream = self._view, self._stream
        first, last = self._extent()
        start, end = self._time(first, last)
        bucket, coarser = self._bucket(start, end)
        cut = False
        if start < end - MOST_BUCKETS * SIZES[bucket] and first is not None and last is not None:
            start, end = max(start, first), max(min(end, last), start)
            bucket, coarser = self._bucket(start, end)
            least = end - MOST_BUCKETS * SIZES[bucket]
            start, cut = max(start, least), start < least
        borders: list[float] = []
        segments: list[Segment] = []
        if start < end and first is not None:
            borders = edges(start, end - 1e-3, bucket, view.zone)
            given = self._labels.given(stream)  # before what is counted, see `webapp.api.series`
            unit: Unit = "minute" if SIZES[bucket] < QUARTER_S else "quarter"
            samples = self._kept.samples(stream, self._drawn, known=self._known)
            found = self._kept.sums(stream, self._drawn, borders[0], borders[-1], unit, known=self._known)
            for name in self._drawn:
                if name in found and name in samples:
                    segments.append(self._segment(given, samples[name], found[name], length_of(unit), borders))
                time.sleep(0)  # others are answered in between
        shifts: list[tuple[str, Shift]] = []
        if borders:
            shifts = [
                (one.segment, one)
                for one in self._shifts.newest(stream, _MOST_SHIFTS)
                if one.segment in self._drawn and borders[0] <= one.when < borders[-1]
            ]
        return Figures(
            stream,
            self._names,
            tuple(segments),
            tuple(borders),
            bucket,
            coarser,
            cut,
            first,
            last,
            tuple(shifts),
            tuple(self._compared(borders)) if borders and view.a is not None else (),
            self._examples(view.at) if texts and view.at is not None else None,
        )

    def _extent(self) -> tuple[float | None, float | None]:
        """The time of all texts."""
        self._quarters = found = self._kept.sums(self._stream, self._names, *self._known.extent, known=self._known)
        starts = [float(at) for one in found.values() if len(one.starts) for at in (one.starts[0], one.starts[-1])]
        return (min(starts), max(starts) + QUARTER_S) if starts else (None, None)

    def _time(self, first: float | None, last: float | None) -> tuple[float, float]:
        view = self._view
        if view.start is None and view.end is None and view.last != "all":
            end = self._now // MINUTE_S * MINUTE_S + MINUTE_S
            return end - LASTS_S[view.last], end
        start = view.start if view.start is not None else first
        end_at = view.end if view.end is not None else last
        if start is None or end_at is None:
            return 0.0, 0.0
        if view.start is None and view.end is None and end_at - start <= 86_400:
            start, end_at = self._exact(start, end_at)
        return start, end_at

    def _exact(self, start: float, end: float) -> tuple[float, float]:
        """The time of the texts in whole minutes, where minutes are kept."""
        minutes = self._kept.sums(self._stream, self._names, start, end, "minute", known=self._known)
        starts = [float(at) for one in minutes.values() if len(one.starts) for at in (one.starts[0], one.starts[-1])]
        if not starts or start < self._now - MINUTES_S + QUARTER_S:
            return start, end
        return min(starts), max(starts) + MINUTE_S

    def _bucket(self, start: float, end: float) -> tuple[str, str]:
        """The bucket that is drawn, and the one that was asked for if that is too short."""
        asked = self._view.bucket
        least = QUARTER_S if start < self._now - MINUTES_S + QUARTER_S else MINUTE_S
        if asked is None:
            best = chosen(start, max(end - 1, start), None)
            fits = [size for size, seconds in SIZES.items() if seconds >= max(SIZES[best], least)]
            return self._filled(fits, start, end), ""
        fits = [
            size
            for size, seconds in SIZES.items()
            if seconds >= max(SIZES[asked], least) and (end - start) / seconds <= MOST_BUCKETS
        ]
        bucket = fits[0] if fits else "1mo"
        return bucket, asked if bucket != asked else ""

    def _filled(self, sizes: Sequence[str], start: float, end: float) -> str:
        """The first of these buckets that has enough texts; else the longest of which there are enough."""
        found = [one for name, one in self._quarters.items() if name in self._drawn]
        texts = sum(
            float(one.sums[(one.starts > start - QUARTER_S) & (one.starts < end), :3].sum())
            for one in found
            if len(one.starts)
        ) / max(len(found), 1)
        several = [size for size in sizes if (end - start) / SIZES[size] >= _FEW_BUCKETS] or sizes[:1]
        return next((size for size in several if texts * SIZES[size] >= ENOUGH * (end - start)), several[-1])

    def _segment(
        self, given: Given, samples: tuple[Sample, Sample], found: Buckets, length_s: int, borders: Sequence[float]
    ) -> Segment:
        """The figures of a segment, of buckets of this length that are added up to those that are drawn."""
        sample, declared = samples
        sums = np.zeros((len(borders) - 1, 8))
        if len(found.starts):
            np.add.at(sums, np.searchsorted(borders, found.starts, side="right") - 1, found.sums)
        labels = counted(
            given,
            sample.segment,
            sample,
            declared=declared,
            start=borders[0],
            end=borders[-1],
            kept=(found.starts, length_s),
        )
        correlation = alike(sample)
        numbers = sums[:, :3].sum(1)
        effects = np.maximum(1 + (numbers - 1) * correlation, 1.0)
        places = np.searchsorted(borders, labels.times, side="right") - 1
        total = sums.sum(0)
        texts = float(total[:3].sum())
        effective = texts / max(1 + (texts - 1) * correlation, 1.0) if texts else 0.0
        return Segment(
            sample.segment,
            corrected.shares(total, labels.labelled, effective) if texts else raw(total),
            raw(total, effective),
            labels.count,
            None,
            0,
            tuple(series(sums, labels.labelled, places, effects)),
        )

    def _compared(self, borders: Sequence[float]) -> list[Compared]:
        """A against B, or against each of the others that are drawn."""
        view = self._view
        assert view.a is not None
        others = [view.b] if view.b is not None else [name for name in self._drawn if name != view.a]
        names = [view.a, *others]
        measuring = Measuring(self._kept, self._labels)
        span, _ = Span(borders[0], borders[-1]).aligned(self._now)
        masks = self._stream.settings.mask_segments is not False
        parts = measuring.measure(self._stream, names, [span], masked=masks)[span]
        plain = measuring.measure(self._stream, names, [span])[span] if masks else {}
        sides = [
            Side(shown_name(name), Measured([parts[name]]), Measured([plain[name]]) if name in plain else None)
            for name in names
            if name in parts
        ]
        return compare_first(sides) if view.a in parts and len(sides) > 1 else []

    def _examples(self, at: float) -> tuple[tuple[Example, ...], tuple[Example, ...]] | None:
        """The texts of the sample that were written last before a moment, and first from it on."""
        if not self._stream.settings.keep_sample:
            return None
        found = [
            entry for name in self._drawn for entry in self._kept.sample(self._stream, name) if entry.text is not None
        ]
        found.sort(key=lambda entry: entry.time_ms)
        before = [entry for entry in found if entry.time_ms < 1000 * at][-_EXAMPLES:]
        after = [entry for entry in found if entry.time_ms >= 1000 * at][:_EXAMPLES]
        return tuple(map(_example, before)), tuple(map(_example, after))


def _example(entry: Entry) -> Example:
    label = ("NEGATIVE", "NEUTRAL", "POSITIVE")[max(range(3), key=entry.scores.__getitem__)]
    return Example(entry.text or "", shown_name(entry.segment), entry.time_ms / 1000, label)
