"""Which labels count as a random sample, and what is known of them.

A correction is right only if the labelled texts were chosen at random. The sample is in random order (by a keyed hash),
and texts are given to people in that order. So the labels of a person count up to the place to which that person has
answered nearly everything: whoever leaves out texts of a kind, because they are hard or do not suit, makes a sample
that is not random any more, and the labels after that place are not used. A text of which somebody says that it cannot
be told is answered.

Labels that came with the texts (the column `gold`) count likewise: up to the place in the sample to which nearly all
have one, if these are more than a few; or all of them, where it was declared that they are a random sample.

Loads numpy with the first question.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

from model.agreement import Agreement, agreement
from model.labels import LABELS
from tasks.streams.labels import Given, Label
from tasks.streams.sampled import Sample
from tasks.streams.stream import Entry

if TYPE_CHECKING:
    from model.shares.estimates import Labelled
    from model.shares.sums import Floats

ANSWERED = 0.9
"""The share of the texts that a person was given which must be answered."""
_FEW = 20
"""So many texts at the head of the sample may all have labels by chance, though most of the others have none."""
MOST_PEOPLE = 20
"""Between so many people it is told how far they agree."""
_TEXTS_AT_ONCE = 200
"""Texts whose labels are compared at once; then others have their turns."""
FILE = "(file)"
"""Who has given the labels that came with the texts."""
_FAR = 1.63
"""Times sqrt((n + m) / (n m)), the largest distance of two distributions of n and m times that are the same one, in
99 % of cases (Kolmogorov and Smirnov)."""
UNEVEN = (
    "The labelled texts are not spread over time as all texts are; the correction takes the model to err in the same"
    " way at all times."
)


@dataclass(frozen=True, slots=True)
class Counted:
    """The labels of a segment's texts, of a time if one was asked for."""

    labelled: Labelled
    """The labels that count, and the scores of their texts."""
    times: Floats
    """When these texts were written, in Unix seconds, shape (n,)."""
    cannot_tell: int
    """Texts of the random sample of which nobody could tell the label."""
    set_aside: int
    """Texts with labels that do not count, as the texts were not chosen at random."""
    note: str
    """What a reader must know; empty if nothing."""

    @property
    def count(self) -> int:
        """The labels that count."""
        return len(self.labelled)


@dataclass(frozen=True, slots=True)
class Pair:
    """How far two people agree."""

    first: str
    second: str
    agreement: Agreement


@dataclass
class _Found:
    """The labels of a segment by the ids of their texts."""

    entries: dict[str, Entry] = field(default_factory=dict)
    labels: dict[str, list[Label]] = field(default_factory=dict)
    random: set[str] = field(default_factory=set)


def counted(
    given: Given,
    segment: str,
    sample: Sample,
    *,
    declared: Sample | None = None,
    start: float | None = None,
    end: float | None = None,
    masked: bool = False,
    kept: tuple[Floats, int] | None = None,
) -> Counted:
    """The labels of a segment.

    Args:
        given: what people were given and have said.
        segment: the segment's name.
        sample: the segment's sample of the same time, in the order of the keyed hash.
        declared: texts that came with labels which are declared to be a random sample.
        start: only texts from then on, in Unix seconds.
        end: only texts before then.
        masked: the scores with names masked.
        kept: the buckets of which the counts are there, as the times at which they begin and their length in seconds;
            None if all are. Counts expire before the labels of their texts do, and nothing can be corrected by labels
            of texts that are not counted any more.
    """
    import numpy as np

    from model.shares.estimates import NO_LABELS, Labelled

    found = _found(given, segment, sample, declared or Sample(segment))
    inside = sorted(id for id in found.labels if _within(found.entries[id], start, end))
    said = {id: decided(found.labels[id]) for id in inside if id in found.random}
    used = [(found.entries[id], label) for id, label in said.items() if label is not None]
    if kept is not None:
        begins, length_s = kept
        theirs = [entry.time_ms // 1000 // length_s * length_s for entry, _ in used]
        used = [one for one, is_kept in zip(used, np.isin(theirs, begins), strict=True) if is_kept]
    times = np.array([entry.time_ms / 1000 for entry, _ in used])
    labelled = NO_LABELS
    if used:
        scores = [entry.masked if masked and entry.masked is not None else entry.scores for entry, _ in used]
        labelled = Labelled(np.array([label for _, label in used], np.int64), np.array(scores, np.float64))
    everywhere = sample.within(start, end).times if used else times
    return Counted(
        labelled,
        times,
        sum(label is None for label in said.values()),
        len(inside) - len(said),
        UNEVEN if _distance(times, everywhere) > _FAR else "",
    )


def _found(given: Given, segment: str, sample: Sample, declared: Sample) -> _Found:
    found = _Found()
    for entry in (*sample.with_gold(), *declared.with_gold()):
        if entry.gold is not None:
            found.entries[entry.id] = entry
            found.labels[entry.id] = [Label(FILE, entry.gold, 0)]
    # Nearly all texts of the sample have a label, as when a file was labelled as a whole.
    whole = answered(sample.ids, found.labels.keys()) if found.labels else []
    if len(whole) > min(_FEW, len(sample) - 1):
        found.random.update(whole)
    found.random.update(declared.ids)
    for id, entry in given.entries.items():
        if entry.segment == segment and id in given.labels:
            found.entries.setdefault(id, entry)
            found.labels.setdefault(id, []).extend(given.labels[id])
    to_whom: dict[str, list[str]] = {}
    for offer in given.offers:
        if offer.segment == segment:
            to_whom.setdefault(offer.by, []).append(offer.id)
    for ids in to_whom.values():
        found.random.update(answered(ids, given.labels.keys()))
    return found


def answered(ids: Sequence[str], labelled: Set[str]) -> Sequence[str]:
    """The first so many texts of which nearly all (`ANSWERED`) have labels: as many as possible."""
    last = count = 0
    for place, id in enumerate(ids, start=1):
        count += id in labelled
        if count >= ANSWERED * place:
            last = place
    return ids[:last]


def _within(entry: Entry, start: float | None, end: float | None) -> bool:
    return (start is None or entry.time_ms >= 1000 * start) and (end is None or entry.time_ms < 1000 * end)


def decided(labels: Iterable[Label]) -> int | None:
    """The label of most people; of several that are equally frequent, the oldest. None if nobody could tell."""
    said = Counter(one.label for one in labels if one.label is not None)  # in the order in which they came
    return max(said, key=lambda label: said[label]) if said else None


def _distance(some: Floats, others: Floats) -> float:
    """How far two distributions of times are apart, in units of sqrt((n + m) / (n m))."""
    import numpy as np

    n, m = len(some), len(others)
    if not n or not m:
        return 0.0
    at = np.concatenate([some, others])
    shares = [np.searchsorted(np.sort(times), at, side="right") / len(times) for times in (some, others)]
    return float(np.abs(shares[0] - shares[1]).max() / sqrt((n + m) / (n * m)))


def agreements(labels: Mapping[str, Sequence[Label]]) -> list[Pair]:
    """How far people agree, two by two: those who share most texts first. Texts that one of them could not tell are
    left out. Of many people, only the MOST_PEOPLE who have labelled most: each two of thousands would be millions.
    """
    counts = Counter(one.by for said in labels.values() for one in said if one.label is not None)
    people = {by for by, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_PEOPLE]}
    both: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for place, said in enumerate(labels.values()):
        if place % _TEXTS_AT_ONCE == 0:
            time.sleep(0)
        told = {one.by: LABELS[one.label] for one in said if one.label is not None and one.by in people}
        for first, second in combinations(sorted(told), 2):
            both.setdefault((first, second), []).append((told[first], told[second]))
    pairs = [Pair(first, second, agreement(same)) for (first, second), same in both.items()]
    return sorted(pairs, key=lambda pair: (-pair.agreement.texts, pair.first, pair.second))
