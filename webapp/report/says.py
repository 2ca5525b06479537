"""The sentences of a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, tzinfo

from model.shares import words
from model.shares.estimates import Method, Verdict
from model.shares.shift import Shift
from webapp.reading.names import cropped
from webapp.report.figures import Figures, Pair, Segment

_NAME = 60
_MOST_SHIFTS = 3
_MOST_PAIRS = 3
_NEEDED = re.compile(r" [\d,]+ of the [\d,]+ labels needed are there\.")
_CERTAIN = (Method.CORRECTED, Method.EXACT, Method.POOLED)
Namer = Callable[[str], str]


def shown(name: str) -> str:
    """A name of the caller's on one line, without what would change the order of letters."""
    return cropped(name[: 4 * _NAME], _NAME)


def pair_sentence(pair: Pair) -> str:
    """Who of two is ahead."""
    return words.compared(
        shown(pair.first),
        "all others together" if pair.second is None else shown(pair.second),
        pair.comparison.net,
        pair.comparison.net.verdict,
        corrected=pair.comparison.method in _CERTAIN,
    )


def clock(seconds: float, zone: tzinfo, *, year: bool = False) -> str:
    """A time as people write it: `17 Feb 14:00`."""
    when = datetime.fromtimestamp(seconds, zone)
    return f"{when.day} {when:%b %Y %H:%M}" if year else f"{when.day} {when:%b %H:%M}"


def shift_sentence(name: str | None, shift: Shift, zone: tzinfo) -> str:
    """When whose mood moved, and how far."""
    when = clock(shift.when, zone)
    if shift.latest - shift.earliest >= 60:
        when += f" ({clock(shift.earliest, zone)} to {clock(shift.latest, zone)})"
    return words.shifted(None if name is None else shown(name), when, shift)


def shift_marked(name: str | None, shift: words.Step, when: str) -> str:
    """A shift in few words: `20:37: Meier down 31 points, between 24 and 38`."""
    whose = "" if name is None else f"{shown(name)} "
    told = f"{when}: {whose}{'down' if shift.size < 0 else 'up'} {words.points(shift.size)}"
    if shift.low is None or shift.high is None:
        return told
    if shift.low * shift.high < 0:
        return f"{told}, from {words.signed(shift.low)} to {words.signed(shift.high)}"
    low, high = sorted((abs(shift.low), abs(shift.high)))
    return f"{told}, between {words.points(low).split()[0]} and {words.points(high).split()[0]}"


def notes_once(notes: Iterable[str]) -> list[str]:
    """Notes without those that are there already, also where they differ in how many labels are missing."""
    variants: dict[str, dict[str, None]] = {}
    for note in notes:
        if note:
            variants.setdefault(_NEEDED.sub("", note), {})[note] = None
    return [next(iter(some)) if len(some) == 1 else note for note, some in variants.items()]


def all_shifts(figures: Figures) -> list[tuple[str | None, Shift]]:
    """The shifts of all texts and of each segment, in the order of time; of one segment alone, only once."""
    found: list[tuple[str | None, Shift]] = []
    if len(figures.segments) != 1:
        found += [(None, shift) for shift in figures.overall.shifts]
    found += [(segment.name, shift) for segment in figures.segments for shift in segment.shifts]
    return sorted(found, key=lambda one: one[1].when)


def headlines(figures: Figures, zone: tzinfo) -> Iterator[str]:
    """What the report says first."""
    overall = figures.overall.shares
    yield words.told(None, overall.negative, overall.neutral, overall.positive)
    if len(figures.segments) > 1:
        yield from _standing(figures)
    shifts = sorted(all_shifts(figures), key=lambda one: -abs(one[1].size))[:_MOST_SHIFTS]
    for name, shift in sorted(shifts, key=lambda one: one[1].when):
        yield shift_sentence(name, shift, zone)
    if overall.method is Method.RAW:
        yield (
            "These are the model's own counts. A model errs, and not in the same way everywhere: before you print them,"
            " label 100 random texts of each segment."
        )


def _standing(figures: Figures) -> Iterator[str]:
    """Who is first, who is last, and whether that is sure; of the corrected pairs, if some are and others are not."""
    segments = figures.segments
    against_all = figures.pairs and figures.pairs[0].second is None
    sure = [pair for pair in figures.pairs if pair.comparison.method in _CERTAIN]
    certain = len(sure) == len(figures.pairs)
    if sure and not certain:
        yield from map(pair_sentence, sorted(sure, key=lambda one: -abs(one.comparison.net.estimate))[:_MOST_PAIRS])
        return
    if not certain:
        segments = tuple(sorted(segments, key=lambda one: -one.raw.net.estimate))
    by = "" if certain else "By the model's own counts, "
    for segment, verdict, word in (
        (segments[0], Verdict.AHEAD, "ahead of"),
        (segments[-1], Verdict.BEHIND, "behind"),
    ):
        beaten = sum(_verdict(pair, segment) is verdict for pair in figures.pairs)
        name, net = shown(segment.name), words.net((segment.shares if certain else segment.raw).net)
        if not beaten:
            if verdict is Verdict.AHEAD:
                open_question = f"who is ahead cannot be told: {name} has the highest net, {net}, but may not be first"
                told = f"{by}{open_question}"
                yield f"{told[0].upper()}{told[1:]}."
            continue
        if against_all:
            whom = "all others together"
        elif len(segments) == 2:
            whom = shown(segments[1 if verdict is Verdict.AHEAD else 0].name)
        else:
            whom = f"all {beaten} others" if beaten == len(segments) - 1 else f"{beaten} of {len(segments) - 1} others"
        yield f"{by}{name} is {word} {whom}, with a net of {net}."
        if len(segments) == 2:
            return


def _verdict(pair: Pair, segment: Segment) -> Verdict:
    """The verdict of a pair from a segment's side; OPEN if it is not one of the two."""
    verdict = pair.comparison.net.verdict
    if pair.first == segment.name:
        return verdict
    turned = {Verdict.AHEAD: Verdict.BEHIND, Verdict.BEHIND: Verdict.AHEAD}
    return turned.get(verdict, Verdict.OPEN) if pair.second == segment.name else Verdict.OPEN
