"""The shares of segments, of streams and of times: what was counted, put together with the labels that people gave.

Loads numpy with the first question.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.streams.buckets import MINUTES_S, Unit, length_of
from tasks.streams.kept import KeptStreams
from tasks.streams.labelled import Counted, counted
from tasks.streams.labels import StreamLabels
from tasks.streams.sampled import Sample
from tasks.streams.stream import QUARTER_S, Buckets, Stream

if TYPE_CHECKING:
    from model.shares.estimates import Shares
    from model.shares.sums import Floats

_AHEAD_S = 2 * 86_400
"""No text is from a later time than so long after now."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time, from `start` to before `end`, in Unix seconds; None: all that there is on that side."""

    start: float | None = None
    end: float | None = None

    @property
    def is_all(self) -> bool:
        """Whether it has no limits."""
        return self.start is None and self.end is None

    def aligned(self, now: float) -> tuple[Span, Unit]:
        """The time in whole buckets, and their length: what begins before a limit's bucket ends is in the next one."""
        since = 0.0 if self.start is None else self.start
        unit: Unit = "minute" if since >= now - MINUTES_S + QUARTER_S else "quarter"
        length = length_of(unit)
        start = None if self.start is None else self.start // length * length
        end = None if self.end is None else self.end // length * length
        return Span(start, end), unit


@dataclass(frozen=True, slots=True)
class Part:
    """A segment in a time."""

    segment: str
    sums: Floats
    """Of its texts, shape (8,)."""
    labels: Counted
    design_effect: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found of one or several segments of a stream in a time."""

    parts: list[Part]

    @property
    def texts(self) -> int:
        """The texts that were counted."""
        return round(sum(float(part.sums[:3].sum()) for part in self.parts))

    @property
    def labels(self) -> int:
        """The labels that count."""
        return sum(part.labels.count for part in self.parts)

    @property
    def needed(self) -> int:
        """How many labels are missing before the shares are corrected."""
        from model.shares.estimates import FLOOR

        return max(0, min(FLOOR, self.texts) - self.labels)

    def _effective(self) -> float:
        return sum(float(part.sums[:3].sum()) / part.design_effect for part in self.parts)

    def shares(self) -> Shares:
        """The shares: corrected if there are enough labels, raw otherwise."""
        from model.shares import corrected

        if len(self.parts) == 1:
            part = self.parts[0]
            return corrected.shares(part.sums, part.labels.labelled, self._effective())
        return corrected.stratified([(part.sums, part.labels.labelled) for part in self.parts], self._effective())

    def raw(self) -> Shares:
        """The shares by the model's labels alone."""
        import numpy as np

        from model.shares.raw import raw

        total = sum((part.sums for part in self.parts), np.zeros(8))
        return raw(total, self._effective())

    @property
    def note(self) -> str:
        """What a reader must know of the labels; empty if nothing."""
        return " ".join(dict.fromkeys(part.labels.note for part in self.parts if part.labels.note))


class Measuring:
    """Measures streams. Raises redis.RedisError if the server is away."""

    def __init__(self, streams: KeptStreams, labels: StreamLabels) -> None:
        self._streams = streams
        self._labels = labels

    def measure(
        self, stream: Stream, segments: Sequence[str] | None, spans: Sequence[Span], *, masked: bool = False
    ) -> dict[Span, dict[str, Part]]:
        """The segments in each of the times, those that have texts then.

        Args:
            stream: the stream.
            segments: their names; None for all.
            spans: the times, in whole buckets (`Span.aligned`).
            masked: the scores with names masked.
        """
        import numpy as np

        # Labels and samples before what is counted: a text that is counted meanwhile must not have a label and be in
        # no count.
        given = self._labels.given(stream)
        names = list(self._streams.segments(stream)) if segments is None else list(segments)
        found: dict[Span, dict[str, Part]] = {}
        for span in spans:
            samples = self._streams.samples(stream, names, span.start, span.end)
            buckets, length_s = self._buckets(stream, names, span, masked=masked)
            found[span] = {}
            for name, (sample, declared) in samples.items():
                if name not in buckets:
                    continue  # its first text was counted in this moment
                time.sleep(0)
                total = np.asarray(buckets[name].sums.sum(0), np.float64)
                if total[:3].sum() <= 0:
                    continue
                labels = counted(
                    given,
                    name,
                    sample,
                    declared=declared,
                    start=span.start,
                    end=span.end,
                    masked=masked,
                    kept=None if length_s is None else (buckets[name].starts, length_s),
                )
                found[span][name] = Part(name, total, labels, _design_effect(sample, total, masked=masked))
        return found

    def _buckets(
        self, stream: Stream, names: Sequence[str], span: Span, *, masked: bool
    ) -> tuple[dict[str, Buckets], int | None]:
        """What was counted, and the length of its buckets in seconds; None for one bucket of all time."""
        if span.is_all:
            return self._streams.totals(stream, masked=masked), None
        now = time.time()
        start = 0.0 if span.start is None else span.start
        end = now + _AHEAD_S if span.end is None else span.end
        unit = span.aligned(now)[1]
        return self._streams.sums(stream, names, start, end, unit, masked=masked), length_of(unit)


def _design_effect(sample: Sample, sums: Floats, *, masked: bool) -> float:
    """By how much equal texts, and authors who repeat, make the variance larger: see `model.shares.clusters`."""
    from model.shares.clusters import design_effect_of_sample

    if not len(sample):
        return 1.0
    values = sample.scores(masked=masked).argmax(1) - 1.0
    return design_effect_of_sample(values, round(float(sums[:3].sum())), *sample.clusters)
